"""Products of batches and weights on NumPy.

A large product is cut into parts along the longer side of its result, which the threads share; each is one call of
BLAS. How many parts depends on the product's size alone, so the order of no sum depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy.constants import ones
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.workers import Piece, blocks, run, single_threaded_blas

PART, LEAST_LENGTH, MOST_PARTS = 1 << 25, 64, 8
"""Multiply-adds of one part, and rows or columns of the result in it: BLAS packs the whole of one factor anew for each,
so there should be few; and an even number."""

WORTH_SPLITTING = 3 << 21
"""Multiply-adds: some 120 microseconds of one core, several times what waking another costs."""

HEAD_START = 1 << 21
"""Multiply-adds that the first of two parts has more than the second: whoever takes that is still to be woken."""

EVEN = 16
"""Parts begin at multiples of this many rows or columns, which BLAS goes through at once."""


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


def kernel_gradient(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """x (M, I), dy (M, O) -> dkernel (I, O)."""
    return product(x.T, dy)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (M, I), b (I, O) -> a @ b (M, O)."""
    rows, columns = a.shape[0], b.shape[1]
    work_size = rows * b.size
    if work_size < WORTH_SPLITTING or max(rows, columns) < 2 * LEAST_LENGTH:
        if single_threaded_blas.active:
            return a @ b
        with single_threaded_blas:
            return a @ b
    out = np.empty((rows, columns), np.result_type(a, b))

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            if rows >= columns:
                np.matmul(a[start:stop], b, out=out[start:stop])
            else:
                np.matmul(a, b[:, start:stop], out=out[:, start:stop])

    run(work, _parts(max(rows, columns), work_size), work_size // 64)
    return out


def _parts(length: int, work_size: int) -> list[Piece]:
    """Cut a side of a product."""
    count = min(MOST_PARTS, 2 * max(1, round(work_size / PART / 2)), length // LEAST_LENGTH)
    part = length / count
    if count == 2:
        part += length * HEAD_START / work_size / 2
    return blocks(length, EVEN * max(1, round(part / EVEN)))


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
