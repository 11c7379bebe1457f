"""What layers that slide kernels share: how they read their arguments, make a bias and count their work."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from gpudl import activations, constraints, initializers, regularizers
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, OpenShape, need_axes
from gpudl.ops.layout import read_format
from gpudl.shapes import pair, single

AXES = {1: "(batch, steps, channels)", 2: "(batch, height, width, channels)"}
AXES_FIRST = {1: "(batch, channels, steps)", 2: "(batch, channels, height, width)"}


def sizes(value: Any, rank: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """Read a size along each of one or two spatial axes."""
    return (single(value, name, minimum),) if rank == 1 else pair(value, name, minimum)


def read_padding(layer: Layer, padding: str, *known: str) -> str:
    """Return the padding in lower case. Raises: UsageError where it is none of those known."""
    if not isinstance(padding, str) or padding.lower() not in known:
        *others, last = (f'"{name}"' for name in known)
        raise UsageError(f"{type(layer).__name__}(padding={padding!r}): padding must be {', '.join(others)} or {last}")
    return padding.lower()


def read_count(layer: Layer, name: str, value: int) -> int:
    """Return a number of things. Raises: UsageError where it is not an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{type(layer).__name__}({name}={value!r}): {name} must be an integer of at least 1")
    return int(value)


class Convolution(Layer):
    """Base of layers that slide kernels over one (`rank` 1) or two spatial axes."""

    rank = 2

    def _read_window(
        self, kernel_size: Any, strides: Any, data_format: str | None, dilation_rate: Any, either: bool = True
    ) -> None:
        """Read how the window lies and moves; `either`: strides or dilation may be larger than 1, not both."""
        self.kernel_size = sizes(kernel_size, self.rank, f"{type(self).__name__}: kernel_size")
        self.strides = sizes(strides, self.rank, f"{type(self).__name__}: strides")
        self.data_format = read_format(data_format)
        self.dilation_rate = sizes(dilation_rate, self.rank, f"{type(self).__name__}: dilation_rate")
        if either and max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise UsageError(
                f"{type(self).__name__}(strides={strides!r}, dilation_rate={dilation_rate!r}): "
                "only one of them may be larger than 1"
            )

    def _read_output(
        self, activation: Any, use_bias: bool, initializer: Any, regularizer: Any, constraint: Any
    ) -> None:
        """Read what is done with what the kernel gives: a bias and an activation."""
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(initializer)
        self.bias_regularizer = regularizers.get(regularizer)
        self.bias_constraint = constraints.get(constraint)
        self.bias = None

    def _channels(self, input_shape: OpenShape) -> int:
        """Return how many channels an input has. Raises: ShapeError where that is open, or its axes are others."""
        last = self.data_format == "channels_last"
        meaning = (AXES if last else AXES_FIRST)[self.rank]
        need_axes(input_shape, self.rank + 2, meaning)
        channels = input_shape[-1 if last else 1]
        if channels is None:
            raise ShapeError(f"input needs a fixed number of channels, {meaning}")
        return channels

    def _add_bias(self, length: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                (length,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _positions(self, shape: OpenShape) -> int:
        """How many places a kernel is put at, in an image or sequence of this shape."""
        spatial = shape[1:-1] if self.data_format == "channels_last" else shape[2:]
        return math.prod(n or 1 for n in spatial)
