"""Activation functions with their gradients."""

from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module, kernels


@differentiable
def relu(x: Array) -> tuple[Array, Any]:
    """Keep what is positive: max(x, 0), elementwise. Gradient: 1 where x > 0, else 0 (0 at 0)."""
    twin = kernels("relu", x)
    y = twin.forward(x)
    return y, lambda dy: twin.backward(dy, y)


@differentiable
def sigmoid(x: Array) -> tuple[Array, Any]:
    """Squash into (0, 1): 1 / (1 + exp(-x)), elementwise. Gradient: y (1 - y). Does not overflow."""
    xp = array_module(x)
    decay = xp.exp(-xp.abs(x))
    y = xp.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))
    return y, lambda dy: dy * y * (1 - y)


@differentiable
def tanh(x: Array) -> tuple[Array, Any]:
    """Squash into (-1, 1): tanh(x), elementwise. Gradient: 1 - y^2."""
    y = array_module(x).tanh(x)
    return y, lambda dy: dy * (1 - y * y)


def softmax_values(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum exp(x) over `axis` of a plain array; the largest entry is taken off first, so nothing overflows."""
    xp = array_module(x)
    y = x - x.max(axis=axis, keepdims=True)
    y = y if y.dtype.kind == "f" else y.astype("float32")
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


@differentiable
def softmax(x: Array, *, axis: int = -1) -> tuple[Array, Any]:
    """Turn scores into probabilities: exp(x) / sum exp(x) over `axis`. Shapes: y as x."""
    y = softmax_values(x, axis)
    return y, lambda dy: y * (dy - (dy * y).sum(axis=axis, keepdims=True))


@differentiable
def log_softmax(x: Array, *, axis: int = -1) -> tuple[Array, Any]:
    """Logarithm of the softmax, without ever forming it: x - log sum exp(x) over `axis`. Shapes: y as x."""
    xp = array_module(x)
    y = x - x.max(axis=axis, keepdims=True)
    y = y if y.dtype.kind == "f" else y.astype("float32")
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y, lambda dy: dy - xp.exp(y) * dy.sum(axis=axis, keepdims=True)
