"""Dropout on NumPy: 32 bits of a keyed Philox stream for each element, compared with a threshold."""

from __future__ import annotations

import numpy as np


def forward(x: np.ndarray, rate: float, key: int, noise_shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x of any shape -> y of the same shape, and what was kept (booleans of `noise_shape`)."""
    count = int(np.prod(noise_shape))
    words = np.random.Philox(key=key).random_raw((count + 1) // 2)
    bits = words.view(np.uint32)[:count].reshape(noise_shape)
    kept = bits >= np.uint32(min(round(rate * 2**32), 2**32 - 1)) if rate < 1 else np.zeros(noise_shape, bool)
    return backward(x, rate, kept), kept


def backward(dy: np.ndarray, rate: float, kept: np.ndarray) -> np.ndarray:
    """Scale what was kept by 1 / (1 - rate), drop the rest."""
    factor = dy.dtype.type(0 if rate == 1 else 1 / (1 - rate))
    return dy * (kept * factor)
