"""Transposed convolutions: from small images or sequences to large ones."""

from __future__ import annotations

from typing import Any, Unpack

from gpudl import constraints, initializers, ops, regularizers
from gpudl.activations import Activation
from gpudl.constraints import Constraint
from gpudl.errors import UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import CommonSettings, OpenShape
from gpudl.layers.convolution import Convolution, read_count, read_padding, sizes
from gpudl.regularizers import Regularizer


class _Transposed(Convolution):
    filters: int
    kernel_initializer: Initializer
    kernel_regularizer: Regularizer | None
    kernel_constraint: Constraint | None

    def _read(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any,
        padding: str,
        output_padding: Any,
        data_format: str | None,
        dilation_rate: Any,
    ) -> None:
        self.filters = read_count(self, "filters", filters)
        self.padding = read_padding(self, padding, "valid", "same")
        self._read_window(kernel_size, strides, data_format, dilation_rate)
        self.output_padding = (
            None if output_padding is None else sizes(output_padding, self.rank, "output_padding", minimum=0)
        )
        if any(extra >= step for extra, step in zip(self.output_padding or (), self.strides, strict=False)):
            raise UsageError(
                f"{type(self).__name__}(strides={strides!r}, output_padding={output_padding!r}): along each axis "
                "output_padding must be smaller than the stride"
            )

    def build(self, input_shape: OpenShape) -> None:
        channels = self._channels(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, self.filters, channels),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self._add_bias(self.filters)

    def _transposed(self, op: Any, x: Any) -> Any:
        y = op(
            x,
            self.kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.activation(y)

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        return self._positions(input_shape) * self.kernel.size


class Conv2DTranspose(_Transposed):
    """Spread each position over a window of a larger image: activation(conv2d_transpose(x, kernel) + bias).

    Shapes: (N, P, Q, C) -> (N, H, W, filters); channels_first likewise. Weights: kernel (R, S, filters, C),
    bias (filters,). Sizes: as `gpudl.ops.conv2d_transpose` has them.
    """

    rank = 2

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        output_padding: int | tuple[int, int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        activation: str | Activation | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: str | Regularizer | None = None,
        kernel_constraint: str | Constraint | None = None,
        bias_constraint: str | Constraint | None = None,
        **settings: Unpack[CommonSettings],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **settings)
        self._read(filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate)
        self._read_output(activation, use_bias, bias_initializer, bias_regularizer, bias_constraint)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def call(self, x: Any) -> Any:
        return self._transposed(ops.conv2d_transpose, x)


class Conv1DTranspose(_Transposed):
    """Spread each step over a window of a longer sequence: activation(conv1d_transpose(x, kernel) + bias).

    Shapes: (N, P, C) -> (N, L, filters); channels_first likewise. Weights: kernel (R, filters, C),
    bias (filters,). Sizes: as `gpudl.ops.conv2d_transpose` has them.
    """

    rank = 1

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int],
        strides: int | tuple[int] = 1,
        padding: str = "valid",
        output_padding: int | tuple[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int] = 1,
        activation: str | Activation | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: str | Regularizer | None = None,
        kernel_constraint: str | Constraint | None = None,
        bias_constraint: str | Constraint | None = None,
        **settings: Unpack[CommonSettings],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **settings)
        self._read(filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate)
        self._read_output(activation, use_bias, bias_initializer, bias_regularizer, bias_constraint)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def call(self, x: Any) -> Any:
        return self._transposed(ops.conv1d_transpose, x)
