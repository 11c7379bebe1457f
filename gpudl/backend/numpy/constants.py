"""Arrays of zeros and of ones, made once; not to be written to.

A product with ones sums the columns of a matrix. And in the cache NumPy's maximum of two arrays takes two thirds of
what that of an array and a number takes.
"""

from __future__ import annotations

import numpy as np

from gpudl.backend.numpy import aligned

LARGEST = 1 << 20
"""Numbers of an array that is kept."""

_made: dict[tuple[int, np.dtype], np.ndarray] = {}


def _of(value: int, size: int, dtype: np.dtype) -> np.ndarray:
    if size > LARGEST:
        return aligned.full((size,), value, dtype)
    found = _made.get((value, dtype))
    if found is None or found.size < size:
        found = aligned.full((size,), value, dtype)
        found.flags.writeable = False
        _made[value, dtype] = found
    return found[:size]


def zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """Return zeros (size,)."""
    return _of(0, size, dtype)


def ones(size: int, dtype: np.dtype) -> np.ndarray:
    """Return ones (size,)."""
    return _of(1, size, dtype)
