"""2-D pooling on NumPy.

Where windows lie apart, their taps are put into planes of their own: pool_planes.py. Where they overlap that would be
many times as much as the images, and where they reach beyond the input some taps are missing: pool_taps.py takes one
tap after the other.

The winner of a window is kept as its number in the window (row-major), one byte each. On the way back the bits of a
gradient, as an integer, are multiplied by 1 for the tap that has won and by 0 for the others: whatever the gradient,
infinite or not a number, losers get 0.

Where numba is installed, max pooling of large arrays is a loop that does all of it in one pass: loops.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import ModuleType

import numpy as np

from gpudl.backend.numpy import aligned, loops, pool_planes, pool_taps
from gpudl.backend.numpy.workers import Piece, run
from gpudl.shapes import PoolGeometry


@lru_cache(maxsize=256)
def _way(pool: PoolGeometry) -> ModuleType:
    return pool_planes if pool.apart else pool_taps


def max_forward(x: np.ndarray, pool: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """x (N, H, W, C) -> y (N, P, Q, C) and the winner's number in its window, of the same shape."""
    y = aligned.empty(pool.y_shape, x.dtype)
    winner = aligned.empty(pool.y_shape, np.uint8 if pool.area <= 255 else np.int32)
    loop = loops.loop_for(loops.max_pool, (pool.rows.window, pool.columns.window), x.size, x)
    if loop is not None:
        places = pool.rows.before, pool.columns.before, pool.rows.stride, pool.columns.stride
        _run_loop(loop, pool, (x, y, winner), places)
    elif y.size:
        _way(pool).find_maxima(x, y, winner, pool)
    return y, winner


def max_backward(dy: np.ndarray, winner: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient goes to its winner; overlapping windows add up."""
    dx = aligned.empty(pool.x_shape, dy.dtype)
    loop = loops.loop_for(loops.max_unpool, (pool.rows.window, pool.columns.window), dx.size, dy, winner)
    if loop is not None and pool.tiles_exactly:
        _run_loop(loop, pool, (dy, winner, dx), ())
    elif dx.size:
        _way(pool).give_to_winners(dy, winner, dx, pool)
    return dx


def _run_loop(
    loop: Callable[..., None], pool: PoolGeometry, arrays: tuple[np.ndarray, ...], settings: tuple[int, ...]
) -> None:
    def one_pass(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            loop(*(array[start:stop] for array in arrays), *settings)

    run(one_pass, pool_taps.blocks_of(pool), math.prod(pool.x_shape))


def average_forward(x: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """x (N, H, W, C) -> y (N, P, Q, C): the mean of each window's real elements."""
    y = aligned.empty(pool.y_shape, x.dtype)
    if y.size:
        _way(pool).find_means(x, y, pool)
    return y


def average_backward(dy: np.ndarray, pool: PoolGeometry) -> np.ndarray:
    """dy (N, P, Q, C) -> dx (N, H, W, C)."""
    dx = aligned.empty(pool.x_shape, dy.dtype)
    if dx.size:
        _way(pool).share_out(dy, dx, pool)
    return dx
