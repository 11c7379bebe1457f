"""Products of batches and weights on NumPy, with what ends a layer's product.

Memory plan. Bias and ReLU are applied in the place of the product, a block in the cache at a time: nothing else of its
size is made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy.constants import ones
from gpudl.backend.numpy.products import product
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.workers import Piece, blocks, run, single_threaded_blas

BLOCK = 1 << 18
"""Numbers of a matrix that a thread finishes at once."""


def forward(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, relu: bool = False) -> np.ndarray:
    """x (M, I), kernel (I, O), bias (O,) or None -> y = x @ kernel + bias (M, O); with `relu` max(y, 0)."""
    y = product(x, kernel)
    if bias is not None or relu:
        finish(y, bias, relu)
    return y


def input_gradient(dy: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """dy (M, O), kernel (I, O) -> dx (M, I)."""
    return product(dy, kernel.T)


def kernel_gradient(x: np.ndarray, dy: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """x (M, I), dy (M, O) -> dkernel (I, O), written to `out` where that is given."""
    return product(x.T, dy, out)


def column_sums(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> (K,): summed as a product with ones, which BLAS does seven times faster than a reduction."""
    if single_threaded_blas.active:
        return ones(x.shape[0], x.dtype) @ x
    with single_threaded_blas:
        return ones(x.shape[0], x.dtype) @ x


def finish(x: np.ndarray, bias: np.ndarray | None, relu: bool) -> None:
    """x (M, K) += bias (K,), unless it is None; with `relu` then max(x, 0); in place."""
    if x.size < 2 * BLOCK:
        finish_rows(x, bias, relu)
        return

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            finish_rows(x[start:stop], bias, relu)

    run(work, blocks(len(x), BLOCK // x.shape[1]), x.size)
