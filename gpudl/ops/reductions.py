"""Many numbers become one, over one axis, several (a tuple) or all (None). `sum`, `mean`, `max` are in `autograd`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpudl.arithmetic import axes_of, counted_in, spread
from gpudl.autograd import as_array, differentiable, max, min, sum
from gpudl.backend import Array, Shape, array_module
from gpudl.errors import UsageError
from gpudl.ops.arithmetic import abs, divide, maximum, minimum, multiply, square
from gpudl.ops.decorators import floating, without_gradient
from gpudl.ops.elementwise import rsqrt


@differentiable
def var(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Any]:
    """Average the squared distance from the mean; the divisor is the number of elements. Gradient: 2 (x - mean) / n."""
    xp, x, axis = array_module(x), floating(x), axes_of(axis)
    centered = x - x.mean(axis=axis, keepdims=True)
    y = xp.asarray((centered * centered).mean(axis=axis, keepdims=keepdims))
    share = 2 * y.size / x.size
    return y, lambda dy: spread(dy * share, x, axis, keepdims) * centered


@differentiable
def std(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Any]:
    """Standard deviation: the square root of `var`. Gradient: (x - mean) / (n std), 0 where all are equal."""
    xp, x, axis = array_module(x), floating(x), axes_of(axis)
    centered = x - x.mean(axis=axis, keepdims=True)
    wide = xp.sqrt((centered * centered).mean(axis=axis, keepdims=True))
    y = xp.asarray(wide if keepdims else wide.squeeze(axis))
    share = y.size / x.size

    def backward(dy: Array) -> Array:
        return spread(dy * share, x, axis, keepdims) * centered / xp.where(wide > 0, wide, 1).astype(x.dtype)

    return y, backward


@differentiable
def prod(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Any]:
    """Multiply all elements. Gradient: the product of all others, also where one of them is 0."""
    xp, axis = array_module(x), axes_of(axis)
    y = xp.asarray(x.prod(axis=axis, dtype=counted_in(x), keepdims=keepdims))

    def backward(dy: Array) -> Array:
        zero = x == 0
        zeros = zero.sum(axis=axis, keepdims=True)
        filled = xp.where(zero, 1, x).astype(x.dtype)
        others = filled.prod(axis=axis, keepdims=True) / filled
        return spread(dy, x, axis, keepdims) * others * (zeros == zero)

    return y, backward


@differentiable
def logsumexp(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Any]:
    """log sum exp(x); the largest entry is taken off first, so nothing overflows. Gradient: softmax(x)."""
    xp, x, axis = array_module(x), floating(x), axes_of(axis)
    top = x.max(axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(over="ignore", divide="ignore"):  # inf gives inf, nothing but -inf gives -inf
        y = top + xp.log(xp.exp(x - top).sum(axis=axis, keepdims=True))

    def backward(dy: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return spread(dy, x, axis, keepdims) * xp.exp(x - y)

    return xp.asarray(y if keepdims else y.squeeze(axis)), backward


@differentiable
def _p_norm(x: Array, *, order: float, axis: int | Shape | None, keepdims: bool) -> tuple[Array, Any]:
    """(sum |x|^p)^(1/p). Gradient: sign(x) (|x| / y)^(p - 1), 0 where y is 0."""
    xp, x = array_module(x), floating(x)
    size = xp.abs(x)
    y = (size**order).sum(axis=axis, keepdims=True) ** (1 / order)

    def backward(dy: Array) -> Array:
        share = size / xp.where(y > 0, y, 1).astype(x.dtype)
        return spread(dy, x, axis, keepdims) * xp.sign(x) * share ** (order - 1)

    return xp.asarray(y if keepdims else y.squeeze(axis)), backward


def norm(x: Array, ord: str | float | None = None, axis: int | Shape | None = None, keepdims: bool = False) -> Array:
    """Length of vectors along `axis`: (sum |x|^ord)^(1 / ord), 2 by default; inf is the largest |x|, -inf the smallest.

    Without `ord`, or with "fro" for matrices, the root of all squares over `axis`, all elements for None.

    Raises: UsageError for the other norms of matrices, and an `ord` below 1.
    """
    x, axis = as_array(x), axes_of(axis)
    axes = (axis,) if isinstance(axis, int) else tuple(range(x.ndim)) if axis is None else axis
    if ord is None or (ord == "fro" and len(axes) == 2):
        return _p_norm(x, order=2, axis=axis, keepdims=keepdims)
    if isinstance(ord, str) or len(axes) != 1:
        raise UsageError(
            f"norm(ord={ord!r}) over {len(axes)} axes: of matrices there is only the Frobenius norm; "
            "leave ord out, or give one axis"
        )
    if math.isinf(ord):
        return (max if ord > 0 else min)(abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(x), axis=axis, keepdims=keepdims)
    if ord < 1:
        raise UsageError(f"norm(ord={ord}): ord must be at least 1, inf or -inf")
    return _p_norm(x, order=ord, axis=axis, keepdims=keepdims)


def normalize(x: Array, axis: int | Shape = -1, order: int = 2, epsilon: float = 1e-7) -> Array:
    """Divide by the norm along `axis`: x / max(norm(x), epsilon). Raises: UsageError where order is below 1."""
    if not isinstance(order, int) or order < 1:
        raise UsageError(f"normalize(order={order!r}): order must be an integer of at least 1")
    if order == 2:
        length = sum(square(x), axis=axis, keepdims=True)
        return multiply(x, minimum(rsqrt(length), 1 / epsilon))
    return divide(x, maximum(norm(x, order, axis, keepdims=True), epsilon))


@without_gradient
def argmax(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the largest element is along `axis`, or in the array laid out flat. int32; no gradient."""
    return array_module(x).argmax(x, axis=axis, keepdims=keepdims).astype("int32")


@without_gradient
def argmin(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the smallest element is along `axis`, or in the array laid out flat. int32; no gradient."""
    return array_module(x).argmin(x, axis=axis, keepdims=keepdims).astype("int32")


@without_gradient
def count_nonzero(x: Array, *, axis: int | Shape | None = None) -> Array:
    """How many elements over `axis` are not 0. int32; no gradient."""
    return (x != 0).sum(axis=axes_of(axis)).astype("int32")


@differentiable
def cumsum(x: Array, *, axis: int | None = None) -> tuple[Array, Any]:
    """Add up along `axis`, or through the array laid out flat. Gradient: dy added up from the other end."""
    xp = array_module(x)

    def backward(dy: Array) -> Array:
        along = 0 if axis is None else axis
        return xp.flip(xp.cumsum(xp.flip(dy, along), along), along).reshape(x.shape)

    return xp.cumsum(x, axis=axis, dtype=counted_in(x)), backward
