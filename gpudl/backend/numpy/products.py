"""Products of matrices on NumPy.

A large product is cut into parts along the longer side of its result, which the threads share; each is one call of
BLAS. How many parts depends on the product's size alone, so the order of no sum depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

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


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a (M, I), b (I, O) -> a @ b (M, O), written to `out` where that is given."""
    rows, columns = a.shape[0], b.shape[1]
    work_size = rows * b.size
    if work_size < WORTH_SPLITTING or max(rows, columns) < 2 * LEAST_LENGTH:
        if single_threaded_blas.active:
            return np.matmul(a, b, out=out)
        with single_threaded_blas:
            return np.matmul(a, b, out=out)
    if out is None:
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
