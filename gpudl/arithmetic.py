"""The arithmetic behind Python's operators, each with its gradient beside it, on plain arrays.

A function returns its value and one gradient function per array argument. `autograd` puts them on the tape and
`gpudl.ops` offers them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from gpudl.backend import Array, Shape, array_module, kernels
from gpudl.backend.numpy import addition
from gpudl.errors import UsageError

SMALL = 1 << 14
"""Elements that are sooner filled with a number than NumPy has made a view of one."""

Gradient: TypeAlias = Callable[[Array], Array]


def unbroadcast(dy: Array, like: Array) -> Array:
    """Sum a gradient over the axes along which an operand of `like`'s shape was stretched."""
    shape: Shape = getattr(like, "shape", ())
    if dy.shape == shape:
        return dy
    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and dy.shape[i] != 1)
    return dy.sum(axis=stretched, keepdims=True) if stretched else dy


def agreeing(a: Array, b: Array) -> tuple[Array, Array]:
    """Let integers that meet floating point take its type, as in Keras; NumPy would make float64 of both."""
    kind_a, kind_b = getattr(a, "dtype", None), getattr(b, "dtype", None)
    if kind_a is kind_b or kind_a is None or kind_b is None:
        return a, b
    if kind_a.kind == "f" and kind_b.kind in "iub":
        return a, b.astype(kind_a)
    if kind_b.kind == "f" and kind_a.kind in "iub":
        return a.astype(kind_b), b
    return a, b


def plus(a: Array, b: Array) -> Array:
    """Return a + b."""
    return addition.add(a, b) if type(a) is type(b) is np.ndarray else a + b


def add(a: Array, b: Array) -> tuple[Array, tuple[Gradient, Gradient]]:
    """Add elementwise: a + b, broadcast."""
    a, b = agreeing(a, b)
    return plus(a, b), (lambda dy: unbroadcast(dy, a), lambda dy: unbroadcast(dy, b))


def subtract(a: Array, b: Array) -> tuple[Array, tuple[Gradient, Gradient]]:
    """Subtract elementwise: a - b, broadcast."""
    a, b = agreeing(a, b)
    return a - b, (lambda dy: unbroadcast(dy, a), lambda dy: unbroadcast(-dy, b))


def multiply(a: Array, b: Array) -> tuple[Array, tuple[Gradient, Gradient]]:
    """Multiply elementwise: a * b, broadcast."""
    a, b = agreeing(a, b)
    return a * b, (lambda dy: unbroadcast(dy * b, a), lambda dy: unbroadcast(dy * a, b))


def divide(a: Array, b: Array) -> tuple[Array, tuple[Gradient, Gradient]]:
    """Divide elementwise: a / b, broadcast."""
    a, b = agreeing(a, b)
    y = a / b
    if y.dtype == "float64" and not any(x.dtype.kind == "f" for x in (a, b) if hasattr(x, "dtype")):
        y = y.astype("float32")  # of integers
    return y, (lambda dy: unbroadcast(dy / b, a), lambda dy: unbroadcast(-dy * y / b, b))


def absolute(x: Array) -> tuple[Array, Gradient]:
    """Absolute value, elementwise. Gradient: the sign of x, 0 at 0."""
    xp = array_module(x)
    return xp.abs(x), lambda dy: dy * xp.sign(x)


def negative(x: Array) -> tuple[Array, Gradient]:
    """Negate elementwise."""
    return -x, lambda dy: -dy


def power(a: Array, b: Array) -> tuple[Array, tuple[Gradient, Gradient]]:
    """Raise elementwise: a ** b, broadcast. The gradient for b at a = 0 is 0, the limit from above for b > 0."""
    xp = array_module(a, b)
    a, b = agreeing(a, b)
    y = a**b

    def exponent_gradient(dy: Array) -> Array:
        positive = xp.asarray(a) > 0
        return unbroadcast(xp.where(positive, dy * y * xp.log(xp.where(positive, a, dy.dtype.type(1))), 0), b)

    return y, (lambda dy: unbroadcast(dy * b * a ** (b - (b != 0)), a), exponent_gradient)


def matmul(a: Array, b: Array) -> tuple[Array, tuple[Gradient, Gradient]]:
    """Multiply matrices: a @ b, with NumPy's rules for vectors and stacked matrices."""
    a, b = agreeing(a, b)

    def gradient_a(dy: Array) -> Array:
        if a.ndim == 1 and b.ndim == 1:
            return dy * b
        left = dy[..., None] if b.ndim == 1 else dy if a.ndim > 1 else dy[..., None, :]
        right = b[None, :] if b.ndim == 1 else b.swapaxes(-1, -2)
        da = left @ right
        return unbroadcast(da[..., 0, :] if a.ndim == 1 else da, a)

    def gradient_b(dy: Array) -> Array:
        if a.ndim == 1 and b.ndim == 1:
            return dy * a
        left = a[:, None] if a.ndim == 1 else a.swapaxes(-1, -2)
        right = dy[..., None] if b.ndim == 1 else dy if a.ndim > 1 else dy[..., None, :]
        db = left @ right
        return unbroadcast(db[..., 0] if b.ndim == 1 else db, b)

    return a @ b, (gradient_a, gradient_b)


def getitem(x: Array, *, index: object) -> tuple[Array, Gradient]:
    """Take elements: x[index], any index of the array library. Elements taken twice add up in the gradient."""
    xp = array_module(x)
    items = index if isinstance(index, tuple) else (index,)
    if xp is not np:  # CuPy takes arrays of its own alone
        items = tuple(xp.asarray(item) if isinstance(item, (np.ndarray, list)) else item for item in items)
        index = items if isinstance(index, tuple) else items[0]

    def backward(dy: Array) -> Array:
        if all(item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice)) for item in items):
            dx = xp.zeros(x.shape, dy.dtype)
            dx[index] += dy
            return dx
        return kernels("scatter", dy).add_at(x.shape, index, dy)

    return x[index], backward


def reshape(x: Array, *, shape: Shape) -> tuple[Array, Gradient]:
    """Give the same elements another shape; one entry may be -1, or None as the open batch of a symbolic tensor."""
    wanted = (shape,) if isinstance(shape, int) else tuple(-1 if n is None else n for n in shape)
    return x.reshape(wanted), lambda dy: dy.reshape(x.shape)


def transpose(x: Array, *, axes: Shape | None = None) -> tuple[Array, Gradient]:
    """Reorder the axes; without `axes`, reverse them."""
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(axis_of(axis, x.ndim) for axis in axes)
    back = tuple(order.index(i) for i in range(x.ndim))
    return x.transpose(order), lambda dy: dy.transpose(back)


def axis_of(axis: int, axes: int) -> int:
    """Count an axis from the front. Raises: UsageError where there is no such axis."""
    if not -axes <= axis < axes:
        raise UsageError(f"axis={axis} is not an axis of an array of {axes} axes")
    return axis % axes


def axes_of(axis: int | Sequence[int] | None) -> int | Shape | None:
    """The axes of a reduction as the array libraries take them: a list, as files and Keras's users write it, is a
    tuple."""
    return tuple(axis) if isinstance(axis, list) else axis  # pyright: ignore[reportReturnType]


def spread(dy: Array, x: Array, axis: int | Shape | None, keepdims: bool) -> Array:
    """Give a reduced gradient its reduced axes back, as length 1."""
    if axis is None or keepdims:
        return dy.reshape((1,) * x.ndim) if axis is None else dy
    kept = list(x.shape)
    for i in (axis,) if isinstance(axis, int) else axis:
        kept[i] = 1
    return dy.reshape(kept)


def counted_in(x: Array) -> str | None:
    """The type in which numbers add up: int32 for booleans and integers of up to 32 bits, otherwise the library's."""
    return "int32" if x.dtype.kind == "b" or (x.dtype.kind == "i" and x.dtype.itemsize <= 4) else None


def sum(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Gradient]:
    """Sum over `axis` (an integer, a tuple, or None for all). Booleans and short integers are counted in int32."""
    xp, axis = array_module(x), axes_of(axis)
    y = xp.asarray(x.sum(axis=axis, dtype=counted_in(x), keepdims=keepdims))
    return y, lambda dy: xp.broadcast_to(spread(dy, x, axis, keepdims), x.shape)


def mean(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Gradient]:
    """Average over `axis` (an integer, a tuple, or None for all). Integers and booleans give float32."""
    xp, axis = array_module(x), axes_of(axis)
    x = x if x.dtype.kind == "f" else x.astype("float32")
    if x.dtype.itemsize > 2 and x.size:  # what NumPy's mean does, without its wrapping
        total = x.sum(axis=axis, keepdims=keepdims)
        y = xp.asarray(total / (x.size // total.size))
    else:
        y = xp.asarray(x.mean(axis=axis, keepdims=keepdims))
    share = y.size / x.size

    def backward(dy: Array) -> Array:
        if xp is np and y.ndim == 0 and x.size <= SMALL:
            return xp.full(x.shape, dy * share)
        return xp.broadcast_to(spread(dy * share, x, axis, keepdims), x.shape)

    return y, backward


def extremum(x: Array, *, axis: int | Shape | None, keepdims: bool, largest: bool) -> tuple[Array, Gradient]:
    """Take the largest or smallest element over `axis`. Gradient: shared equally among ties."""
    xp, axis = array_module(x), axes_of(axis)
    y = xp.asarray((x.max if largest else x.min)(axis=axis, keepdims=keepdims))

    def backward(dy: Array) -> Array:
        chosen = x == spread(y, x, axis, keepdims)
        ties = chosen.sum(axis=axis, keepdims=True)
        return chosen * (spread(dy, x, axis, keepdims) / ties).astype(dy.dtype)

    return y, backward
