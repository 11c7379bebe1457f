"""Products of batches and weights on the GPU: cuBLAS for the products, launches of columns.cu and rows.cu else."""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.columns import sums
from gpudl.backend.cupy.launching import TYPES, contiguous, launch_each, name_of, pack


def product(a: Array, b: Array) -> Array:
    """a (M, I), b (I, O) -> a @ b (M, O)."""
    return a @ b


def column_sums(x: Array) -> Array:
    """x (M, K) -> (K,), summed in a fixed order."""
    return sums(contiguous(x))


def finish(x: Array, bias: Array | None, relu: bool) -> None:
    """x (M, K) += bias (K,), unless it is None; with `relu` then max(x, 0); in place."""
    if name_of(x.dtype) in TYPES and (bias is None or bias.dtype == x.dtype):
        bias, at_once = None if bias is None else contiguous(bias), pack(x, x.shape[1])
        arguments = (x, bias, int(relu), x.shape[1])
        launch_each("rows", "finish_rows", x.size // at_once, arguments, x.size, PACK=at_once)
        return
    if bias is not None:
        x += bias
    if relu:
        array_module(x).maximum(x, 0, out=x)
