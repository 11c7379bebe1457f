"""Convolutions in which every channel has kernels of its own."""

from __future__ import annotations

from typing import Any, Unpack

from gpudl import constraints, initializers, ops, regularizers
from gpudl.activations import Activation
from gpudl.constraints import Constraint
from gpudl.initializers import Initializer
from gpudl.layers.base import CommonSettings, OpenShape
from gpudl.layers.convolution import Convolution, read_count, read_padding
from gpudl.regularizers import Regularizer


class DepthwiseConv2D(Convolution):
    """Slide kernels over each channel by itself: activation(depthwise_conv2d(x, kernel) + bias).

    Shapes: (N, H, W, C) -> (N, P, Q, C * depth_multiplier); channels_first likewise. Weights:
    kernel (R, S, C, depth_multiplier), bias (C * depth_multiplier,).
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        activation: str | Activation | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: str | Regularizer | None = None,
        depthwise_constraint: str | Constraint | None = None,
        bias_constraint: str | Constraint | None = None,
        **settings: Unpack[CommonSettings],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **settings)
        self.depth_multiplier = read_count(self, "depth_multiplier", depth_multiplier)
        self.padding = read_padding(self, padding, "valid", "same")
        self._read_window(kernel_size, strides, data_format, dilation_rate, either=False)
        self._read_output(activation, use_bias, bias_initializer, bias_regularizer, bias_constraint)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: OpenShape) -> None:
        channels = self._channels(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            name="kernel",
        )
        self._add_bias(channels * self.depth_multiplier)

    def call(self, x: Any) -> Any:
        y = ops.depthwise_conv2d(
            x,
            self.kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.activation(y)

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        return self._positions(output_shape) * self.kernel.size


class SeparableConv2D(Convolution):
    """Filter each channel by itself, then mix the channels: activation(separable_conv2d(x, ...) + bias).

    Shapes: (N, H, W, C) -> (N, P, Q, filters); channels_first likewise. Weights:
    depthwise_kernel (R, S, C, depth_multiplier), pointwise_kernel (1, 1, C * depth_multiplier, filters),
    bias (filters,).
    Source: Chollet 2017, arXiv 1610.02357.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        depth_multiplier: int = 1,
        activation: str | Activation | None = None,
        use_bias: bool = True,
        depthwise_initializer: str | Initializer = "glorot_uniform",
        pointwise_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        depthwise_regularizer: str | Regularizer | None = None,
        pointwise_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: str | Regularizer | None = None,
        depthwise_constraint: str | Constraint | None = None,
        pointwise_constraint: str | Constraint | None = None,
        bias_constraint: str | Constraint | None = None,
        **settings: Unpack[CommonSettings],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **settings)
        self.filters = read_count(self, "filters", filters)
        self.depth_multiplier = read_count(self, "depth_multiplier", depth_multiplier)
        self.padding = read_padding(self, padding, "valid", "same")
        self._read_window(kernel_size, strides, data_format, dilation_rate, either=False)
        self._read_output(activation, use_bias, bias_initializer, bias_regularizer, bias_constraint)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: OpenShape) -> None:
        channels = self._channels(input_shape)
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            name="depthwise_kernel",
        )
        self.pointwise_kernel = self.add_weight(
            (1, 1, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
            name="pointwise_kernel",
        )
        self._add_bias(self.filters)

    def call(self, x: Any) -> Any:
        y = ops.separable_conv2d(
            x,
            self.depthwise_kernel,
            self.pointwise_kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.activation(y)

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        return self._positions(output_shape) * (self.depthwise_kernel.size + self.pointwise_kernel.size)
