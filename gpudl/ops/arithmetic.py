"""Elementwise arithmetic, reductions and reshaping by name. What Python has an operator for lives in `autograd`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl.arithmetic import agreeing, axes_of, unbroadcast
from gpudl.autograd import (
    absolute,
    add,
    as_array,
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
from gpudl.ops.decorators import pointwise

__all__ = [
    "abs", "absolute", "add", "concatenate", "divide", "exp", "expand_dims", "get_item", "log", "matmul", "max",
    "maximum", "mean", "min", "minimum", "multiply", "negative", "power", "reshape", "sqrt", "square", "squeeze",
    "stack", "subtract", "sum", "transpose",
]  # fmt: skip


@differentiable
@pointwise
def exp(x: Array) -> tuple[Array, Any]:
    """Exponential, elementwise. Gradient: dy y."""
    y = array_module(x).exp(x)
    return y, lambda: y


@differentiable
@pointwise
def log(x: Array) -> tuple[Array, Any]:
    """Natural logarithm, elementwise. Gradient: dy / x."""
    return array_module(x).log(x), lambda: 1 / x


@differentiable
@pointwise
def sqrt(x: Array) -> tuple[Array, Any]:
    """Square root, elementwise. Gradient: dy / (2 y)."""
    y = array_module(x).sqrt(x)
    return y, lambda: 0.5 / y


@differentiable
def square(x: Array) -> tuple[Array, Any]:
    """Square, elementwise. Gradient: 2 x dy."""
    return x * x, lambda dy: 2 * x * dy


abs = absolute


@differentiable
def maximum(a: Array, b: Array) -> tuple[Array, Any]:
    """The larger of two, elementwise and broadcast. Gradient: to the larger; halved between equals."""
    return _larger(a, b, array_module(a, b).maximum)


@differentiable
def minimum(a: Array, b: Array) -> tuple[Array, Any]:
    """The smaller of two, elementwise and broadcast. Gradient: to the smaller; halved between equals."""
    return _larger(a, b, array_module(a, b).minimum)


def _larger(a: Array, b: Array, choose: Any) -> tuple[Array, Any]:
    a, b = agreeing(a, b)
    y = choose(a, b)

    def share(dy: Array, mine: Array, other: Array) -> Array:
        won = ((mine == y) * (1 - 0.5 * (other == y))).astype(dy.dtype)
        return unbroadcast(dy * won, mine)

    return y, (lambda dy: share(dy, a, b), lambda dy: share(dy, b, a))


@differentiable
def _concatenate(*arrays: Array, axis: int) -> tuple[Array, Any]:
    xp = array_module(*arrays)
    floats = next((array.dtype for array in arrays if array.dtype.kind == "f"), None)
    if floats is not None:  # integers beside floating point take its type, as in Keras
        arrays = tuple(array if array.dtype.kind == "f" else array.astype(floats) for array in arrays)
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


def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Put arrays one after the other along an axis; all other axes must agree.

    Raises: ShapeError naming the shapes that do not fit.
    """
    arrays = [as_array(array) for array in arrays]
    shapes = [tuple(array.shape) for array in arrays]
    rests = {tuple(n for i, n in enumerate(shape) if i != axis % len(shape)) for shape in shapes if shape}
    if not arrays or len(rests) != 1:
        raise ShapeError(f"concatenate: shapes {', '.join(map(str, shapes))} must agree but for axis {axis}")
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Put arrays of one shape side by side along a new axis."""
    return concatenate([expand_dims(array, axis) for array in arrays], axis)


def reshape(x: Array, shape: int | Sequence[int]) -> Array:
    """Give the same elements another shape; one entry may be -1."""
    return _reshape(x, shape=(shape,) if isinstance(shape, int) else tuple(shape))


def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """Reorder the axes; without `axes`, reverse them."""
    return _transpose(x, axes=None if axes is None else tuple(axes))


@differentiable
def _expand_dims(x: Array, *, axis: Any) -> tuple[Array, Any]:
    return array_module(x).expand_dims(x, axis), lambda dy: dy.reshape(x.shape)


def expand_dims(x: Array, axis: int | Shape) -> Array:
    """Insert an axis of length 1, or several: `axis` tells where they are in the result."""
    return _expand_dims(x, axis=axes_of(axis))


@differentiable
def _squeeze(x: Array, *, axis: int | Shape | None) -> tuple[Array, Any]:
    return array_module(x).squeeze(x, axis), lambda dy: dy.reshape(x.shape)


def squeeze(x: Array, axis: int | Shape | None = None) -> Array:
    """Remove axes of length 1: those named, or all. Raises: ShapeError where one is longer."""
    x = as_array(x)
    for i in () if axis is None else (axis,) if isinstance(axis, int) else axis:
        if x.shape[i] not in (1, None):
            raise ShapeError(f"squeeze: axis {i} of shape {tuple(x.shape)} is not of length 1")
    return _squeeze(x, axis=axes_of(axis))


def get_item(x: Array, key: Any) -> Array:
    """Take x[key]: slices, integers, arrays of integers or booleans. Taken twice, gradients add up."""
    return _getitem(x, index=key)
