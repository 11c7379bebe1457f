"""Layers that only give their input another shape or scale."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from gpudl import activations, ops
from gpudl.activations import Activation as ActivationFunction
from gpudl.autograd import Tensor
from gpudl.backend import array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.ops.layout import read_format
from gpudl.shapes import shown
from gpudl.symbolic import Node, SymbolicTensor


class InputLayer(Layer):
    """Says what shape one sample has, so that a model is built before it sees data. `output` is the symbolic tensor."""

    def __init__(
        self,
        shape: tuple[int | None, ...] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> None:
        if shape is None:
            raise UsageError("Input needs the shape of one sample, as in Input(shape=(28, 28, 1))")
        if isinstance(shape, int):
            raise UsageError(f"Input(shape={shape}): a shape is a tuple, as in Input(shape=({shape},))")
        shape = tuple(shape)
        for n in shape:
            if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 0):
                raise UsageError(f"Input(shape={shape!r}): a shape holds integers, or None for what may differ")
        super().__init__(name=name, input_shape=shape)
        self.batch_size = batch_size
        self.value_type = dtype or "float32"
        self.built = True
        self._first_node = Node(self, (), {}, SymbolicTensor((None, *shape), self.value_type, self.name))

    def build(self, input_shape: OpenShape) -> None:
        if self.first_shape is not None and tuple(input_shape[1:]) != self.first_shape:
            raise ShapeError(
                f"samples of shape {shown(self.first_shape)} are expected, but those that arrive have shape "
                f"{shown(input_shape[1:])}"
            )

    def call(self, x: Any) -> Any:
        return x

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        return input_shape


def Input(  # noqa: N802  Keras's name
    shape: tuple[int | None, ...] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    sparse: bool | None = None,
    batch_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    tensor: Any = None,
) -> SymbolicTensor:
    """Return a symbolic tensor for samples of this shape: what models begin with.

    Raises: UsageError for what gpudl does not have (sparse inputs, inputs that wrap a tensor).
    """
    if sparse or tensor is not None:
        raise UsageError("Input: gpudl has neither sparse inputs nor inputs that wrap a tensor; give a shape")
    if batch_shape is not None:
        if shape is not None:
            raise UsageError("Input: give shape or batch_shape, not both")
        shape, batch_size = tuple(batch_shape[1:]), batch_shape[0]
    return InputLayer(shape, batch_size, dtype, name).output


class Flatten(Layer):
    """Lay each sample out as one row. Shapes: (N, ...) -> (N, product of the rest).

    With "channels_first", channels come last in the row all the same, so that it does not depend on the layout.
    """

    def __init__(self, data_format: str | None = None, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.data_format = read_format(data_format)

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
    """Scale and shift: x * scale + offset, as in Rescaling(1 / 255) for images.

    Shapes: output as input. Lists hold one number for each channel, the last axis.
    """

    def __init__(
        self, scale: float | list[float], offset: float | list[float] = 0.0, **settings: Unpack[LayerSettings]
    ) -> None:
        super().__init__(**settings)
        for name, value in (("scale", scale), ("offset", offset)):
            if np.asarray(value).dtype.kind not in "iuf":
                raise UsageError(f"Rescaling({name}={value!r}): {name} must be a number, or one for each channel")
        self.scale, self.offset = scale, offset

    def call(self, x: Any) -> Any:
        y = ops.multiply(x, self._factor(self.scale, x))
        shifted = not isinstance(self.offset, (int, float)) or self.offset
        return ops.add(y, self._factor(self.offset, x)) if shifted else y

    def _factor(self, value: Any, x: Any) -> Any:
        """One number as it is, several as an array beside x."""
        plain = x.data if isinstance(x, Tensor) else x
        return value if isinstance(value, (int, float)) else array_module(plain).asarray(value, dtype=plain.dtype)
