"""Elementwise arithmetic, reductions and reshaping by name. What Python has an operator for lives in `autograd`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl.arithmetic import unbroadcast
from gpudl.autograd import (
    add,
    differentiable,
    divide,
    matmul,
    max,
    mean,
    min,
    multiply,
    negative,
    power,
    subtract,
    sum,
)
from gpudl.autograd import getitem as _getitem
from gpudl.autograd import reshape as _reshape
from gpudl.autograd import transpose as _transpose
from gpudl.backend import Array, Shape, array_module
from gpudl.errors import ShapeError

__all__ = [
    "abs", "add", "concatenate", "divide", "exp", "expand_dims", "log", "matmul", "max", "maximum", "mean", "min",
    "minimum", "multiply", "negative", "power", "reshape", "sqrt", "square", "squeeze", "stack", "subtract", "sum",
    "take", "transpose",
]  # fmt: skip


@differentiable
def exp(x: Array) -> tuple[Array, Any]:
    """Exponential, elementwise. Gradient: dy y."""
    y = array_module(x).exp(x)
    return y, lambda dy: dy * y


@differentiable
def log(x: Array) -> tuple[Array, Any]:
    """Natural logarithm, elementwise. Gradient: dy / x."""
    return array_module(x).log(x), lambda dy: dy / x


@differentiable
def sqrt(x: Array) -> tuple[Array, Any]:
    """Square root, elementwise. Gradient: dy / (2 y)."""
    y = array_module(x).sqrt(x)
    return y, lambda dy: dy / (2 * y)


@differentiable
def square(x: Array) -> tuple[Array, Any]:
    """Square, elementwise. Gradient: 2 x dy."""
    return x * x, lambda dy: 2 * x * dy


@differentiable
def abs(x: Array) -> tuple[Array, Any]:
    """Absolute value, elementwise. Gradient: the sign of x, 0 at 0."""
    xp = array_module(x)
    return xp.abs(x), lambda dy: dy * xp.sign(x)


@differentiable
def maximum(a: Array, b: Array) -> tuple[Array, Any]:
    """The larger of two, elementwise and broadcast. Gradient: to the larger; halved between equals."""
    return _larger(a, b, array_module(a, b).maximum)


@differentiable
def minimum(a: Array, b: Array) -> tuple[Array, Any]:
    """The smaller of two, elementwise and broadcast. Gradient: to the smaller; halved between equals."""
    return _larger(a, b, array_module(a, b).minimum)


def _larger(a: Array, b: Array, choose: Any) -> tuple[Array, Any]:
    y = choose(a, b)

    def share(dy: Array, mine: Array, other: Array) -> Array:
        won = ((mine == y) * (1 - 0.5 * (other == y))).astype(dy.dtype)
        return unbroadcast(dy * won, mine)

    return y, (lambda dy: share(dy, a, b), lambda dy: share(dy, b, a))


@differentiable
def _concatenate(*arrays: Array, axis: int) -> tuple[Array, Any]:
    xp = array_module(*arrays)
    starts = [0]
    for array in arrays:
        starts.append(starts[-1] + array.shape[axis])

    def part(i: int) -> Any:
        def backward(dy: Array) -> Array:
            index = [slice(None)] * dy.ndim
            index[axis] = slice(starts[i], starts[i + 1])
            return dy[tuple(index)]

        return backward

    return xp.concatenate(arrays, axis=axis), tuple(part(i) for i in range(len(arrays)))


def concatenate(arrays: Sequence[Array], axis: int = -1) -> Array:
    """Put arrays one after the other along an axis; all other axes must agree.

    Raises: ShapeError naming the shapes that do not fit.
    """
    shapes = [tuple(a.shape) for a in arrays]
    rests = {tuple(n for i, n in enumerate(shape) if i != axis % len(shape)) for shape in shapes if shape}
    if not arrays or len(rests) != 1:
        raise ShapeError(f"concatenate: shapes {', '.join(map(str, shapes))} must agree but for axis {axis}")
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Put arrays of one shape side by side along a new axis."""
    return concatenate([expand_dims(array, axis) for array in arrays], axis)


def reshape(x: Array, shape: Shape) -> Array:
    """Give the same elements another shape; one entry may be -1."""
    return _reshape(x, shape=tuple(shape))


def transpose(x: Array, axes: Shape | None = None) -> Array:
    """Reorder the axes; without `axes`, reverse them."""
    return _transpose(x, axes=axes)


def expand_dims(x: Array, axis: int) -> Array:
    """Insert an axis of length 1."""
    shape = list(x.shape)
    shape.insert(axis % (len(shape) + 1), 1)
    return reshape(x, tuple(shape))


def squeeze(x: Array, axis: int | Shape | None = None) -> Array:
    """Remove axes of length 1: those named, or all."""
    axes = range(len(x.shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    drop = {i % len(x.shape) for i in axes if axis is not None or x.shape[i] == 1}
    wrong = [i for i in drop if x.shape[i] != 1]
    if wrong:
        raise ShapeError(f"squeeze: axis {wrong[0]} of shape {tuple(x.shape)} is not of length 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in drop))


def take(x: Array, index: Any) -> Array:
    """Take x[index]: slices, integers, arrays of integers or booleans. Taken twice, gradients add up."""
    return _getitem(x, index=index)
