"""Softmax and the cross-entropies after it, on rows (M, K), on NumPy."""

from __future__ import annotations

import numpy as np

CLIP = 1e-7
"""Keras's: probabilities are kept within [CLIP, 1 - CLIP] before the logarithm."""


def forward(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> exp(x) / sum exp(x) of each row; the largest entry is taken off first, so nothing overflows."""
    with np.errstate(invalid="ignore"):  # among infinite scores there is no probability: NaN
        y = x - x.max(axis=-1, keepdims=True)
        np.exp(y, out=y)
        y /= y.sum(axis=-1, keepdims=True)
    return y


def backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dy and y (M, K) -> dx = y (dy - sum(dy y))."""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def picked(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """p (M, K), labels (M,) -> -log(p[label] / sum(p)) of each row, clipped as Keras does."""
    share = p[np.arange(len(p)), labels] / p.sum(axis=-1)
    return -np.log(np.clip(share, CLIP, 1 - CLIP))


def picked_gradient(dy: np.ndarray, p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """dy (M,), p = softmax(x) (M, K), labels (M,) -> dx = (p - one at the label) dy."""
    dx = p.copy()
    dx[np.arange(len(p)), labels] -= 1
    dx *= dy[:, None]
    return dx


def crossed(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """p and t (M, K) -> -sum(t log p) of each row, p clipped as Keras does."""
    return -(t * np.log(np.clip(p, CLIP, 1 - CLIP))).sum(axis=-1)


def crossed_gradient(dy: np.ndarray, p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """dy (M,), p = softmax(x) and t (M, K) -> dx = (p sum(t) - t) dy."""
    return dy[:, None] * (p * t.sum(axis=-1, keepdims=True) - t)


def picked_of_logits(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (M, K), labels (M,) -> -log(p[label]) of each row, not clipped, and p = softmax(x)."""
    shifted = x - x.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    return np.log(total[:, 0]) - shifted[np.arange(len(x)), labels], p


def crossed_of_logits(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and t (M, K) -> -sum(t log p) of each row, not clipped, and p = softmax(x)."""
    shifted = x - x.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    return np.log(total[:, 0]) * t.sum(axis=-1) - (shifted * t).sum(axis=-1), p
