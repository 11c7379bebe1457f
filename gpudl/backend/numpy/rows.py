"""Short rows of a matrix taken several at a time, and long ones of zeros.

NumPy starts its loop anew for each row. And where one row is joined with all others, a bias with a matrix, it copies
rows that are shorter than its buffers, of 8,192 numbers, into those before it begins: which takes as long again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from gpudl.backend.numpy.constants import zeros

SMALL = 1 << 14
"""Numbers of a matrix that is taken as one row."""

LONG, LONGEST = 1 << 13, 1 << 14
"""Numbers of a long row: at least as many as NumPy's buffers hold, and, with what it is joined with, in the cache."""

FEW = 1 << 15
"""Numbers that are joined with an array of as many; more with a long row over and over, which leaves the cache to them:
262,144 maxima in place take 57 microseconds for 92, 131,072 written elsewhere 34 for 47 (measured)."""

BUFFER = 1 << 11
"""Numbers of NumPy's buffers where rows are short, such as the channels of a pixel: see `short`."""


@contextmanager
def short() -> Iterator[None]:
    """Have NumPy's buffers hold fewer numbers, for calls on rows that are shorter than those.

    NumPy copies as many rows as fit into a buffer, and what is as large as its usual ones, three of them, no longer
    lies in the first-level cache: maxima over rows of 64 numbers take two thirds on a Xeon, nine tenths on an EPYC
    (measured). Rows longer than the buffer are not copied at all.
    """
    with np.errstate():  # which also puts back the buffers' size
        np.setbufsize(BUFFER)
        yield


@lru_cache(maxsize=1024)
def rows_together(rows: int, columns: int) -> int:
    """Return how many rows to take as one where each gets the same, a divisor of their number."""
    enough, most = -(-LONG // max(1, columns)), LONGEST // max(1, columns)
    long = (count for count in range(enough, most + 1) if rows % count == 0)
    short = (count for count in range(min(enough, rows), 1, -1) if rows % count == 0)
    return next(long, next(short, 1))


def repeated(row: np.ndarray, times: int) -> np.ndarray:
    """row (C,) -> (times * C,): what np.tile does, in a fifth of its time."""
    return row[None].repeat(times, 0).reshape(-1)


def beside(join: np.ufunc, x: np.ndarray, number: Callable[[int, np.dtype], np.ndarray], out: np.ndarray) -> None:
    """out = join(x, number), such as the maximum with 0; x and out are of one shape, and may be the same.

    `number` makes an array of it: maxima and minima of two arrays take less than those of an array and a number.
    """
    if x.size <= FEW or not (x.flags.c_contiguous and out.flags.c_contiguous):
        join(x, number(x.size, x.dtype).reshape(x.shape), out=out)
        return
    source, target, whole = x.reshape(-1), out.reshape(-1), x.size // LONG * LONG
    join(source[:whole].reshape(-1, LONG), number(LONG, x.dtype), out=target[:whole].reshape(-1, LONG))
    if whole < x.size:
        join(source[whole:], number(x.size - whole, x.dtype), out=target[whole:])


def finish_rows(x: np.ndarray, bias: np.ndarray | None, relu: bool) -> None:
    """x (M, K), a block in the cache, += bias (K,), unless it is None; with `relu` then max(x, 0); in place."""
    if bias is not None:
        together = len(x) or 1 if x.size < SMALL else rows_together(len(x), bias.size)
        wide = x.reshape(-1, together * bias.size)
        wide += repeated(bias, together)
    if relu:
        beside(np.maximum, x, zeros, out=x)
