"""Pooling of windows that lie apart: the taps of all windows side by side, in planes.

A tap is every second pixel of every second row, for which NumPy starts its loop anew at each pixel. In a plane of its
own it is one long row of numbers, and maxima and comparisons take a third of the time (measured). To get there a pixel
is copied with all its channels as one element, which takes NumPy half of the time of as many numbers. On the way back
gradients are made in planes, and the same copy turned round puts them in place.

The winner: each plane becomes the maximum of itself and those before it, and the last one that of the window. The
winner is the first to be as large: so many planes are smaller than the last one.

Memory plan. Windows that fill the images need no more of these than a band, as many rows as a window has, so that
blocks are of bands, however large an image. The planes of a block, and a boolean for each number, lie in the
third-level cache; images are read once, maxima and gradients written once. A copy goes through its result in order.
Into planes that would be to read every second pixel of every second row, at which memory is slow: so of large images it
is written down where each pixel belongs, and they are read in order and dealt out, in two thirds of the time
(measured), and gathered on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.workers import Piece, Pieces, blocks, evenly, run
from gpudl.shapes import PoolGeometry

BLOCK = 1 << 19
"""Numbers of the planes of one block. In blocks of the L2 cache's size two threads are no quicker than one: they wait
for the interpreter between many short steps (measured)."""

LARGE = 1 << 18
"""Numbers of images from which on it counts in what order they are read: fewer lie in the second-level cache."""

LINE = 64
"""Bytes of a pixel from which on it pays to deal them out: a line of the cache."""


class _Planes:
    """Room for a block: what all windows have of each tap, (R * S, n, P, Q, C), and a boolean for each number."""

    def __init__(self, key: tuple[tuple[int, ...], np.dtype], room: np.ndarray) -> None:
        shape, dtype = key
        size = math.prod(shape) * dtype.itemsize
        self.values = room[:size].view(dtype).reshape(shape)
        self.pixels = pixels(self.values)
        self.flags = room[size:].view(bool).reshape(shape)


def _planes(pool: PoolGeometry, images: int, dtype: np.dtype) -> _Planes:
    shape = pool.area, images, *pool.y_shape[1:]
    return kept(_Planes, (shape, dtype), math.prod(shape) * (dtype.itemsize + 1), np.dtype(np.uint8))


def pixels(x: np.ndarray) -> np.ndarray:
    """View x (..., C), C > 0, as pixels (...), which NumPy copies with all their channels at once."""
    return x.view(f"V{x.shape[-1] * x.itemsize}")[..., 0]


def bits(x: np.ndarray) -> np.ndarray:
    """x as integers of the same bits."""
    return x.view(f"i{x.itemsize}")


class _Plan(NamedTuple):
    """What is the same for all calls on images of one shape."""

    pool: PoolGeometry
    """With each row of windows as an image of its own, where windows fill the images."""
    fills: bool
    """Whether they do."""
    blocks: Pieces


@lru_cache(maxsize=256)
def _plan(pool: PoolGeometry, block: int) -> _Plan:
    fills = pool.tiles_exactly
    if fills:
        rows = replace(pool.rows, size=pool.rows.window, stride=pool.rows.window, after=0, out=1)
        pool = replace(pool, batch=pool.batch * pool.rows.out, rows=rows)
    most = block // (pool.area * math.prod(pool.y_shape[1:]))
    return _Plan(pool, fills, blocks(pool.batch, evenly(pool.batch, most)))


@lru_cache(maxsize=8)
def _places(R: int, S: int, images: int, P: int, Q: int) -> np.ndarray:
    """Return where in planes (R * S, n, P, Q) each pixel of images (n, P * R, Q * S) belongs, one after the other."""
    shape = R, S, images, P, Q
    return np.arange(math.prod(shape)).reshape(shape).transpose(2, 3, 0, 4, 1).flatten()


class _Images:
    """Images x (N, H, W, C), contiguous, and what their windows have of each tap."""

    def __init__(self, x: np.ndarray, plan: _Plan) -> None:
        self._pool = pool = plan.pool
        rows, columns = pool.rows, pool.columns
        self._whole = pixels(x.reshape(pool.x_shape))
        n, h, w = self._whole.strides
        shape = rows.window, columns.window, pool.batch, rows.out, columns.out
        steps = h, w, n, h * rows.stride, w * columns.stride
        self._windows = np.ndarray(shape, self._whole.dtype, x, 0, steps)
        self._large = plan.fills and x.size >= LARGE

    def _in_order(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels in the order of memory, and where they belong in planes."""
        pool, in_order = self._pool, self._whole[start:stop].reshape(-1)
        return in_order, _places(pool.rows.window, pool.columns.window, stop - start, pool.rows.out, pool.columns.out)

    def take_apart(self, start: int, stop: int, planes: _Planes) -> None:
        """Copy the taps of images from one to another."""
        if self._large and self._whole.itemsize >= LINE:
            source, places = self._in_order(start, stop)
            planes.pixels.reshape(-1)[places] = source
        else:
            windows = self._windows[:, :, start:stop]
            np.copyto(planes.pixels.reshape(windows.shape), windows)

    def put_together(self, start: int, stop: int, planes: _Planes) -> None:
        """Copy planes back to where the taps of images from one to another are."""
        if self._large:
            target, places = self._in_order(start, stop)
            np.take(planes.pixels.reshape(-1), places, out=target, mode="clip")  # "raise" would take room for a copy
        else:
            windows = self._windows[:, :, start:stop]
            np.copyto(windows, planes.pixels.reshape(windows.shape))

    def fill(self, start: int, stop: int, plane: np.ndarray) -> None:
        """Copy one plane (n, P, Q, C) to where each tap of images from one to another is."""
        np.copyto(self._windows[:, :, start:stop], pixels(plane))


def find_maxima(x: np.ndarray, y: np.ndarray, winner: np.ndarray, pool: PoolGeometry) -> None:
    """x (N, H, W, C) -> y (N, P, Q, C), and the number of the winner in its window."""
    plan = _plan(pool, BLOCK)
    images, pool = _Images(np.ascontiguousarray(x), plan), plan.pool
    y, winner = y.reshape(pool.y_shape), winner.reshape(pool.y_shape)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            planes, best = _planes(pool, stop - start, x.dtype), y[start:stop]
            images.take_apart(start, stop, planes)
            _maxima(planes.values, best)
            np.add.reduce(_losers(planes, best), axis=0, dtype=winner.dtype, out=winner[start:stop])

    run(work, plan.blocks, x.size)


def _maxima(taps: np.ndarray, best: np.ndarray) -> None:
    """Make taps (R * S, n, P, Q, C) the maxima of all up to each, but the last one, which is `best` (n, P, Q, C)."""
    if len(taps) == 1:
        np.copyto(best, taps[0])
        return
    for k in range(1, len(taps) - 1):
        np.maximum(taps[k - 1], taps[k], out=taps[k])
    np.maximum(taps[-2], taps[-1], out=best)


def _losers(planes: _Planes, best: np.ndarray) -> np.ndarray:
    """Return of which taps neither they nor any before are the window's maximum, `best` (n, P, Q, C).

    Shape (R * S - 1, n, P, Q, C), 0 or 1: the last tap is not asked, since where all others have lost it has won.
    """
    maxima, lost, largest = planes.values[:-1], planes.flags[:-1], best.max()
    np.not_equal(maxima, best, out=lost)
    if largest != largest:  # NaN differs from itself, yet where it stands it has won
        lost &= ~np.isnan(maxima)
    return lost.view(np.uint8)


def give_to_winners(dy: np.ndarray, winner: np.ndarray, dx: np.ndarray, pool: PoolGeometry) -> None:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient at its winner, 0 elsewhere."""
    plan, numbers = _plan(pool, BLOCK), np.arange(pool.area, dtype=winner.dtype).reshape(-1, 1, 1, 1, 1)
    images, pool = _Images(dx, plan), plan.pool
    dy, winner = dy.reshape(pool.y_shape), winner.reshape(pool.y_shape)
    if not plan.fills:
        dx.fill(0)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            planes = _planes(pool, stop - start, dx.dtype)
            np.equal(winner[start:stop], numbers, out=planes.flags)
            taps = bits(planes.values)
            np.copyto(taps, planes.flags)  # by itself, since a product with booleans takes longer
            np.multiply(taps, bits(dy[start:stop]), out=taps)
            images.put_together(start, stop, planes)

    run(work, plan.blocks, dx.size)


def find_means(x: np.ndarray, y: np.ndarray, pool: PoolGeometry) -> None:
    """x (N, H, W, C) -> y (N, P, Q, C), the means."""
    plan, share = _plan(pool, BLOCK), x.dtype.type(1 / pool.area)
    images, y = _Images(np.ascontiguousarray(x), plan), y.reshape(plan.pool.y_shape)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            planes = _planes(plan.pool, stop - start, x.dtype)
            images.take_apart(start, stop, planes)
            mean = np.add.reduce(planes.values, axis=0, out=y[start:stop])
            mean *= share

    run(work, plan.blocks, x.size)


def share_out(dy: np.ndarray, dx: np.ndarray, pool: PoolGeometry) -> None:
    """dy (N, P, Q, C) -> dx (N, H, W, C): its share to each tap, 0 elsewhere."""
    plan, share = _plan(pool, BLOCK), dx.dtype.type(1 / pool.area)
    images, dy = _Images(dx, plan), dy.reshape(plan.pool.y_shape)
    if not plan.fills:
        dx.fill(0)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            plane = _planes(plan.pool, stop - start, dx.dtype).values[0]
            np.multiply(dy[start:stop], share, out=plane)
            images.fill(start, stop, plane)

    run(work, plan.blocks, dx.size)
