"""2-D pooling on NumPy: the taps of all windows side by side, a few images at a time.

What is done with taps, maxima and comparisons, goes over long rows of numbers once they are in planes of their own, at
three times the speed (measured): planes.py.

The winner of a window is kept as its number in the window (row-major), one byte each. Each plane becomes the maximum of
itself and those before it, and the last one that of the window. The winner is the first to be as large: so many planes
are smaller than the last one. On the way back the bits of a gradient, as an integer, are multiplied by 1 for the tap
that has won and by 0 for the others: whatever the gradient, infinite or not a number, losers get 0.

Memory plan. The planes of a few images, and a boolean for each number, lie in the third-level cache. Images are read
once, maxima and gradients written once.

Where numba is installed, max pooling of large arrays is a loop that does all of it in one pass: loops.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np

from gpudl.backend.numpy import aligned, loops
from gpudl.backend.numpy.planes import Planes, bits, putting_together, taking_apart
from gpudl.backend.numpy.workers import Piece, Pieces, blocks, evenly, run
from gpudl.shapes import PoolGeometry

BLOCK = 1 << 19
"""Numbers of the planes of one block. In blocks of the L2 cache's size two threads are no quicker than one: they wait
for the interpreter between many short steps (measured)."""

Slices: TypeAlias = tuple[slice, ...]
Tap: TypeAlias = tuple[Slices, Slices]
"""The windows that have this tap inside the input, and the inputs they read."""


class _Plan(NamedTuple):
    """What is the same for all calls on images of one shape."""

    pool: PoolGeometry
    taps: list[Tap]
    """In row-major order."""
    blocks: Pieces
    row_blocks: Pieces
    """Where only the taps of one row of all windows are at hand at a time."""
    elements: int
    """Of all images."""


@lru_cache(maxsize=256)
def _plan(pool: PoolGeometry, block: int) -> _Plan:
    taps = []
    for r in range(pool.rows.window):
        out_rows, in_rows = pool.rows.tap(r)
        for s in range(pool.columns.window):
            out_columns, in_columns = pool.columns.tap(s)
            taps.append(((slice(None), out_rows, out_columns), (slice(None), in_rows, in_columns)))

    def cut(planes: int) -> Pieces:
        per_image = planes * math.prod(pool.y_shape[1:])
        return blocks(pool.batch, evenly(pool.batch, block // max(1, per_image)))

    return _Plan(pool, taps, cut(pool.area), cut(pool.columns.window), math.prod(pool.x_shape))


def _each(pieces: Iterator[Piece], *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for start, stop in pieces:
        yield tuple(array[start:stop] for array in arrays)


def max_forward(x: np.ndarray, pool: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """x (N, H, W, C) -> y (N, P, Q, C) and the winner's number in its window, of the same shape."""
    plan = _plan(pool, BLOCK)
    y = aligned.empty(pool.y_shape, x.dtype)
    winner = aligned.empty(pool.y_shape, np.uint8 if pool.area <= 255 else np.int32)
    loop = loops.loop_for(loops.max_pool, (pool.rows.window, pool.columns.window), x.size, x)
    if loop is not None:
        places = pool.rows.before, pool.columns.before, pool.rows.stride, pool.columns.stride

        def one_pass(pieces: Iterator[Piece]) -> None:
            for arrays in _each(pieces, x, y, winner):
                loop(*arrays, *places)

        run(one_pass, plan.blocks, plan.elements)
        return y, winner
    if not y.size:
        return y, winner
    smallest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    take_apart = taking_apart(x, pool, smallest)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            best, planes = y[start:stop], take_apart(start, stop)
            _find_maxima(planes.values, best)
            np.add.reduce(_losers(planes, best, plan, smallest), axis=0, dtype=winner.dtype, out=winner[start:stop])

    run(work, plan.blocks, plan.elements)
    return y, winner


def _find_maxima(taps: np.ndarray, best: np.ndarray) -> None:
    """Make taps (R * S, n, P, Q, C) the maxima of all up to each, but the last one, which is `best` (n, P, Q, C)."""
    if len(taps) == 1:
        best[...] = taps[0]
        return
    for before, tap in pairwise(taps[:-1]):
        np.maximum(before, tap, out=tap)
    np.maximum(taps[-2], taps[-1], out=best)


def _losers(planes: Planes, best: np.ndarray, plan: _Plan, outside: float) -> np.ndarray:
    """Return of which taps neither they nor any before are the window's maximum, `best` (n, P, Q, C).

    Shape (R * S - 1, n, P, Q, C), 0 or 1: the last tap is not asked, since where all others have lost it has won.
    """
    maxima, lost, largest = planes.values[:-1], planes.flags[:-1], best.max()
    np.not_equal(maxima, best, out=lost)
    has_nan = bool(largest != largest)
    if has_nan:  # NaN differs from itself, yet where it stands it has won
        lost &= ~np.isnan(maxima)
    if not plan.pool.inside and (has_nan or best.min() == outside):  # what lies outside may be as large as all inside
        lost |= _outside(plan.pool)
    return lost.view(np.uint8)


@lru_cache(maxsize=64)
def _outside(pool: PoolGeometry) -> np.ndarray:
    """Return of which taps, but the last, neither they nor any before lie inside the input: (R * S - 1, 1, P, Q, 1)."""
    axes = pool.rows, pool.columns
    places = (np.arange(a.window)[:, None] + np.arange(a.out) * a.stride - a.before for a in axes)
    down, across = ((place >= 0) & (place < a.size) for place, a in zip(places, axes, strict=True))
    inside = np.logical_and.outer(down, across).transpose(0, 2, 1, 3).reshape(pool.area, *pool.y_shape[1:3])
    return ~np.logical_or.accumulate(inside)[:-1, None, :, :, None]


def max_backward(dy: np.ndarray, winner: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient goes to its winner; overlapping windows add up."""
    plan = _plan(pool, BLOCK)
    dx = aligned.empty(pool.x_shape, dy.dtype)
    loop = loops.loop_for(loops.max_unpool, (pool.rows.window, pool.columns.window), dx.size, dy, winner)
    if loop is not None and pool.tiles_exactly:

        def one_pass(pieces: Iterator[Piece]) -> None:
            for arrays in _each(pieces, dy, winner, dx):
                loop(*arrays)

        run(one_pass, plan.blocks, plan.elements)
        return dx
    if not dx.size:
        return dx
    numbers = np.arange(pool.area, dtype=winner.dtype).reshape(-1, 1, 1, 1, 1)
    if pool.apart:
        put_together = putting_together(dx, pool)

        def work(pieces: Iterator[Piece]) -> None:
            for start, stop in pieces:
                planes = _give_to_winners(dy[start:stop], winner[start:stop], numbers)
                put_together(planes.pixels, start, stop)

        run(work, plan.blocks, plan.elements)
        return dx

    S = pool.columns.window

    def work_by_rows(pieces: Iterator[Piece]) -> None:
        for gradient, number, target in _each(pieces, dy, winner, dx):
            target.fill(0)
            for first in range(0, pool.area, S):
                planes = _give_to_winners(gradient, number, numbers[first : first + S])
                for (outputs, inputs), plane in zip(plan.taps[first : first + S], planes.values, strict=True):
                    target[inputs] += plane[outputs]

    run(work_by_rows, plan.row_blocks, plan.elements)
    return dx


def _give_to_winners(gradient: np.ndarray, number: np.ndarray, taps: np.ndarray) -> Planes:
    """Return the gradients (n, P, Q, C) where one of the taps (T, 1, 1, 1, 1) has won, else 0: (T, n, P, Q, C)."""
    planes = Planes.of((len(taps), *number.shape), gradient.dtype)
    np.equal(number, taps, out=planes.flags)
    np.copyto(planes.bits, planes.flags)  # by itself, since a product with booleans takes longer
    np.multiply(planes.bits, bits(gradient), out=planes.bits)
    return planes


def _shares(pool: PoolGeometry, dtype: np.dtype) -> np.ndarray:
    """1 / number of real elements of each window, (P, Q, 1)."""
    counts = np.multiply.outer(np.array(pool.rows.counts()), np.array(pool.columns.counts()))
    return (1.0 / counts).astype(dtype)[:, :, None]


def average_forward(x: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """x (N, H, W, C) -> y (N, P, Q, C): the mean of each window's real elements."""
    plan, shares = _plan(pool, BLOCK), _shares(pool, x.dtype)
    y = aligned.empty(pool.y_shape, x.dtype)
    if not y.size:
        return y
    take_apart = taking_apart(x, pool, 0)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            mean = np.add.reduce(take_apart(start, stop).values, axis=0, out=y[start:stop])
            mean *= shares

    run(work, plan.blocks, plan.elements)
    return y


def average_backward(dy: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C)."""
    plan, shares = _plan(pool, BLOCK), _shares(pool, dy.dtype)
    dx = aligned.empty(pool.x_shape, dy.dtype)
    if not dx.size:
        return dx
    put_together = putting_together(dx, pool) if pool.apart else None

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            plane = Planes.of((1, stop - start, *pool.y_shape[1:]), dy.dtype)
            share, target = np.multiply(dy[start:stop], shares, out=plane.values[0]), dx[start:stop]
            if put_together is not None:
                put_together(plane.pixels[0], start, stop)
                continue
            target.fill(0)
            for outputs, inputs in plan.taps:
                target[inputs] += share[outputs]

    run(work, plan.blocks, plan.elements)
    return dx
