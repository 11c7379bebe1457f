"""Comparisons and what is true: plain arrays of booleans, which no gradient passes."""

from __future__ import annotations

from gpudl.arithmetic import axes_of
from gpudl.backend import Array, Shape, array_module
from gpudl.ops.decorators import without_gradient


@without_gradient
def equal(x1: Array, x2: Array) -> Array:
    """x1 == x2, elementwise and broadcast."""
    return x1 == x2


@without_gradient
def not_equal(x1: Array, x2: Array) -> Array:
    """x1 != x2, elementwise and broadcast."""
    return x1 != x2


@without_gradient
def greater(x1: Array, x2: Array) -> Array:
    """x1 > x2, elementwise and broadcast."""
    return x1 > x2


@without_gradient
def greater_equal(x1: Array, x2: Array) -> Array:
    """x1 >= x2, elementwise and broadcast."""
    return x1 >= x2


@without_gradient
def less(x1: Array, x2: Array) -> Array:
    """x1 < x2, elementwise and broadcast."""
    return x1 < x2


@without_gradient
def less_equal(x1: Array, x2: Array) -> Array:
    """x1 <= x2, elementwise and broadcast."""
    return x1 <= x2


@without_gradient
def logical_and(x1: Array, x2: Array) -> Array:
    """Whether both are true (not 0)."""
    return array_module(x1, x2).logical_and(x1, x2)


@without_gradient
def logical_or(x1: Array, x2: Array) -> Array:
    """Whether one of both is true (not 0)."""
    return array_module(x1, x2).logical_or(x1, x2)


@without_gradient
def logical_xor(x1: Array, x2: Array) -> Array:
    """Whether exactly one of both is true (not 0)."""
    return array_module(x1, x2).logical_xor(x1, x2)


@without_gradient
def logical_not(x: Array) -> Array:
    """Whether it is false (0)."""
    return array_module(x).logical_not(x)


@without_gradient
def isnan(x: Array) -> Array:
    """Whether it is not a number."""
    return array_module(x).isnan(x)


@without_gradient
def isinf(x: Array) -> Array:
    """Whether it is infinite, of either sign."""
    return array_module(x).isinf(x)


@without_gradient
def isfinite(x: Array) -> Array:
    """Whether it is a number, and not infinite."""
    return array_module(x).isfinite(x)


@without_gradient
def all(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> Array:
    """Whether everything over `axis` is true (not 0)."""
    return array_module(x).all(x, axis=axes_of(axis), keepdims=keepdims)


@without_gradient
def any(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> Array:
    """Whether something over `axis` is true (not 0)."""
    return array_module(x).any(x, axis=axes_of(axis), keepdims=keepdims)
