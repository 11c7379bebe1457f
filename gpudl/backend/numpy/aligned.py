"""Arrays that begin where a line of the cache does.

NumPy's arrays begin at any multiple of 16 bytes. A register of AVX-512 is as long as a line of the cache, 64 bytes, so
each that is read from or written to such an array touches two lines. In the cache that doubles what a pass takes that
writes elsewhere than it reads, and adds a quarter to those in place. To find the place costs a microsecond, and five
where the cache is full of a step's numbers (measured), so small arrays are left as NumPy makes them.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

LINE = 64
"""Bytes of a line of the cache, on the processors gpudl is likely to meet."""

SMALL = 1 << 15
"""Bytes of arrays that may begin anywhere."""


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Return an array of this shape, not filled."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    raw: Any = np.empty(size + LINE, np.uint8)
    return np.ndarray(shape, dtype, raw, -ctypes.addressof(ctypes.c_char.from_buffer(raw)) % LINE)


def empty_like(x: np.ndarray) -> np.ndarray:
    """Return an array of x's shape and type, in C order, not filled."""
    return empty(x.shape, x.dtype)


def full(shape: tuple[int, ...], value: float, dtype: np.dtype | type) -> np.ndarray:
    """Return an array of this shape, each number the value."""
    x = empty(shape, dtype)
    x.fill(value)
    return x


def zeros(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Return an array of this shape, all zeros."""
    return full(shape, 0, dtype)
