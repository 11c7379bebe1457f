"""Dropout on NumPy: 32 bits of a keyed Philox stream for each element, compared with a threshold.

Memory plan. The drawn bits are let go at once; what was kept is remembered as a byte each. The result is made where the
bytes become numbers, and multiplied in place.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from gpudl.backend.numpy import aligned

WORD = 2**64 - 1


class _Drawing(threading.local):
    """A thread's generator, which is given a new key for each draw: NumPy takes ten times as long to make another."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(key=0)
        self.at_start = self.philox.state

    def begin(self, key: int) -> np.random.Philox:
        """Return the generator as `np.random.Philox(key=key)` makes it."""
        self.at_start["state"]["key"][:] = key & WORD, key >> 64
        self.philox.state = self.at_start
        return self.philox


_drawing = _Drawing()


def forward(x: np.ndarray, rate: float, key: int, noise_shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x of any shape -> y of the same shape, and what was kept (booleans of `noise_shape`)."""
    count = math.prod(noise_shape)
    words = _drawing.begin(key).random_raw((count + 1) // 2)
    bits = words.view(np.uint32)[:count].reshape(noise_shape)
    kept = bits >= np.uint32(min(round(rate * 2**32), 2**32 - 1)) if rate < 1 else np.zeros(noise_shape, bool)
    return backward(x, rate, kept), kept


def backward(dy: np.ndarray, rate: float, kept: np.ndarray) -> np.ndarray:
    """Scale what was kept by 1 / (1 - rate), drop the rest."""
    dx = aligned.empty_like(dy)
    np.copyto(dx, kept.view(np.uint8))  # numbers of its own type: a product with booleans takes NumPy twice as long
    dx *= dy
    dx *= dy.dtype.type(0 if rate == 1 else 1 / (1 - rate))
    return dx
