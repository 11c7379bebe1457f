"""Functions of each element alone, and of two arrays element by element, that Python has no operator for."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpudl.arithmetic import unbroadcast
from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.ops.decorators import floating, pointwise, without_gradient


@differentiable
@pointwise
def sin(x: Array) -> tuple[Array, Any]:
    """Sine, elementwise. Gradient: dy cos(x)."""
    xp = array_module(x)
    return xp.sin(x), lambda: xp.cos(x)


@differentiable
@pointwise
def cos(x: Array) -> tuple[Array, Any]:
    """Cosine, elementwise. Gradient: -dy sin(x)."""
    xp = array_module(x)
    return xp.cos(x), lambda: -xp.sin(x)


@differentiable
@pointwise
def tan(x: Array) -> tuple[Array, Any]:
    """Tangent, elementwise. Gradient: dy (1 + y^2)."""
    y = array_module(x).tan(x)
    return y, lambda: 1 + y * y


@differentiable
@pointwise
def log1p(x: Array) -> tuple[Array, Any]:
    """log(1 + x), exact for small x. Gradient: dy / (1 + x)."""
    return array_module(x).log1p(x), lambda: 1 / (1 + x)


@differentiable
@pointwise
def expm1(x: Array) -> tuple[Array, Any]:
    """exp(x) - 1, exact for small x. Gradient: dy (y + 1)."""
    y = array_module(x).expm1(x)
    return y, lambda: y + 1


@differentiable
@pointwise
def log2(x: Array) -> tuple[Array, Any]:
    """Logarithm to base 2. Gradient: dy / (x log 2)."""
    return array_module(x).log2(x), lambda: 1 / (x * np.log(2.0).item())


@differentiable
@pointwise
def log10(x: Array) -> tuple[Array, Any]:
    """Logarithm to base 10. Gradient: dy / (x log 10)."""
    return array_module(x).log10(x), lambda: 1 / (x * np.log(10.0).item())


@differentiable
@pointwise
def rsqrt(x: Array) -> tuple[Array, Any]:
    """1 / sqrt(x), elementwise. Gradient: -dy y / (2 x)."""
    y = 1 / array_module(x).sqrt(x)
    return y, lambda: -0.5 * y / x


@differentiable
@pointwise
def reciprocal(x: Array) -> tuple[Array, Any]:
    """1 / x, elementwise. Gradient: -dy y^2."""
    y = 1 / x
    return y, lambda: -y * y


@differentiable
@pointwise
def floor(x: Array) -> tuple[Array, Any]:
    """The next whole number below. Gradient: 0."""
    xp = array_module(x)
    return xp.floor(x), lambda: xp.zeros_like(x)


@differentiable
@pointwise
def ceil(x: Array) -> tuple[Array, Any]:
    """The next whole number above. Gradient: 0."""
    xp = array_module(x)
    return xp.ceil(x), lambda: xp.zeros_like(x)


@differentiable
def round(x: Array, *, decimals: int = 0) -> tuple[Array, Any]:
    """Round to `decimals` places, halves to the even neighbour. Gradient: 0."""
    return array_module(x).round(x, decimals), lambda dy: 0 * dy


@differentiable
def sign(x: Array) -> tuple[Array, Any]:
    """-1, 0 or 1. Gradient: 0."""
    return array_module(x).sign(x), lambda dy: 0 * dy


@differentiable
def nan_to_num(
    x: Array, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> tuple[Array, Any]:
    """Put numbers in place of NaN, inf and -inf; for None the largest and smallest there are. Gradient: 0 there."""
    xp = array_module(x)
    return xp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf), lambda dy: xp.where(xp.isfinite(x), dy, 0)


@differentiable
def clip(x: Array, x_min: Array, x_max: Array) -> tuple[Array, Any]:
    """Bring into [x_min, x_max], which are broadcast. Gradient: to x where it lies inside, the ends included."""
    xp = array_module(x)
    inside = (x >= x_min) & (x <= x_max)
    return xp.clip(x, x_min, x_max), (lambda dy: unbroadcast(dy * inside, x), None, None)


@differentiable
def where(condition: Array, x1: Array, x2: Array) -> tuple[Array, Any]:
    """x1 where the condition holds, else x2; all broadcast. Gradient: to whichever was taken."""
    xp = array_module(condition, x1, x2)
    chosen = xp.asarray(condition).astype(bool)
    y = xp.where(chosen, x1, x2)
    if not hasattr(x1, "dtype") and not hasattr(x2, "dtype"):  # two Python numbers
        y = floating(y).astype("float32")
    return y, (
        None,
        lambda dy: unbroadcast(xp.where(chosen, dy, 0), x1),
        lambda dy: unbroadcast(xp.where(chosen, 0, dy), x2),
    )


@differentiable
def mod(x1: Array, x2: Array) -> tuple[Array, Any]:
    """What is left of x1 after dividing by x2, of x2's sign. Gradient: dy for x1, -dy floor(x1 / x2) for x2."""
    xp = array_module(x1, x2)
    return xp.mod(x1, x2), (
        lambda dy: unbroadcast(dy, x1),
        lambda dy: unbroadcast(-dy * xp.floor_divide(x1, x2), x2),
    )


@without_gradient
def floor_divide(x1: Array, x2: Array) -> Array:
    """The next whole number below x1 / x2. No gradient."""
    return array_module(x1, x2).floor_divide(x1, x2)
