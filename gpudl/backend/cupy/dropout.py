"""Dropout on the GPU: launches of dropout.cu."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import as_index, contiguous, index_type, launch_each
from gpudl.backend.cupy.recording import halves, under_way


class Kept(NamedTuple):
    """What was kept, as the key that draws it again."""

    key: int
    shape: tuple[int, ...]


def forward(x: Array, rate: float, key: int, noise_shape: tuple[int, ...]) -> tuple[Array, Kept]:
    """x of any shape -> y of the same shape, and what was kept."""
    kept = Kept(key, tuple(noise_shape))
    return backward(x, rate, kept), kept


def backward(dy: Array, rate: float, kept: Kept) -> Array:
    """Scale what was kept by 1 / (1 - rate), drop the rest."""
    xp = array_module(dy)
    if kept.shape != dy.shape:
        return dy * _dropped(xp.ones(kept.shape, dy.dtype), rate, kept.key)
    return _dropped(contiguous(dy), rate, kept.key)


def _dropped(x: Array, rate: float, key: int) -> Array:
    xp = array_module(x)
    if rate == 1:
        return x * x.dtype.type(0)
    y = xp.empty(x.shape, x.dtype)
    threshold = np.uint32(min(round(rate * 2**32), 2**32 - 1))
    recording = under_way()
    keys, row = (None, 0) if recording is None else recording.place_of(key)
    arguments = (x, y, *map(np.uint64, halves(key)), keys, row, threshold, x.dtype.type(1 / (1 - rate)))
    launch_each("dropout", "drop", -(-x.size // 8), (*arguments, as_index(x.size, index_type(x))), x.size)
    return y
