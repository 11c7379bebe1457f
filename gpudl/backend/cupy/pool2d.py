"""2-D pooling on the GPU: launches of pool2d.cu, which says how the work is done."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import NUMBERS, contiguous, launch_each
from gpudl.backend.cupy.windows import windows
from gpudl.shapes import PoolGeometry


@lru_cache(maxsize=1024)
def _for_outputs(pool: PoolGeometry) -> np.ndarray:
    return windows(pool, pool.y_shape, 1)


@lru_cache(maxsize=1024)
def _for_inputs(pool: PoolGeometry) -> np.ndarray:
    return windows(pool, pool.x_shape, 1)


def _winner_type(pool: PoolGeometry) -> tuple[type, str]:
    return (np.uint8, "unsigned char") if pool.area <= 255 else (np.int32, "int")


def max_forward(x: Array, pool: PoolGeometry) -> tuple[Array, Array]:
    """x (N, H, W, C) -> y (N, P, Q, C) and the winner's number in its window, of the same shape."""
    xp = array_module(x)
    kind, name = _winner_type(pool)
    y, winner = xp.empty(pool.y_shape, x.dtype), xp.empty(pool.y_shape, kind)
    arguments = (contiguous(x), y, winner, _for_outputs(pool))
    launch_each("pool2d", "max_forward", y.size, arguments, x.size, NUMBERS, WINNER=name)
    return y, winner


def max_backward(dy: Array, winner: Array, pool: PoolGeometry) -> Array:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient goes to its winner; overlapping windows add up."""
    xp = array_module(dy)
    dx = xp.empty(pool.x_shape, dy.dtype)
    arguments = (contiguous(dy), winner, dx, _for_inputs(pool))
    launch_each("pool2d", "max_backward", dx.size, arguments, dy.size, WINNER=_winner_type(pool)[1])
    return dx


def average_forward(x: Array, pool: PoolGeometry) -> Array:
    """x (N, H, W, C) -> y (N, P, Q, C): the mean of each window's real elements."""
    xp = array_module(x)
    y = xp.empty(pool.y_shape, x.dtype)
    arguments = (contiguous(x), y, _for_outputs(pool))
    launch_each("pool2d", "average_forward", y.size, arguments, x.size, WINNER="int")
    return y


def average_backward(dy: Array, pool: PoolGeometry) -> Array:
    """dy (N, P, Q, C) -> dx (N, H, W, C)."""
    xp = array_module(dy)
    dx = xp.empty(pool.x_shape, dy.dtype)
    arguments = (contiguous(dy), dx, _for_inputs(pool))
    launch_each("pool2d", "average_backward", dx.size, arguments, dy.size, WINNER="int")
    return dx
