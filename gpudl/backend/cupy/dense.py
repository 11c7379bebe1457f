"""Products of batches and weights on the GPU: cuBLAS for the products, launches of columns.cu for the rest."""

from __future__ import annotations

from gpudl.backend import Array
from gpudl.backend.cupy.columns import sums
from gpudl.backend.cupy.launching import contiguous, launch_each


def product(a: Array, b: Array) -> Array:
    """a (M, I), b (I, O) -> a @ b (M, O)."""
    return a @ b


def column_sums(x: Array) -> Array:
    """x (M, K) -> (K,), summed in a fixed order."""
    return sums(contiguous(x))


def add_to_rows(x: Array, bias: Array) -> None:
    """x (M, K) += bias (K,), in place."""
    launch_each("columns", "add_to_rows", x.size, (x, bias, bias.size))
