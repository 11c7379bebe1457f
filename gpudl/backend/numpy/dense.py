"""Products of batches and weights on NumPy.

A large product is cut into parts along the rows of its result, which the threads share; each is one call of BLAS. How
many parts depends on the product's size alone, so the order of no sum depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy.constants import ones
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.workers import Piece, blocks, run, single_threaded_blas

PART = 1 << 24
"""Multiply-adds of one part: BLAS packs the right factor anew for each, so there should be few; and an even number."""
MOST_PARTS = 8
WORTH_SPLITTING = 1 << 23
"""Multiply-adds: some 120 microseconds of one core, several times what waking another costs."""


BLOCK = 1 << 18
"""Numbers of a matrix that a thread finishes at once."""


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (M, I), b (I, O) -> a @ b (M, O)."""
    work_size = a.shape[0] * b.size
    if work_size < WORTH_SPLITTING or a.shape[0] < MOST_PARTS:
        if single_threaded_blas.active:
            return a @ b
        with single_threaded_blas:
            return a @ b
    out = np.empty((a.shape[0], b.shape[1]), np.result_type(a, b))

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            np.matmul(a[start:stop], b, out=out[start:stop])

    parts = min(MOST_PARTS, 2 * max(1, round(work_size / PART / 2)))
    run(work, blocks(a.shape[0], -(-a.shape[0] // parts)), work_size // 64)
    return out


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
