"""2-D pooling on NumPy: one strided slice per tap of the window, a few images at a time.

Taking the maximum of R*S slices is four times faster than a reduction over reshaped axes, because every step runs
over whole rows of channels. The winner of a window is kept as its number in the window (row-major), one byte each;
it is found by counting, from the last tap to the first, how many taps in a row did not win.

Memory plan. A few images, their maxima and winners lie in the third-level cache while one tap after the other goes over
them, in the place of the result. For the gradient of windows that do not overlap a block's parts for all taps lie side
by side, in rows as long as the block's, until one copy puts them in place.

Where numba is installed, max pooling of large arrays is a loop that does all of it in one pass: loops.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from gpudl.backend.numpy import aligned, loops
from gpudl.backend.numpy.workers import Piece, blocks, evenly, run
from gpudl.shapes import PoolGeometry

BLOCK = 1 << 19
"""Input elements of one block. In blocks of the L2 cache's size two threads are no quicker than one: they wait for the
interpreter between many short steps (measured)."""

Slices = tuple[slice, ...]


@lru_cache(maxsize=256)
def _taps(pool: PoolGeometry) -> list[tuple[Slices, Slices]]:
    """For each tap in row-major order: the windows that have it inside the input, and the inputs they read."""
    pairs = []
    for r in range(pool.rows.window):
        out_rows, in_rows = pool.rows.tap(r)
        for s in range(pool.columns.window):
            out_columns, in_columns = pool.columns.tap(s)
            pairs.append(((slice(None), out_rows, out_columns), (slice(None), in_rows, in_columns)))
    return pairs


def _images(pool: PoolGeometry) -> list[tuple[int, int]]:
    per_image = pool.rows.size * pool.columns.size * pool.channels
    return blocks(pool.batch, evenly(pool.batch, BLOCK // max(1, per_image)))


def _most_images(pool: PoolGeometry) -> int:
    """The images of the largest block."""
    pieces = _images(pool)
    return pieces[0][1] if pieces else 0


def _elements(pool: PoolGeometry) -> int:
    return pool.batch * pool.rows.size * pool.columns.size * pool.channels


def _each(pieces: Iterator[Piece], *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for start, stop in pieces:
        yield tuple(array[start:stop] for array in arrays)


def max_forward(x: np.ndarray, pool: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """x (N, H, W, C) -> y (N, P, Q, C) and the winner's number in its window, of the same shape."""
    taps = _taps(pool)
    y = aligned.empty(pool.y_shape, x.dtype)
    winner = aligned.empty(pool.y_shape, np.uint8 if pool.area <= 255 else np.int32)
    loop = loops.loop_for(loops.max_pool, (pool.rows.window, pool.columns.window), x.size, x)
    if loop is not None:
        places = pool.rows.before, pool.columns.before, pool.rows.stride, pool.columns.stride

        def one_pass(pieces: Iterator[Piece]) -> None:
            for arrays in _each(pieces, x, y, winner):
                loop(*arrays, *places)

        run(one_pass, _images(pool), _elements(pool))
        return y, winner

    def work(pieces: Iterator[Piece]) -> None:
        for images, best, number in _each(pieces, x, y, winner):
            if pool.tiles_exactly and len(taps) > 1:
                np.maximum(images[taps[0][1]], images[taps[1][1]], out=best)
                rest = taps[2:]
            else:
                best.fill(-np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min)
                rest = taps
            for outputs, inputs in rest:
                np.maximum(best[outputs], images[inputs], out=best[outputs])
            has_nan = x.dtype.kind == "f" and bool(np.isnan(best.max()))
            number.fill(0)
            # Without padding, what no earlier tap has won the last one has.
            for outputs, inputs in reversed(taps[:-1] if pool.has_no_padding else taps):
                lost = images[inputs] != best[outputs]
                if has_nan:  # NaN differs from itself, yet where it stands it has won
                    lost &= ~np.isnan(images[inputs])
                number += 1
                number[outputs] *= lost.view(np.uint8)

    run(work, _images(pool), _elements(pool))
    return y, winner


def max_backward(dy: np.ndarray, winner: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient goes to its winner; overlapping windows add up."""
    taps = _taps(pool)
    dx = aligned.empty(pool.x_shape, dy.dtype) if pool.tiles_exactly else aligned.zeros(pool.x_shape, dy.dtype)
    loop = loops.loop_for(loops.max_unpool, (pool.rows.window, pool.columns.window), dx.size, dy, winner)
    if loop is not None and pool.tiles_exactly:

        def one_pass(pieces: Iterator[Piece]) -> None:
            for arrays in _each(pieces, dy, winner, dx):
                loop(*arrays)

        run(one_pass, _images(pool), _elements(pool))
        return dx

    def work(pieces: Iterator[Piece]) -> None:
        if pool.tiles_exactly:
            _to_winners_of_tiles(_each(pieces, dy, winner, dx), pool, dx.dtype)
            return
        for gradient, number, target in _each(pieces, dy, winner, dx):
            for k, (outputs, inputs) in enumerate(taps):
                target[inputs] += gradient[outputs] * (number[outputs] == k)

    run(work, _images(pool), _elements(pool))
    return dx


def _to_winners_of_tiles(share: Iterator[tuple[np.ndarray, ...]], pool: PoolGeometry, dtype: np.dtype) -> None:
    """Of blocks of gradients and winners (n, P, Q, C), and of dx (n, H, W, C) to be filled, do all taps at once.

    What has won is made a number before it is multiplied, since NumPy is slow to multiply by booleans; rows are long
    until all is put in place.
    """
    R, S = pool.rows.window, pool.columns.window
    shape = R * S, _most_images(pool), *pool.y_shape[1:]
    won, parts = aligned.empty(shape, bool), aligned.empty(shape, dtype)
    for gradient, number, target in share:
        n, P, Q, C = number.shape
        mask, part = won[:, :n], parts[:, :n]
        np.equal(number, np.arange(R * S, dtype=number.dtype).reshape(-1, 1, 1, 1, 1), out=mask)
        np.copyto(part, mask.view(np.uint8))
        part *= gradient
        by_taps = target.reshape(n, P, R, Q, S, C).transpose(2, 4, 0, 1, 3, 5)
        by_taps[...] = part.reshape(R, S, n, P, Q, C)


def _shares(pool: PoolGeometry, dtype: np.dtype) -> np.ndarray:
    """1 / number of real elements of each window, (P, Q, 1)."""
    counts = np.multiply.outer(np.array(pool.rows.counts()), np.array(pool.columns.counts()))
    return (1.0 / counts).astype(dtype)[:, :, None]


def average_forward(x: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """x (N, H, W, C) -> y (N, P, Q, C): the mean of each window's real elements."""
    taps, shares = _taps(pool), _shares(pool, x.dtype)
    y = aligned.zeros(pool.y_shape, x.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        for images, total in _each(pieces, x, y):
            for outputs, inputs in taps:
                total[outputs] += images[inputs]
            total *= shares

    run(work, _images(pool), _elements(pool))
    return y


def average_backward(dy: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C)."""
    taps, shares = _taps(pool), _shares(pool, dy.dtype)
    dx = aligned.zeros(pool.x_shape, dy.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        for gradient, target in _each(pieces, dy, dx):
            share = gradient * shares
            for outputs, inputs in taps:
                target[inputs] += share[outputs]

    run(work, _images(pool), _elements(pool))
    return dx
