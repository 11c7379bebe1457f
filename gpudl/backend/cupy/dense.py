"""Products of batches and weights on the GPU: cuBLAS for the products, launches of columns.cu for the rest."""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.columns import sums
from gpudl.backend.cupy.launching import TYPES, contiguous, launch_each


def product(a: Array, b: Array) -> Array:
    """a (M, I), b (I, O) -> a @ b (M, O)."""
    return a @ b


def column_sums(x: Array) -> Array:
    """x (M, K) -> (K,), summed in a fixed order."""
    return sums(contiguous(x))


def finish(x: Array, bias: Array | None, relu: bool) -> None:
    """x (M, K) += bias (K,), unless it is None; with `relu` then max(x, 0); in place."""
    if x.dtype.name in TYPES and (bias is None or bias.dtype == x.dtype):
        bias = None if bias is None else contiguous(bias)
        launch_each("columns", "finish_rows", x.size, (x, bias, int(relu), x.shape[1]))
        return
    if bias is not None:
        x += bias
    if relu:
        array_module(x).maximum(x, 0, out=x)
