"""Cross-entropies, fused with the softmax or sigmoid before them, and on probabilities.

Labels and targets get no gradient. Probabilities are clipped to [1e-7, 1 - 1e-7], as in Keras.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module, kernels
from gpudl.errors import ShapeError, UsageError

CLIP = 1e-7


@differentiable
def softmax_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Any]:
    """Cross-entropy of softmax(logits) with target probabilities: -sum targets * log softmax(logits).

    Shapes: logits (..., K), targets (..., K) -> loss (...). Gradient: softmax(logits) * sum(targets) - targets.
    """
    twin, shape, K = kernels("softmax", logits, targets), logits.shape, logits.shape[-1]
    t = targets.astype(logits.dtype, copy=False).reshape(-1, K)
    loss, p = twin.crossed_of_logits(logits.reshape(-1, K), t)
    loss = loss.reshape(shape[:-1])
    return loss, (lambda dy: twin.crossed_gradient(dy.reshape(-1), p, t).reshape(shape), None)


@differentiable
def sparse_softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Any]:
    """Cross-entropy of softmax(logits) with integer labels: -log softmax(logits)[label].

    Shapes: logits (..., K), labels (...) of integers in [0, K) -> loss (...). Gradient: softmax(logits) - one_hot.
    """
    if labels.shape != logits.shape[:-1]:
        raise ShapeError(f"labels of shape {labels.shape} do not fit logits of shape {logits.shape}")
    _check_range(labels, logits.shape[-1])
    twin, shape, picks = kernels("softmax", logits, labels), logits.shape, labels.reshape(-1)
    loss, p = twin.picked_of_logits(logits.reshape(-1, shape[-1]), picks)
    loss = loss.reshape(labels.shape)
    return loss, (lambda dy: twin.picked_gradient(dy.reshape(-1), p, picks).reshape(shape), None)


@differentiable
def sigmoid_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Any]:
    """Cross-entropy of sigmoid(logits) with targets in [0, 1], elementwise: max(x, 0) - x t + log(1 + exp(-|x|)).

    Shapes: logits, targets and loss alike. Gradient: sigmoid(logits) - targets.
    """
    xp = array_module(logits)
    targets = targets.astype(logits.dtype, copy=False)
    decay = xp.exp(-xp.abs(logits))
    loss = xp.maximum(logits, 0) - logits * targets + xp.log1p(decay)

    def backward(dy: Array) -> Array:
        return dy * (xp.where(logits >= 0, 1 / (1 + decay), decay / (1 + decay)) - targets)

    return loss, (backward, None)


@differentiable
def cross_entropy(probabilities: Array, targets: Array) -> tuple[Array, Any]:
    """Cross-entropy of probabilities with target probabilities: -sum targets * log(p / sum p).

    Shapes: probabilities (..., K), targets (..., K) -> loss (...). Gradient: 0 where the clip takes hold.
    """
    xp = array_module(probabilities)
    targets = targets.astype(probabilities.dtype, copy=False)
    total = probabilities.sum(axis=-1, keepdims=True)
    share = probabilities / total
    clipped = xp.clip(share, CLIP, 1 - CLIP)
    loss = -(targets * xp.log(clipped)).sum(axis=-1)

    def backward(dy: Array) -> Array:
        dshare = -dy[..., None] * targets / clipped * (share == clipped)
        return (dshare - (dshare * share).sum(axis=-1, keepdims=True)) / total

    return loss, (backward, None)


@differentiable
def sparse_cross_entropy(probabilities: Array, labels: Array) -> tuple[Array, Any]:
    """Cross-entropy of probabilities with integer labels: -log (p[label] / sum p).

    Shapes: probabilities (..., K), labels (...) of integers in [0, K) -> loss (...). Gradient: 0 where clipped.
    """
    return _picked_loss(probabilities, labels)


@differentiable
def binary_cross_entropy(probabilities: Array, targets: Array) -> tuple[Array, Any]:
    """Cross-entropy of probabilities with targets in [0, 1], elementwise: -t log p - (1 - t) log(1 - p).

    Shapes: probabilities, targets and loss alike. Gradient: 0 where the clip takes hold.
    """
    xp = array_module(probabilities)
    targets = targets.astype(probabilities.dtype, copy=False)
    p = xp.clip(probabilities, CLIP, 1 - CLIP)
    loss = -(targets * xp.log(p) + (1 - targets) * xp.log(1 - p))
    return loss, (lambda dy: dy * (p - targets) / (p * (1 - p)) * (p == probabilities), None)


@differentiable
def sparse_cross_entropy_of_softmax(logits: Array, labels: Array, probabilities: Array) -> tuple[Array, Any]:
    """-log p[label], with p = softmax(logits) at hand: the value of `sparse_cross_entropy`, the short gradient.

    Shapes: logits and probabilities (..., K), labels (...) -> loss (...). Gradient: for the logits, p - one_hot.
    """
    if labels.shape != logits.shape[:-1]:
        raise ShapeError(f"labels of shape {labels.shape} do not fit probabilities of shape {probabilities.shape}")
    _check_range(labels, logits.shape[-1])
    twin, shape = kernels("softmax", logits, labels, probabilities), logits.shape
    p, picks = probabilities.reshape(-1, shape[-1]), labels.reshape(-1)
    loss = twin.picked(p, picks).reshape(labels.shape)
    return loss, (lambda dy: twin.picked_gradient(dy.reshape(-1), p, picks).reshape(shape), None, None)


@differentiable
def cross_entropy_of_softmax(logits: Array, targets: Array, probabilities: Array) -> tuple[Array, Any]:
    """-sum targets * log p, with p = softmax(logits) at hand: the value of `cross_entropy`, the short gradient.

    Shapes: logits, targets and probabilities (..., K) -> loss (...).
    Gradient: for the logits, p sum(targets) - targets.
    """
    twin, shape, K = kernels("softmax", logits, targets, probabilities), logits.shape, logits.shape[-1]
    p, t = (a.astype(logits.dtype, copy=False).reshape(-1, K) for a in (probabilities, targets))
    loss = twin.crossed(p, t).reshape(shape[:-1])
    return loss, (lambda dy: twin.crossed_gradient(dy.reshape(-1), p, t).reshape(shape), None, None)


@differentiable
def binary_cross_entropy_of_sigmoid(logits: Array, targets: Array, probabilities: Array) -> tuple[Array, Any]:
    """The value of `binary_cross_entropy` for p = sigmoid(logits) at hand; gradient for the logits: p - targets."""
    xp = array_module(logits)
    targets = targets.astype(logits.dtype, copy=False)
    p = xp.clip(probabilities, CLIP, 1 - CLIP)
    loss = -(targets * xp.log(p) + (1 - targets) * xp.log(1 - p))
    return loss, (lambda dy: dy * (probabilities - targets), None, None)


def _check_range(labels: Array, classes: int) -> None:
    """Raises: UsageError for labels that are no integers, or that no score stands for; on the GPU, where looking would
    make it wait, for the former alone."""
    if labels.dtype.kind not in "iu":
        raise UsageError(f"labels must be integers, the numbers of classes, but are of type {labels.dtype}")
    if not isinstance(labels, np.ndarray) or not labels.size:
        return
    unsigned = labels.view(f"{labels.dtype.byteorder}u{labels.itemsize}")  # where a number below 0 is a large one
    if unsigned.max() >= classes:
        first, last = int(labels.min()), int(labels.max())
        raise UsageError(
            f"sparse_categorical_crossentropy: labels run from {first} to {last}, but there are predictions for "
            f"{classes} classes, 0 to {classes - 1}; number the classes from 0, and give the last layer a unit for each"
        )


def _picked_loss(probabilities: Array, labels: Array) -> tuple[Array, Any]:
    xp = array_module(probabilities)
    if labels.shape != probabilities.shape[:-1]:
        raise ShapeError(f"labels of shape {labels.shape} do not fit probabilities of shape {probabilities.shape}")
    _check_range(labels, probabilities.shape[-1])
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    total = flat.sum(axis=-1, keepdims=True)
    share = flat / total
    picks = (xp.arange(len(flat)), labels.reshape(-1))
    picked = share[picks]
    clipped = xp.clip(picked, CLIP, 1 - CLIP)
    loss = -xp.log(clipped).reshape(labels.shape)

    def backward(dy: Array) -> Array:
        toward = -dy.reshape(-1) / clipped * (picked == clipped)
        dx = xp.repeat((-toward * picked)[:, None], flat.shape[1], axis=1)
        dx[picks] += toward
        dx /= total
        return dx.reshape(probabilities.shape)

    return loss, (backward, None)
