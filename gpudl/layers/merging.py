"""Layers that make one tensor of several: sums, products, extremes, concatenation, dot products."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from gpudl import ops
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.shapes import shown


class _Merge(Layer):
    """Base of the elementwise ones: `combine` takes two, and is applied from left to right.

    Inputs of fewer axes get axes of length 1 after the batch, so that (N, C) is added to (N, H, W, C) as a bias is.
    """

    takes_one = False
    combine: Callable[[Any, Any], Any]
    exactly: int | None = None
    """How many inputs it takes; None for two or more."""

    def build(self, input_shape: Any) -> None:
        _need_several(self, input_shape, self.exactly)

    def call(self, inputs: Sequence[Any]) -> Any:
        return self._combined(inputs)

    def _combined(self, inputs: Sequence[Any], last: Callable[[Any, Any], Any] | None = None) -> Any:
        """Combine the inputs; `last`, where it is given, takes what became of the others and the last one."""
        axes = max(len(x.shape) for x in inputs)
        level = [x if len(x.shape) == axes else _with_axes(x, axes) for x in inputs]
        try:
            if last is None:
                return functools.reduce(type(self).combine, level)
            return last(functools.reduce(type(self).combine, level[:-1]), level[-1])
        except ValueError as error:
            if isinstance(error, ShapeError):
                raise
            shapes = ", ".join(shown((None, *x.shape[1:])) for x in inputs)
            raise ShapeError(f"inputs of shapes {shapes} do not fit together: lengths must agree or be 1") from None


def _with_axes(x: Any, axes: int) -> Any:
    shape = tuple(x.shape)
    return ops.reshape(x, (shape[0], *(1,) * (axes - len(shape)), *shape[1:]))


def _need_several(layer: Layer, input_shape: Any, exactly: int | None = None) -> None:
    if not isinstance(input_shape, (list, tuple)) or not input_shape or not isinstance(input_shape[0], (list, tuple)):
        raise ShapeError(f"takes a list of inputs, as in {type(layer).__name__}()([a, b]), but was called on one")
    if exactly is not None and len(input_shape) != exactly:
        raise ShapeError(f"takes exactly {exactly} inputs, but was called on {len(input_shape)}")


class Add(_Merge):
    """Add the inputs, elementwise and broadcast. Shapes: a list of (N, ...) -> (N, ...)."""

    combine = staticmethod(ops.add)

    def call(self, inputs: Sequence[Any], *, relu: bool = False) -> Any:
        """`relu` asks for the maximum of the sum and 0."""
        if relu and len(inputs) == 1:
            return ops.relu(inputs[0])
        return self._combined(inputs, ops.relu_of_sum if relu else None)


class Subtract(_Merge):
    """Subtract the second input from the first. Shapes: a list of two (N, ...) -> (N, ...)."""

    combine = staticmethod(ops.subtract)
    exactly = 2


class Multiply(_Merge):
    """Multiply the inputs, elementwise and broadcast. Shapes: a list of (N, ...) -> (N, ...)."""

    combine = staticmethod(ops.multiply)


class Average(_Merge):
    """Average the inputs, elementwise and broadcast. Shapes: a list of (N, ...) -> (N, ...)."""

    combine = staticmethod(ops.add)

    def call(self, inputs: Sequence[Any]) -> Any:
        return super().call(inputs) / len(inputs)


class Maximum(_Merge):
    """Keep the largest of the inputs, elementwise. Gradient: halved between equals. Shapes: as Add."""

    combine = staticmethod(ops.maximum)


class Minimum(_Merge):
    """Keep the smallest of the inputs, elementwise. Gradient: halved between equals. Shapes: as Add."""

    combine = staticmethod(ops.minimum)


class Concatenate(Layer):
    """Put the inputs one after the other along `axis`; all other lengths must agree.

    Shapes: a list of (N, ..., A), (N, ..., B) -> (N, ..., A + B) with axis=-1.
    """

    takes_one = False

    def __init__(self, axis: int = -1, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        _need_several(self, input_shape)
        axes = len(input_shape[0])
        if not -axes <= self.axis < axes or self.axis % axes == 0:
            raise ShapeError(f"axis={self.axis} is no axis of a sample; the inputs have shape {shown(input_shape[0])}")
        rests = {tuple(n for i, n in enumerate(shape) if i != self.axis % axes) for shape in input_shape}
        if len(rests) != 1:
            raise ShapeError(
                f"inputs of shapes {', '.join(map(shown, input_shape))} must agree but for axis {self.axis}"
            )

    def call(self, inputs: Sequence[Any]) -> Any:
        return ops.concatenate(list(inputs), axis=self.axis)


class Dot(Layer):
    """Multiply two inputs and sum along an axis of each: the dot product of every pair of their vectors.

    With `normalize` the vectors are given length 1 first, so that the result is the cosine of their angle.
    Shapes: (N, A), (N, A) with axes=1 -> (N, 1); (N, A, B), (N, A, C) with axes=1 -> (N, B, C).
    """

    takes_one = False

    def __init__(self, axes: int | tuple[int, int], normalize: bool = False, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        if not isinstance(axes, int) and (
            not isinstance(axes, (list, tuple)) or len(axes) != 2 or not all(isinstance(n, int) for n in axes)
        ):
            raise UsageError(f"Dot(axes={axes!r}): axes must be an integer or two integers")
        self.axes = axes if isinstance(axes, int) else tuple(axes)
        self.normalize = normalize

    def _axis_of_each(self, shapes: Sequence[OpenShape]) -> tuple[int, int]:
        both = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        for axis, shape in zip(both, shapes, strict=True):
            if not -len(shape) <= axis < len(shape) or axis % len(shape) == 0:
                raise ShapeError(f"axes={self.axes} is no axis of a sample of an input of shape {shown(shape)}")
        return both[0] % len(shapes[0]), both[1] % len(shapes[1])

    def build(self, input_shape: Any) -> None:
        _need_several(self, input_shape, 2)
        a, b = self._axis_of_each(input_shape)
        if input_shape[0][a] != input_shape[1][b]:
            raise ShapeError(
                f"axes={self.axes} of inputs of shapes {shown(input_shape[0])} and {shown(input_shape[1])} "
                f"have different lengths, {input_shape[0][a]} and {input_shape[1][b]}"
            )

    def call(self, inputs: Sequence[Any]) -> Any:
        x, y = inputs
        a, b = self._axis_of_each((x.shape, y.shape))
        if self.normalize:
            x, y = _unit(x, a), _unit(y, b)
        if len(x.shape) == len(y.shape) == 2:
            return ops.sum(x * y, axis=1, keepdims=True)
        left = _vectors(x, a)  # (N, P, A)
        right = _vectors(y, b)  # (N, Q, A)
        product = ops.matmul(left, ops.transpose(right, (0, 2, 1)))
        kept = (
            *(n for i, n in enumerate(x.shape) if i not in (0, a)),
            *(n for i, n in enumerate(y.shape) if i not in (0, b)),
        )
        return ops.reshape(product, (x.shape[0], *kept))


def _unit(x: Any, axis: int) -> Any:
    """Give the vectors along an axis length 1; those of length 0 stay 0."""
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


def _vectors(x: Any, axis: int) -> Any:
    """Lay x out as (N, rows, length of `axis`)."""
    order = (0, *(i for i in range(1, len(x.shape)) if i != axis), axis)
    last = ops.transpose(x, order)
    return ops.reshape(last, (x.shape[0], -1, x.shape[axis]))


def add(inputs: Sequence[Any], **settings: Any) -> Any:
    """Apply an Add layer: add([a, b])."""
    return Add(**settings)(inputs)


def subtract(inputs: Sequence[Any], **settings: Any) -> Any:
    """Apply a Subtract layer: subtract([a, b])."""
    return Subtract(**settings)(inputs)


def multiply(inputs: Sequence[Any], **settings: Any) -> Any:
    """Apply a Multiply layer: multiply([a, b])."""
    return Multiply(**settings)(inputs)


def average(inputs: Sequence[Any], **settings: Any) -> Any:
    """Apply an Average layer: average([a, b])."""
    return Average(**settings)(inputs)


def maximum(inputs: Sequence[Any], **settings: Any) -> Any:
    """Apply a Maximum layer: maximum([a, b])."""
    return Maximum(**settings)(inputs)


def minimum(inputs: Sequence[Any], **settings: Any) -> Any:
    """Apply a Minimum layer: minimum([a, b])."""
    return Minimum(**settings)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **settings: Any) -> Any:
    """Apply a Concatenate layer: concatenate([a, b])."""
    return Concatenate(axis=axis, **settings)(inputs)


def dot(inputs: Sequence[Any], axes: int | tuple[int, int], normalize: bool = False, **settings: Any) -> Any:
    """Apply a Dot layer: dot([a, b], axes=1)."""
    return Dot(axes=axes, normalize=normalize, **settings)(inputs)
