"""The taps of all windows of images side by side, in planes, and back.

A tap is every second pixel of every second row, for which NumPy starts its loop anew at each pixel. In a plane of its
own it is one long row of numbers. To get there a pixel is copied with all its channels as one element, which takes
NumPy six to eight tenths of the time of as many numbers (measured).

Memory plan. A copy goes through its result in order. That of large images would read every second pixel of every second
row, at which memory is slow: so where each pixel belongs is written down, and they are read in order and dealt out, in
two thirds of the time (measured). With padding, images are copied into room with a border before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from gpudl.backend.numpy.kept import kept
from gpudl.shapes import PoolGeometry

LARGE = 1 << 18
"""Numbers of images from which on it counts in what order they are read: fewer lie in the second-level cache."""

LINE = 64
"""Bytes of a pixel from which on it is worth to write down where it belongs: a line of the cache."""


class Planes:
    """Room for a block: of some taps what all windows have there, and a boolean for each number."""

    def __init__(self, key: tuple[tuple[int, ...], np.dtype], room: np.ndarray) -> None:
        shape, dtype = key
        size = math.prod(shape) * dtype.itemsize
        self.values = room[:size].view(dtype).reshape(shape)
        """(taps, n, P, Q, C)."""
        self.bits = bits(self.values)
        self.pixels = pixels(self.values)
        self.flags = room[size:].view(bool).reshape(shape)

    @staticmethod
    def of(shape: tuple[int, ...], dtype: np.dtype) -> Planes:
        """Return this thread's room, of the shape (taps, n, P, Q, C)."""
        return kept(Planes, (shape, dtype), math.prod(shape) * (dtype.itemsize + 1), np.dtype(np.uint8))


def bits(x: np.ndarray) -> np.ndarray:
    """x as integers of the same bits."""
    return x.view(f"i{x.itemsize}")


def pixels(x: np.ndarray) -> np.ndarray:
    """View x (..., C), C > 0, as pixels (...), which NumPy copies with all their channels at once."""
    return x.view(f"V{x.shape[-1] * x.itemsize}")[..., 0]


def windows_of(x: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """View the pixels of x (n, height, width, C), contiguous, as the taps of all windows, (R, S, n, P, Q).

    The first window begins with the first pixel, the last one ends within x.
    """
    whole, rows, columns = pixels(x), pool.rows, pool.columns
    n, h, w = whole.strides
    shape = rows.window, columns.window, len(x), rows.out, columns.out
    return np.ndarray(shape, whole.dtype, x, 0, (h, w, n, h * rows.stride, w * columns.stride))


def _in_order(x: np.ndarray, pool: PoolGeometry) -> bool:
    return pool.tiles_exactly and x.size >= LARGE and x.shape[-1] * x.itemsize >= LINE


@lru_cache(maxsize=64)
def _places(pool: PoolGeometry, images: int) -> np.ndarray:
    """Return where in planes (R * S, n, P, Q) each pixel of so many images (n, H, W) belongs, for windows that tile."""
    shape = pool.rows.window, pool.columns.window, images, pool.rows.out, pool.columns.out
    return np.arange(math.prod(shape)).reshape(shape).transpose(2, 3, 0, 4, 1).flatten()


def taking_apart(x: np.ndarray, pool: PoolGeometry, outside: float) -> Callable[[int, int], Planes]:
    """Return what copies images from one to another of x (N, H, W, C) into planes (R * S, n, P, Q, C).

    Taps outside the images are `outside`.
    """
    x = np.ascontiguousarray(x)
    whole, windows = pixels(x), windows_of(x, pool) if pool.inside else None
    height, width = (max(a.before + a.size, a.reach) for a in (pool.rows, pool.columns))
    inner = tuple(slice(a.before, a.before + a.size) for a in (pool.rows, pool.columns))
    in_order = _in_order(x, pool)

    def take_apart(start: int, stop: int) -> Planes:
        planes = Planes.of((pool.area, stop - start, *pool.y_shape[1:]), x.dtype)
        if in_order:
            planes.pixels.reshape(-1)[_places(pool, stop - start)] = whole[start:stop].reshape(-1)
            return planes
        if windows is not None:
            source = windows[:, :, start:stop]
        else:
            padded = np.full((stop - start, height, width, pool.channels), outside, x.dtype)
            padded[:, *inner] = x[start:stop]
            source = windows_of(padded, pool)
        np.copyto(planes.pixels.reshape(source.shape), source)
        return planes

    return take_apart


def putting_together(dx: np.ndarray, pool: PoolGeometry) -> Callable[[np.ndarray, int, int], None]:
    """Return what copies pixels of planes (R * S, n, P, Q), or (n, P, Q) for all taps, to where windows have them.

    For windows apart: from one image to another of dx (N, H, W, C), which is 0 where there is no window.
    """
    whole, windows = pixels(dx), windows_of(dx, pool)
    in_order = _in_order(dx, pool)

    def put_together(planes: np.ndarray, start: int, stop: int) -> None:
        if in_order and planes.ndim == 4:
            places, target = _places(pool, stop - start), whole[start:stop].reshape(-1)
            np.take(planes.reshape(-1), places, out=target, mode="clip")  # "raise" would copy the target before
            return
        if not pool.tiles_exactly:
            dx[start:stop].fill(0)
        target = windows[:, :, start:stop]
        np.copyto(target, planes.reshape(target.shape) if planes.ndim == 4 else planes)

    return put_together
