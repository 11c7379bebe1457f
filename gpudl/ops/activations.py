"""Activation functions with their gradients: each works on every element alone, but for the last ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpudl.arithmetic import agreeing, axes_of, plus, unbroadcast
from gpudl.autograd import differentiable
from gpudl.backend import Array, Shape, array_module, kernels
from gpudl.backend.numpy import addition
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.decorators import floating, pointwise
from gpudl.ops.erf import erf_values
from gpudl.shapes import shown

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@differentiable
def relu(
    x: Array, *, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> tuple[Array, Any]:
    """Keep what is positive: max(x, 0), elementwise. Gradient: 1 where x > 0, else 0 (0 at 0).

    With settings: max_value where x >= max_value, x above `threshold`, and negative_slope * (x - threshold) below.
    """
    if negative_slope == 0 and max_value is None and threshold == 0:
        twin = kernels("relu", x)
        y = twin.forward(x)
        return y, lambda dy: twin.backward(dy, y)
    return _bent_relu(x, negative_slope=negative_slope, max_value=max_value, threshold=threshold)


@differentiable
def relu_of_sum(a: Array, b: Array) -> tuple[Array, Any]:
    """Keep what is positive of a sum, as where branches of a network join: max(a + b, 0), elementwise and broadcast.

    Gradient: of both 1 where a + b > 0, else 0.
    """
    a, b = agreeing(a, b)
    if type(a) is type(b) is np.ndarray and a.shape == b.shape:
        y = addition.add(a, b, relu=True)
    else:
        total = plus(a, b)
        y = kernels("relu", total).forward(total)

    def backward(dy: Array) -> tuple[Array, Array]:
        dz = kernels("relu", dy).backward(dy, y)
        return unbroadcast(dz, a), unbroadcast(dz, b)

    return y, backward


@pointwise
def _bent_relu(x: Array, *, negative_slope: float, max_value: float | None, threshold: float) -> tuple[Array, Any]:
    xp = array_module(x)
    kept = x > threshold
    y = xp.where(kept, x, 0) if threshold else xp.maximum(x, 0)
    if max_value is not None:
        kept = kept & (x > 0) & (x < max_value)
        y = xp.clip(y, 0, max_value)
    if negative_slope:
        y = y - negative_slope * xp.maximum(threshold - x, 0)
    return y, lambda: kept + negative_slope * (x < threshold)


@differentiable
@pointwise
def leaky_relu(x: Array, *, negative_slope: float = 0.2) -> tuple[Array, Any]:
    """Let a share of what is negative through: x where x > 0, else negative_slope * x. Gradient: 1 or the slope."""
    xp = array_module(x)
    return xp.where(x > 0, x, negative_slope * x), lambda: xp.where(x > 0, 1, negative_slope)


@differentiable
def prelu(x: Array, alpha: Array) -> tuple[Array, Any]:
    """A leaky ReLU whose slopes are learned: x where x > 0, else alpha * x; alpha is broadcast.

    Gradient: for x 1 or alpha, 0 at 0; for alpha x where x < 0.
    Source: He et al. 2015, arXiv 1502.01852.
    """
    xp = array_module(x)
    negative = xp.minimum(x, 0)
    return xp.maximum(x, 0) + alpha * negative, (
        lambda dy: dy * ((x > 0) + alpha * (x < 0)),
        lambda dy: unbroadcast(dy * negative, alpha),
    )


@differentiable
@pointwise
def relu6(x: Array) -> tuple[Array, Any]:
    """A ReLU that stops at 6: min(max(x, 0), 6). Gradient: 1 where 0 < x < 6."""
    return array_module(x).clip(x, 0, 6), lambda: (x > 0) & (x < 6)


@differentiable
@pointwise
def elu(x: Array, *, alpha: float = 1.0) -> tuple[Array, Any]:
    """x where x > 0, else alpha (exp(x) - 1). Gradient: 1 or alpha exp(x).

    Source: Clevert et al. 2016, arXiv 1511.07289.
    """
    xp = array_module(x)
    below = xp.minimum(x, 0)
    return xp.where(x > 0, x, alpha * xp.expm1(below)), lambda: xp.where(x > 0, 1, alpha * xp.exp(below))


@differentiable
@pointwise
def selu(x: Array) -> tuple[Array, Any]:
    """SCALE * elu(x, ALPHA), with the numbers that keep mean 0 and variance 1 from layer to layer.

    Source: Klambauer et al. 2017, arXiv 1706.02515.
    """
    xp = array_module(x)
    below = xp.minimum(x, 0)
    y = xp.where(x > 0, SELU_SCALE * x, SELU_SCALE * SELU_ALPHA * xp.expm1(below))
    return y, lambda: xp.where(x > 0, SELU_SCALE, SELU_SCALE * SELU_ALPHA * xp.exp(below))


@differentiable
@pointwise
def celu(x: Array, *, alpha: float = 1.0) -> tuple[Array, Any]:
    """x where x > 0, else alpha (exp(x / alpha) - 1). Gradient: 1 or exp(x / alpha).

    Source: Barron 2017, arXiv 1704.07483.
    """
    if alpha == 0:
        raise UsageError("celu(alpha=0): x is divided by alpha; use any other number, or relu")
    xp = array_module(x)
    below = xp.minimum(x, 0) / alpha
    return xp.where(x > 0, x, alpha * xp.expm1(below)), lambda: xp.where(x > 0, 1, xp.exp(below))


def _logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), by whichever exponential does not overflow."""
    xp = array_module(x)
    decay = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def _soft_positive(x: Array) -> Array:
    """log(1 + exp(x)), by the exponential that does not overflow."""
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@differentiable
@pointwise
def sigmoid(x: Array) -> tuple[Array, Any]:
    """Squash into (0, 1): 1 / (1 + exp(-x)), elementwise. Gradient: y (1 - y). Does not overflow."""
    y = _logistic(x)
    return y, lambda: y * (1 - y)


@differentiable
@pointwise
def log_sigmoid(x: Array) -> tuple[Array, Any]:
    """Logarithm of the sigmoid: -log(1 + exp(-x)). Gradient: sigmoid(-x)."""
    return -_soft_positive(-x), lambda: _logistic(-x)


@differentiable
@pointwise
def hard_sigmoid(x: Array) -> tuple[Array, Any]:
    """A sigmoid of three straight pieces: x / 6 + 1 / 2, between 0 and 1. Gradient: 1 / 6 where -3 < x < 3."""
    return array_module(x).clip(x + 3, 0, 6) / 6, lambda: ((x > -3) & (x < 3)) / 6


@differentiable
@pointwise
def sparse_sigmoid(x: Array) -> tuple[Array, Any]:
    """A sigmoid of three straight pieces: (x + 1) / 2, between 0 and 1. Gradient: 1 / 2 where -1 < x < 1."""
    return array_module(x).clip(0.5 * (x + 1), 0, 1), lambda: ((x > -1) & (x < 1)) / 2


@differentiable
@pointwise
def silu(x: Array) -> tuple[Array, Any]:
    """x sigmoid(x), also called swish. Gradient: s + y (1 - s) with s = sigmoid(x).

    Source: Ramachandran et al. 2017, arXiv 1710.05941.
    """
    s = _logistic(x)
    y = x * s
    return y, lambda: s + y * (1 - s)


@differentiable
@pointwise
def hard_silu(x: Array) -> tuple[Array, Any]:
    """x hard_sigmoid(x), also called hard swish. Gradient: 0 below -3, 1 above 3, x / 3 + 1 / 2 between.

    Source: Howard et al. 2019, arXiv 1905.02244.
    """
    xp = array_module(x)
    return x * xp.clip(x + 3, 0, 6) / 6, lambda: xp.where(x < -3, 0, xp.where(x > 3, 1, x / 3 + 0.5))


hard_swish = hard_silu


@differentiable
@pointwise
def gelu(x: Array, *, approximate: bool = True) -> tuple[Array, Any]:
    """x times the share of the normal distribution below x: x (1 + erf(x / sqrt 2)) / 2.

    Approximated as x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Source: Hendrycks and Gimpel 2016, arXiv 1606.08415.
    """
    xp = array_module(x)
    if not approximate:
        share = 0.5 * (1 + erf_values(x * math.sqrt(0.5)))
        return x * share, lambda: share + x * xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    scale = math.sqrt(2 / math.pi)
    t = xp.tanh(scale * (x + 0.044715 * x * x * x))
    y = 0.5 * x * (1 + t)
    return y, lambda: 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * scale * (1 + 3 * 0.044715 * x * x)


@differentiable
@pointwise
def mish(x: Array) -> tuple[Array, Any]:
    """x tanh(log(1 + exp(x))), which is x a / (1 + a) with e = exp(x) and a = e + e^2 / 2.

    Gradient: e (x + 1 + e (x + 3/2 + e + e^2 / 4)) / (1 + a)^2, which keeps more digits near its zero at -1.19 than
    the derivative of the tanh does. Beyond 22 the share is 1 to the last digit, so exp(x) goes no further.
    Source: Misra 2019, arXiv 1908.08681.
    """
    xp = array_module(x)
    low = xp.minimum(x, 22)
    e = xp.exp(low)
    a = e * (1 + e / 2)
    return x * (a / (1 + a)), lambda: e * (low + 1 + e * (low + 1.5 + e * (1 + e / 4))) / ((1 + a) * (1 + a))


@differentiable
@pointwise
def softplus(x: Array) -> tuple[Array, Any]:
    """A smooth max(x, 0): log(1 + exp(x)). Gradient: sigmoid(x). Does not overflow."""
    return _soft_positive(x), lambda: _logistic(x)


@differentiable
@pointwise
def squareplus(x: Array, *, b: float = 4) -> tuple[Array, Any]:
    """A smooth max(x, 0) without exponentials: (x + sqrt(x^2 + b)) / 2. Gradient: (1 + x / sqrt(x^2 + b)) / 2.

    Source: Barron 2021, arXiv 2112.11687.
    """
    root = array_module(x).sqrt(x * x + b)
    return (x + root) / 2, lambda: (1 + x / root) / 2


@differentiable
@pointwise
def sparse_plus(x: Array) -> tuple[Array, Any]:
    """0 up to -1, (x + 1)^2 / 4 up to 1, x from there. Gradient: (x + 1) / 2, between 0 and 1."""
    xp = array_module(x)
    y = xp.where(x <= -1, 0, xp.where(x < 1, 0.25 * (x + 1) ** 2, x))
    return y, lambda: xp.clip(0.5 * (x + 1), 0, 1)


@differentiable
@pointwise
def softsign(x: Array) -> tuple[Array, Any]:
    """Squash into (-1, 1): x / (1 + |x|). Gradient: 1 / (1 + |x|)^2."""
    under = 1 + array_module(x).abs(x)
    return x / under, lambda: 1 / (under * under)


@differentiable
@pointwise
def tanh(x: Array) -> tuple[Array, Any]:
    """Squash into (-1, 1): tanh(x), elementwise. Gradient: 1 - y^2."""
    y = array_module(x).tanh(x)
    return y, lambda: 1 - y * y


@differentiable
@pointwise
def hard_tanh(x: Array) -> tuple[Array, Any]:
    """Cut off at -1 and 1. Gradient: 1 where -1 < x < 1."""
    return array_module(x).clip(x, -1, 1), lambda: (x > -1) & (x < 1)


@differentiable
@pointwise
def tanh_shrink(x: Array) -> tuple[Array, Any]:
    """x - tanh(x). Gradient: tanh(x)^2."""
    t = array_module(x).tanh(x)
    return x - t, lambda: t * t


@differentiable
@pointwise
def hard_shrink(x: Array, *, threshold: float = 0.5) -> tuple[Array, Any]:
    """0 where |x| <= threshold, else x. Gradient: 0 or 1."""
    xp = array_module(x)
    small = xp.abs(x) <= threshold
    return xp.where(small, 0, x), lambda: ~small


@differentiable
@pointwise
def soft_shrink(x: Array, *, threshold: float = 0.5) -> tuple[Array, Any]:
    """Pull towards 0 by `threshold`, and no further: sign(x) max(|x| - threshold, 0). Gradient: 0 or 1."""
    xp = array_module(x)
    return x - xp.clip(x, -threshold, threshold), lambda: xp.abs(x) > threshold


@differentiable
@pointwise
def threshold(x: Array, *, threshold: float, default_value: float) -> tuple[Array, Any]:
    """x where x > threshold, else `default_value`. Gradient: 1 or 0."""
    return array_module(x).where(x <= threshold, default_value, x), lambda: x > threshold


@differentiable
def glu(x: Array, *, axis: int = -1) -> tuple[Array, Any]:
    """Gate one half of the channels by the other: a sigmoid(b), x being a and b one after the other along `axis`.

    Shapes: y as x, half as long along `axis`. Raises: ShapeError where x cannot be halved.
    Source: Dauphin et al. 2017, arXiv 1612.08083.
    """
    x = floating(x)
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} of an input of shape {shown(x.shape)} cannot be halved")
    xp = array_module(x)
    a, b = xp.split(x, 2, axis=axis)
    s = _logistic(b)
    return a * s, lambda dy: xp.concatenate([dy * s, dy * a * s * (1 - s)], axis=axis)


def softmax_values(x: Array, axis: int | Shape | None = -1) -> Array:
    """exp(x) / sum exp(x) over `axis` of a plain array; the largest entry is taken off first, so nothing overflows."""
    xp = array_module(x)
    with np.errstate(invalid="ignore"):  # among infinite scores there is no probability: NaN
        y = x - x.max(axis=axis, keepdims=True)
        y = y if y.dtype.kind == "f" else y.astype("float32")
        xp.exp(y, out=y)
        y /= y.sum(axis=axis, keepdims=True)
    return y


@differentiable
def softmax(x: Array, *, axis: int | Shape | None = -1) -> tuple[Array, Any]:
    """Turn scores into probabilities: exp(x) / sum exp(x) over `axis` (None for all). Shapes: y as x."""
    axis = axes_of(axis)
    if x.dtype.kind == "f" and x.dtype.itemsize >= 4 and x.size and axis in (-1, x.ndim - 1):
        rows, twin = x.reshape(-1, x.shape[-1]), kernels("softmax", x)
        p = twin.forward(rows)
        return p.reshape(x.shape), lambda dy: twin.backward(dy.reshape(p.shape), p).reshape(x.shape)
    y = softmax_values(x, axis)
    return y, lambda dy: y * (dy - (dy * y).sum(axis=axis, keepdims=True))


@differentiable
def log_softmax(x: Array, *, axis: int | Shape | None = -1) -> tuple[Array, Any]:
    """Logarithm of the softmax, without ever forming it: x - log sum exp(x) over `axis`. Shapes: y as x."""
    xp, axis = array_module(x), axes_of(axis)
    with np.errstate(invalid="ignore"):
        y = x - x.max(axis=axis, keepdims=True)
        y = y if y.dtype.kind == "f" else y.astype("float32")
        y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y, lambda dy: dy - xp.exp(y) * dy.sum(axis=axis, keepdims=True)
