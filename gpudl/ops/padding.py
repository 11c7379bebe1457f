"""Zeros around an array, and its rim cut off: each is the other's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, Shape, array_module
from gpudl.errors import ShapeError
from gpudl.shapes import shown

Amounts = Sequence[Sequence[int]]


@differentiable
def zero_padding(x: Array, *, amounts: Amounts) -> tuple[Array, Any]:
    """Put zeros around an array: `amounts` has (before, after) for each axis.

    Shapes: an axis of length n becomes before + n + after. Gradient: dy without its rim.
    Raises: ShapeError where `amounts` are negative or not one pair per axis.
    """
    inside = _inside(x.shape, amounts)
    xp = array_module(x)
    y = xp.zeros(tuple(before + n + after for n, (before, after) in zip(x.shape, amounts, strict=True)), x.dtype)
    y[inside] = x
    return y, lambda dy: dy[inside]


@differentiable
def cropping(x: Array, *, amounts: Amounts) -> tuple[Array, Any]:
    """Cut the rim off an array: `amounts` has (before, after) for each axis.

    Shapes: an axis of length n becomes n - before - after, at least 1. Gradient: dy with zeros around it.
    Raises: ShapeError where nothing is left, or `amounts` are negative or not one pair per axis.
    """
    left = tuple(n - before - after for n, (before, after) in zip(x.shape, amounts, strict=False))
    inside = _inside(left, amounts)
    if len(left) != len(x.shape) or any(n < 1 and whole for n, whole in zip(left, x.shape, strict=True)):
        cut = ", ".join(f"({before}, {after})" for before, after in amounts)
        raise ShapeError(f"cropping by {cut} leaves nothing of an array of shape {shown(x.shape)}; crop less")
    xp = array_module(x)

    def backward(dy: Array) -> Array:
        dx = xp.zeros(x.shape, dy.dtype)
        dx[inside] = dy
        return dx

    return x[inside], backward


def _inside(shape: Shape, amounts: Amounts) -> tuple[slice, ...]:
    """Where an array of this shape lies within its padding."""
    if len(shape) != len(amounts) or any(len(pair) != 2 or min(pair) < 0 for pair in amounts):
        raise ShapeError(
            f"amounts={amounts!r} must have (before, after), each at least 0, for each of the {len(shape)} axes"
        )
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, amounts, strict=True))
