"""Short rows of a matrix taken several at a time: NumPy starts its loop anew for each row."""

from __future__ import annotations

import numpy as np

from gpudl.backend.numpy.constants import zeros

SMALL = 1 << 14
"""Numbers of a matrix that is taken as one row."""

LONGEST = 8192
"""Numbers of a long row; at this length a row added to all others takes two thirds of what it does at 1024."""


def rows_together(rows: int, columns: int) -> int:
    """Return how many rows to take as one where each gets the same."""
    together = 1
    while rows % (2 * together) == 0 and 2 * together * columns <= LONGEST:
        together *= 2
    return together


def repeated(row: np.ndarray, times: int) -> np.ndarray:
    """row (C,) -> (times * C,): what np.tile does, in a fifth of its time."""
    return row[None].repeat(times, 0).reshape(-1)


def finish_rows(x: np.ndarray, bias: np.ndarray | None, relu: bool) -> None:
    """x (M, K), a block in the cache, += bias (K,), unless it is None; with `relu` then max(x, 0); in place."""
    if bias is not None:
        together = len(x) or 1 if x.size < SMALL else rows_together(len(x), bias.size)
        wide = x.reshape(-1, together * bias.size)
        wide += repeated(bias, together)
    if relu:
        np.maximum(x, zeros(x.size, x.dtype).reshape(x.shape), out=x)
