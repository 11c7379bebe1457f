"""Layers that only give their input another shape or scale."""

from __future__ import annotations

import math
from typing import Any, Unpack

from gpudl import activations, ops
from gpudl.activations import Activation as ActivationFunction
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.ops.layout import check_format
from gpudl.shapes import shown


class InputLayer(Layer):
    """Says what shape one sample has, so that a model is built before it sees data."""

    def __init__(
        self,
        shape: tuple[int, ...] | None = None,
        batch_size: int | None = None,
        name: str | None = None,
        dtype: str = "float32",
    ) -> None:
        if shape is None:
            raise UsageError("Input needs the shape of one sample, as in Input(shape=(28, 28, 1))")
        super().__init__(name=name, dtype=dtype, input_shape=shape)
        self.batch_size = batch_size

    def build(self, input_shape: OpenShape) -> None:
        if self.input_shape is not None and tuple(input_shape[1:]) != self.input_shape:
            raise ShapeError(
                f"samples of shape {shown(self.input_shape)} are expected, but those that arrive have shape "
                f"{shown(input_shape[1:])}"
            )

    def call(self, x: Any) -> Any:
        return x

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        return input_shape


def Input(  # noqa: N802  Keras's name
    shape: tuple[int, ...] | None = None,
    batch_size: int | None = None,
    dtype: str = "float32",
    name: str | None = None,
) -> InputLayer:
    """Say what shape one sample has; the first entry of a Sequential."""
    return InputLayer(shape, batch_size, name, dtype)


class Flatten(Layer):
    """Lay each sample out as one row. Shapes: (N, ...) -> (N, product of the rest).

    With "channels_first", channels come last in the row all the same, so that it does not depend on the layout.
    """

    def __init__(self, data_format: str | None = None, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.data_format = data_format or "channels_last"
        check_format(self.data_format)

    def call(self, x: Any) -> Any:
        if self.data_format == "channels_first" and len(x.shape) > 2:
            x = ops.transpose(x, axes=(0, *range(2, len(x.shape)), 1))
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Reshape(Layer):
    """Give each sample another shape. Shapes: (N, ...) -> (N, *target_shape); one entry may be -1."""

    def __init__(self, target_shape: tuple[int, ...], **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.target_shape = tuple(target_shape)

    def call(self, x: Any) -> Any:
        known = math.prod(n for n in self.target_shape if n != -1)
        size = math.prod(x.shape[1:])
        if self.target_shape.count(-1) > 1 or (size % known if -1 in self.target_shape else size != known):
            raise ShapeError(f"samples of shape {shown(x.shape[1:])} cannot become {shown(self.target_shape)}")
        return ops.reshape(x, (x.shape[0], *self.target_shape))


class Activation(Layer):
    """Apply an activation function. Shapes: output as input."""

    def __init__(self, activation: str | ActivationFunction, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.activation = activations.get(activation)

    def call(self, x: Any) -> Any:
        return self.activation(x)


class Rescaling(Layer):
    """Scale and shift: x * scale + offset, as in Rescaling(1 / 255) for images. Shapes: output as input."""

    def __init__(self, scale: float, offset: float = 0.0, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.scale, self.offset = scale, offset

    def call(self, x: Any) -> Any:
        y = x * self.scale
        return y + self.offset if self.offset else y
