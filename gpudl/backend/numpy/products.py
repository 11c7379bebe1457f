"""Products of matrices on NumPy.

A large product is cut into parts along the longer side of its result, which the threads share. How many parts depends
on the product's size alone, so the order of no sum depends on the number of threads.

BLAS copies both factors of a product, for its inner loop to read them in order, and goes over the result twice. That
pays where each number is used often. For many rows and a small second factor it takes longer than to multiply; and on
processors with AVX-512 OpenBLAS has other loops for small products, which read the factors where they lie. So such a
product is made of small ones, in one call of NumPy: (16384, 32) x (32, 64) with 72 for 46 multiply-adds a nanosecond,
(16384, 9) x (9, 32) with 45 for 25.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.workers import Piece, Pieces, blocks, run, single_threaded_blas

PART, LEAST_LENGTH, MOST_PARTS = 1 << 25, 64, 8
"""Multiply-adds of one part, and rows or columns of the result in it: BLAS packs the whole of one factor anew for each,
so there should be few; and an even number."""

WORTH_SPLITTING = 3 << 21
"""Multiply-adds: some 120 microseconds of one core, several times what waking another costs."""

HEAD_START = 1 << 21
"""Multiply-adds that the first of two parts has more than the second: whoever takes that is still to be woken."""

SMALL_PRODUCT = 10**6
"""Multiply-adds of the largest product for which OpenBLAS copies nothing, its `sgemm_small_kernel_permit`."""

SMALL_FACTOR = 1 << 13
"""Numbers of a second factor that each of these small products may read anew: 32 kibibytes, a first-level cache."""

SMALL_RESULT = 1 << 12
"""Numbers of a result that each of these small products may write anew, to be added up."""

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
        out = aligned.empty((rows, columns), np.result_type(a, b))

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            if rows >= columns:
                multiply(a[start:stop], b, out[start:stop])
            else:
                np.matmul(a, b[:, start:stop], out=out[:, start:stop])

    run(work, _parts(max(rows, columns), work_size), work_size // 64)
    return out


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out (M, O) = a (M, I) @ b (I, O), on this thread, where BLAS is held to one."""
    rows, factor = len(a), b.size
    if rows * factor > SMALL_PRODUCT and 0 < factor <= SMALL_FACTOR:
        few = SMALL_PRODUCT // factor
        whole = rows // few * few
        np.matmul(a[:whole].reshape(-1, few, a.shape[1]), b, out=out[:whole].reshape(-1, few, b.shape[1]))
        a, out = a[whole:], out[whole:]
    np.matmul(a, b, out=out)


def multiply_long(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out (I, O) = a (I, M) @ b (M, O) where M is large, on this thread, where BLAS is held to one."""
    length, result = len(b), out.size
    if length * result <= SMALL_PRODUCT or not 0 < result <= SMALL_RESULT:
        np.matmul(a, b, out=out)
        return
    few = SMALL_PRODUCT // result
    whole = length // few * few
    parts = a[:, :whole].reshape(len(a), -1, few).swapaxes(0, 1), b[:whole].reshape(-1, few, b.shape[1])
    np.matmul(*parts).sum(axis=0, out=out)
    if whole < length:
        out += a[:, whole:] @ b[whole:]


def _parts(length: int, work_size: int) -> Pieces:
    """Cut a side of a product."""
    count = min(MOST_PARTS, 2 * max(1, round(work_size / PART / 2)), length // LEAST_LENGTH)
    part = length / count
    if count == 2:
        part += length * HEAD_START / work_size / 2
    return blocks(length, EVEN * max(1, round(part / EVEN)))
