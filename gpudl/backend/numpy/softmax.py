"""Softmax and the cross-entropies after it, on rows (M, K), on NumPy.

Memory plan. Of the scores' size there are the probabilities, which the gradient is made of, and the scores less their
largest: a batch of scores is small, and what counts is how few calls there are.
"""

from __future__ import annotations

import numpy as np

from gpudl.backend.numpy.constants import ones
from gpudl.backend.numpy.products import product

SHORT = 64
"""Numbers of a row up to which its largest is sooner found among columns: NumPy begins a loop for each row."""

CLIP = 1e-7
"""Keras's: probabilities are kept within [CLIP, 1 - CLIP] before the logarithm."""


def _largest(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> (M, 1)."""
    return x.max(axis=-1, keepdims=True) if x.shape[1] > SHORT else x.T.copy().max(axis=0)[:, None]


def _sums(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> (M, 1): summed as a product with ones, which BLAS does in half the time of a reduction."""
    return product(x, ones(x.shape[1], x.dtype)[:, None])


def _places(labels: np.ndarray, p: np.ndarray) -> np.ndarray:
    """labels (M,), p (M, K) -> where the label of each row lies in p laid out flat."""
    return np.arange(0, p.size, p.shape[1]) + labels.astype(np.int64, copy=False)


def forward(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> exp(x) / sum exp(x) of each row; the largest entry is taken off first, so nothing overflows."""
    with np.errstate(invalid="ignore"):  # among infinite scores there is no probability: NaN
        y = x - _largest(x)
        np.exp(y, out=y)
        y /= _sums(y)
    return y


def backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dy and y (M, K) -> dx = y (dy - sum(dy y))."""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def picked(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """p (M, K), labels (M,) -> -log(p[label] / sum(p)) of each row, clipped as Keras does."""
    share = p.reshape(-1)[_places(labels, p)] / _sums(p)[:, 0]
    return -np.log(np.minimum(np.maximum(share, CLIP), 1 - CLIP))  # np.clip takes twice as long to begin


def picked_gradient(dy: np.ndarray, p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """dy (M,), p = softmax(x) (M, K), labels (M,) -> dx = (p - one at the label) dy."""
    dx = p.copy()
    dx.reshape(-1)[_places(labels, p)] -= 1
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
    shifted = x - _largest(x)
    p = np.exp(shifted)
    total = _sums(p)
    p /= total
    return np.log(total[:, 0]) - shifted.reshape(-1)[_places(labels, p)], p


def crossed_of_logits(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and t (M, K) -> -sum(t log p) of each row, not clipped, and p = softmax(x)."""
    shifted = x - _largest(x)
    p = np.exp(shifted)
    total = _sums(p)
    p /= total
    return np.log(total[:, 0]) * t.sum(axis=-1) - (shifted * t).sum(axis=-1), p
