"""2-D pooling on NumPy: one strided slice per tap of the window, a few images at a time.

Taking the maximum of R*S slices is four times faster than a reduction over reshaped axes, because every step runs
over whole rows of channels. The winner of a window is kept as its number in the window (row-major), one byte each;
it is found by counting, from the last tap to the first, how many taps in a row did not win. On the way back the bits of
a gradient, as an integer, are multiplied by 1 for the tap that has won and by 0 for the others: whatever the gradient,
infinite or not a number, losers get 0.

Memory plan. A few images, their maxima and winners lie in the third-level cache while one tap after the other goes over
them, in the place of the result. Gradients of windows that tile the images go straight to their places, all taps in one
call, in which NumPy widens booleans a few thousand numbers at a time (`rows.short`): nothing else is as large as a
block but those, a byte each. A tap reads or writes every second pixel of every second row, and memory is slow at that:
so each block is gone over in order first: images by max pooling's look for NaN, gradients by filling them with 0.

Where numba is installed, max pooling of large arrays is a loop that does all of it in one pass: loops.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from gpudl.backend.numpy import aligned, loops, rows
from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.workers import Piece, Pieces, blocks, evenly, run
from gpudl.shapes import PoolGeometry

BLOCK = 1 << 19
"""Input elements of one block. In blocks of the L2 cache's size two threads are no quicker than one: they wait for the
interpreter between many short steps (measured)."""

Slices: TypeAlias = tuple[slice, ...]
Tap: TypeAlias = tuple[Slices, Slices]
"""The windows that have this tap inside the input, and the inputs they read."""


class _Plan(NamedTuple):
    """What is the same for all calls on images of one shape."""

    taps: list[Tap]
    """In row-major order."""
    whole: bool
    """Whether all windows have all taps inside the input, and that is more than one."""
    blocks: Pieces
    most: int
    """Images of the largest block."""
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
    per_image = pool.rows.size * pool.columns.size * pool.channels
    pieces = blocks(pool.batch, evenly(pool.batch, block // max(1, per_image)))
    most = pieces[0][1] if pieces else 0
    return _Plan(taps, pool.has_no_padding and len(taps) > 1, pieces, most, pool.batch * per_image)


def _shaped(shape: tuple[int, ...], room: np.ndarray) -> np.ndarray:
    return room.reshape(shape)


def _room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return room for as many numbers as a block needs, which the next block and call find in the cache."""
    return kept(_shaped, shape, math.prod(shape), dtype)


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

    def work(pieces: Iterator[Piece]) -> None:
        lost = _room((plan.most, *y.shape[1:]), np.dtype(bool))
        with rows.short():
            for images, best, number in _each(pieces, x, y, winner):
                largest = images.max() if images.size else 0
                has_nan = bool(largest != largest)
                _take_maxima(images, best, plan)
                _count_losers(images, best, number, lost[: len(best)], plan, has_nan)

    run(work, plan.blocks, plan.elements)
    return y, winner


def _take_maxima(images: np.ndarray, best: np.ndarray, plan: _Plan) -> None:
    """best (n, P, Q, C) = the maxima of windows of images (n, H, W, C)."""
    taps = plan.taps
    if plan.whole:
        np.maximum(images[taps[0][1]], images[taps[1][1]], out=best)
        taps = taps[2:]
    else:
        best.fill(-np.inf if best.dtype.kind == "f" else np.iinfo(best.dtype).min)
    for outputs, inputs in taps:
        np.maximum(best[outputs], images[inputs], out=best[outputs])


def _count_losers(
    images: np.ndarray, best: np.ndarray, number: np.ndarray, lost: np.ndarray, plan: _Plan, has_nan: bool
) -> None:
    """number (n, P, Q, C) = of taps before the first whose input is the maximum; `lost` is room for booleans."""
    taps = plan.taps[:-1] if plan.whole else plan.taps  # what none before has won the last one has
    straight = plan.whole and number.itemsize == 1  # the first comparison is the first count
    if not straight:
        number.fill(0)
    for outputs, inputs in reversed(taps):
        found = number.view(bool) if straight else lost[outputs]
        np.not_equal(images[inputs], best[outputs], out=found)
        if has_nan:  # NaN differs from itself, yet where it stands it has won
            found &= ~np.isnan(images[inputs])
        if not straight:
            number += 1
            counted = number[outputs]
            counted *= found.view(np.uint8)
        straight = False


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

    def work(pieces: Iterator[Piece]) -> None:
        to_winners = _to_winners_of_tiles if pool.tiles_exactly else _add_to_winners
        with rows.short():
            to_winners(_each(pieces, dy, winner, dx), pool, plan)

    run(work, plan.blocks, plan.elements)
    return dx


Share: TypeAlias = Iterator[tuple[np.ndarray, ...]]
"""Blocks of dy and of winners, both (n, P, Q, C), and of dx (n, H, W, C)."""


def _to_winners_of_tiles(share: Share, pool: PoolGeometry, plan: _Plan) -> None:
    """Fill dx, all taps at once."""
    R, S = pool.rows.window, pool.columns.window
    room = _room((R * S, plan.most, *pool.y_shape[1:]), np.dtype(bool))
    taps = np.arange(R * S, dtype=np.min_scalar_type(R * S - 1)).reshape(-1, 1, 1, 1, 1)
    for gradient, number, target in share:
        n, P, Q, C = number.shape
        target.fill(0)
        won = np.equal(number, taps, out=room[:, :n]).reshape(R, S, n, P, Q, C)
        by_taps = target.reshape(n, P, R, Q, S, C).transpose(2, 4, 0, 1, 3, 5)
        np.multiply(_bits(gradient), won, out=_bits(by_taps))


def _add_to_winners(share: Share, pool: PoolGeometry, plan: _Plan) -> None:
    """Fill dx, one tap after the other: windows may overlap, or leave inputs out."""
    for gradient, number, target in share:
        part = aligned.empty_like(gradient)
        target.fill(0)
        for k, (outputs, inputs) in enumerate(plan.taps):
            np.multiply(_bits(gradient), np.equal(number, k), out=_bits(part))
            target[inputs] += part[outputs]


def _bits(x: np.ndarray) -> np.ndarray:
    """x as integers of the same bits."""
    return x.view(f"i{x.itemsize}")


def _shares(pool: PoolGeometry, dtype: np.dtype) -> np.ndarray:
    """1 / number of real elements of each window, (P, Q, 1)."""
    counts = np.multiply.outer(np.array(pool.rows.counts()), np.array(pool.columns.counts()))
    return (1.0 / counts).astype(dtype)[:, :, None]


def average_forward(x: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """x (N, H, W, C) -> y (N, P, Q, C): the mean of each window's real elements."""
    plan, shares = _plan(pool, BLOCK), _shares(pool, x.dtype)
    y = aligned.empty(pool.y_shape, x.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        with rows.short():
            for images, total in _each(pieces, x, y):
                total.fill(0)
                for outputs, inputs in plan.taps:
                    total[outputs] += images[inputs]
                total *= shares

    run(work, plan.blocks, plan.elements)
    return y


def average_backward(dy: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C)."""
    plan, shares = _plan(pool, BLOCK), _shares(pool, dy.dtype)
    dx = aligned.empty(pool.x_shape, dy.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        with rows.short():
            for gradient, target in _each(pieces, dy, dx):
                target.fill(0)
                share = gradient * shares
                for outputs, inputs in plan.taps:
                    target[inputs] += share[outputs]

    run(work, plan.blocks, plan.elements)
    return dx
