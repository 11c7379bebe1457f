"""Convolution layers."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Unpack

from gpudl import constraints, initializers, ops, regularizers
from gpudl.activations import Activation, relu
from gpudl.constraints import Constraint
from gpudl.errors import ShapeError, UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import CommonSettings, OpenShape
from gpudl.layers.convolution import Convolution, read_count, read_padding
from gpudl.regularizers import Regularizer


class _Conv(Convolution):
    """What is the same along one axis and two."""

    paddings: tuple[str, ...]
    op: Any
    relu_within = False
    """Whether the op can apply ReLU in the same pass."""

    def _read_kernel(self, window: tuple[Any, ...], weight: tuple[Any, Any, Any]) -> None:
        filters, kernel_size, strides, padding, data_format, dilation_rate, groups = window
        self.filters = read_count(self, "filters", filters)
        if not isinstance(groups, Integral) or groups < 1 or filters % groups:
            raise UsageError(
                f"{type(self).__name__}(filters={filters}, groups={groups!r}): groups must divide the filters"
            )
        self.groups = int(groups)
        self.padding = read_padding(self, padding, *self.paddings)
        self._read_window(kernel_size, strides, data_format, dilation_rate)
        initializer, regularizer, constraint = weight
        self.kernel_initializer = initializers.get(initializer)
        self.kernel_regularizer = regularizers.get(regularizer)
        self.kernel_constraint = constraints.get(constraint)

    def build(self, input_shape: OpenShape) -> None:
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ShapeError(f"groups={self.groups} must divide the {channels} input channels")
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self._add_bias(self.filters)

    def call(self, x: Any, activate: bool = True) -> Any:
        """Convolve and, unless the caller does that later, apply the activation."""
        more: dict[str, Any] = {}
        if activate and self.relu_within and self.activation is relu:
            more, activate = {"relu": True}, False
        y = type(self).op(
            x,
            self.kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            data_format=self.data_format,
            **more,
        )
        return self.activation(y) if activate else y

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        return self._positions(output_shape) * self.kernel.size


class Conv1D(_Conv):
    """Slide `filters` kernels along sequences: activation(conv1d(x, kernel) + bias).

    padding="causal" pads before the first step only, so that no output sees a later step.

    Shapes: (N, L, C) -> (N, P, filters); channels_first likewise. Weights: kernel (R, C / groups, filters),
    bias (filters,).
    """

    rank = 1
    paddings = ("valid", "same", "causal")
    op = staticmethod(ops.conv1d)

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int],
        strides: int | tuple[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int] = 1,
        groups: int = 1,
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
        self._read_output(activation, use_bias, bias_initializer, bias_regularizer, bias_constraint)
        self._read_kernel(
            (filters, kernel_size, strides, padding, data_format, dilation_rate, groups),
            (kernel_initializer, kernel_regularizer, kernel_constraint),
        )


class Conv2D(_Conv):
    """Slide `filters` kernels over images: activation(conv2d(x, kernel) + bias).

    Shapes: (N, H, W, C) -> (N, P, Q, filters); channels_first likewise. Weights: kernel (R, S, C / groups, filters),
    bias (filters,).
    """

    rank = 2
    paddings = ("valid", "same")
    op = staticmethod(ops.conv2d)
    relu_within = True

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = 1,
        groups: int = 1,
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
        self._read_output(activation, use_bias, bias_initializer, bias_regularizer, bias_constraint)
        self._read_kernel(
            (filters, kernel_size, strides, padding, data_format, dilation_rate, groups),
            (kernel_initializer, kernel_regularizer, kernel_constraint),
        )
