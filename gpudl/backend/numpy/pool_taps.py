"""Pooling tap by tap, of windows that overlap or reach beyond the input: one strided slice for each tap of the window.

The winner is found by counting, from the last tap to the first, how many taps in a row did not win.

Memory plan. A few images, their maxima and winners lie in the third-level cache while one tap after the other goes over
them, in the place of the result, in rows that are as short as a pixel has channels (`rows.short`). Images are gone over
in order first, by the look for NaN: memory is slow at every second pixel of every second row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from gpudl.backend.numpy import aligned, rows
from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.pool_planes import bits
from gpudl.backend.numpy.workers import Piece, Pieces, blocks, evenly, run
from gpudl.shapes import PoolGeometry

BLOCK = 1 << 19
"""Input elements of one block. In blocks of the L2 cache's size two threads are no quicker than one: they wait for the
interpreter between many short steps (measured)."""

Slices: TypeAlias = tuple[slice, ...]
Tap: TypeAlias = tuple[Slices, Slices]
"""The windows that have this tap inside the input, and the inputs they read."""


@lru_cache(maxsize=256)
def _taps(pool: PoolGeometry) -> list[Tap]:
    """Return the taps of a window in row-major order."""
    found = []
    for r in range(pool.rows.window):
        out_rows, in_rows = pool.rows.tap(r)
        for s in range(pool.columns.window):
            out_columns, in_columns = pool.columns.tap(s)
            found.append(((slice(None), out_rows, out_columns), (slice(None), in_rows, in_columns)))
    return found


@lru_cache(maxsize=256)
def _blocks(pool: PoolGeometry, block: int) -> Pieces:
    return blocks(pool.batch, evenly(pool.batch, block // max(1, math.prod(pool.x_shape[1:]))))


def blocks_of(pool: PoolGeometry) -> Pieces:
    """Cut the batch into blocks of a few images."""
    return _blocks(pool, BLOCK)


def _shaped(shape: tuple[int, ...], room: np.ndarray) -> np.ndarray:
    return room.reshape(shape)


def _each(pieces: Iterator[Piece], *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for start, stop in pieces:
        yield tuple(array[start:stop] for array in arrays)


def find_maxima(x: np.ndarray, y: np.ndarray, winner: np.ndarray, pool: PoolGeometry) -> None:
    """x (N, H, W, C) -> y (N, P, Q, C), and the number of the winner in its window."""

    def work(pieces: Iterator[Piece]) -> None:
        with rows.short():
            for images, best, number in _each(pieces, x, y, winner):
                lost = kept(_shaped, best.shape, best.size, np.dtype(bool))
                largest = images.max()
                has_nan = bool(largest != largest)
                _take_maxima(images, best, pool)
                _count_losers(images, best, number, lost, pool, has_nan)

    run(work, blocks_of(pool), x.size)


def _take_maxima(images: np.ndarray, best: np.ndarray, pool: PoolGeometry) -> None:
    """best (n, P, Q, C) = the maxima of windows of images (n, H, W, C)."""
    taps = _taps(pool)
    if pool.inside and len(taps) > 1:
        np.maximum(images[taps[0][1]], images[taps[1][1]], out=best)
        taps = taps[2:]
    else:
        best.fill(-np.inf if best.dtype.kind == "f" else np.iinfo(best.dtype).min)
    for outputs, inputs in taps:
        np.maximum(best[outputs], images[inputs], out=best[outputs])


def _count_losers(
    images: np.ndarray, best: np.ndarray, number: np.ndarray, lost: np.ndarray, pool: PoolGeometry, has_nan: bool
) -> None:
    """number (n, P, Q, C) = of taps before the first whose input is the maximum; `lost` is room for booleans."""
    number.fill(0)
    taps = _taps(pool)[:-1] if pool.inside else _taps(pool)  # what none before has won the last one has
    for outputs, inputs in reversed(taps):
        found = lost[outputs]
        np.not_equal(images[inputs], best[outputs], out=found)
        if has_nan:  # NaN differs from itself, yet where it stands it has won
            found &= ~np.isnan(images[inputs])
        number += 1
        counted = number[outputs]
        counted *= found.view(np.uint8)


def give_to_winners(dy: np.ndarray, winner: np.ndarray, dx: np.ndarray, pool: PoolGeometry) -> None:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient at its winner; where windows overlap they add up."""

    def work(pieces: Iterator[Piece]) -> None:
        with rows.short():
            for gradient, number, target in _each(pieces, dy, winner, dx):
                part = aligned.empty_like(gradient)
                target.fill(0)
                for k, (outputs, inputs) in enumerate(_taps(pool)):
                    np.multiply(bits(gradient), np.equal(number, k), out=bits(part))
                    target[inputs] += part[outputs]

    run(work, blocks_of(pool), dx.size)


def _shares(pool: PoolGeometry, dtype: np.dtype) -> np.ndarray:
    """1 / number of real elements of each window, (P, Q, 1)."""
    counts = np.multiply.outer(np.array(pool.rows.counts()), np.array(pool.columns.counts()))
    return (1.0 / counts).astype(dtype)[:, :, None]


def find_means(x: np.ndarray, y: np.ndarray, pool: PoolGeometry) -> None:
    """x (N, H, W, C) -> y (N, P, Q, C), the means of each window's real elements."""
    shares = _shares(pool, x.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        with rows.short():
            for images, total in _each(pieces, x, y):
                total.fill(0)
                for outputs, inputs in _taps(pool):
                    total[outputs] += images[inputs]
                total *= shares

    run(work, blocks_of(pool), x.size)


def share_out(dy: np.ndarray, dx: np.ndarray, pool: PoolGeometry) -> None:
    """dy (N, P, Q, C) -> dx (N, H, W, C): its share to each of a window's real elements, added up."""
    shares = _shares(pool, dy.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        with rows.short():
            for gradient, target in _each(pieces, dy, dx):
                target.fill(0)
                share = gradient * shares
                for outputs, inputs in _taps(pool):
                    target[inputs] += share[outputs]

    run(work, blocks_of(pool), dx.size)
