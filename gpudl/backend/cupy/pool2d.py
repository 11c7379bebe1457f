"""2-D pooling on the GPU: launches of pool2d.cu, which says how the work is done."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import NUMBERS, TYPES, contiguous, launch_each, pack
from gpudl.backend.cupy.windows import windows
from gpudl.shapes import PoolGeometry


@lru_cache(maxsize=1024)
def _for(pool: PoolGeometry, made: tuple[int, int, int, int], at_once: int) -> np.ndarray:
    """Describe the windows to a kernel that makes an array of this shape, so many channels at once."""
    return windows(pool, (*made[:3], made[3] // at_once), 1, channels=pool.channels // at_once)


def _winner_type(pool: PoolGeometry) -> tuple[type, str]:
    return (np.uint8, "unsigned char") if pool.area <= 255 else (np.int32, "int")


def _launch(
    name: str, pool: PoolGeometry, arrays: tuple[Array, ...], made: Array, known: Mapping[str, str] = TYPES
) -> None:
    """Run a kernel with a thread for each pack of an array that it makes."""
    at_once = min(4, pack(arrays[0], pool.channels))
    arguments: tuple[Any, ...] = (*arrays, _for(pool, made.shape, at_once))
    largest, winner = max(a.size for a in arrays), _winner_type(pool)[1]
    launch_each("pool2d", name, made.size // at_once, arguments, largest, known, WINNER=winner, PACK=at_once)


def max_forward(x: Array, pool: PoolGeometry) -> tuple[Array, Array]:
    """x (N, H, W, C) -> y (N, P, Q, C) and the winner's number in its window, of the same shape."""
    xp = array_module(x)
    y, winner = xp.empty(pool.y_shape, x.dtype), xp.empty(pool.y_shape, _winner_type(pool)[0])
    _launch("max_forward", pool, (contiguous(x), y, winner), y, NUMBERS)
    return y, winner


def max_backward(dy: Array, winner: Array, pool: PoolGeometry) -> Array:
    """dy (N, P, Q, C) -> dx (N, H, W, C): each window's gradient goes to its winner; overlapping windows add up."""
    dx = array_module(dy).empty(pool.x_shape, dy.dtype)
    _launch("max_backward", pool, (contiguous(dy), winner, dx), dx)
    return dx


def average_forward(x: Array, pool: PoolGeometry) -> Array:
    """x (N, H, W, C) -> y (N, P, Q, C): the mean of each window's real elements."""
    y = array_module(x).empty(pool.y_shape, x.dtype)
    _launch("average_forward", pool, (contiguous(x), y), y)
    return y


def average_backward(dy: Array, pool: PoolGeometry) -> Array:
    """dy (N, P, Q, C) -> dx (N, H, W, C)."""
    dx = array_module(dy).empty(pool.x_shape, dy.dtype)
    _launch("average_backward", pool, (contiguous(dy), dx), dx)
    return dx
