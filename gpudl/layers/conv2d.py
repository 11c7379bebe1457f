from __future__ import annotations

from typing import Any, Unpack

from gpudl import activations, initializers, ops, regularizers
from gpudl.activations import Activation
from gpudl.errors import ShapeError, UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import Layer, LayerSettings, OpenShape, need_axes
from gpudl.ops.layout import check_format
from gpudl.regularizers import Regularizer
from gpudl.shapes import pair


class Conv2D(Layer):
    """Slide `filters` kernels over images: activation(conv2d(x, kernel) + bias).

    Shapes: (N, H, W, C) -> (N, P, Q, filters); channels_first likewise. Weights: kernel (R, S, C / groups, filters),
    bias (filters,).
    """

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
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        if not isinstance(filters, int) or filters < 1:
            raise UsageError(f"Conv2D(filters={filters!r}): filters must be an integer of at least 1")
        if not isinstance(groups, int) or groups < 1 or filters % groups:
            raise UsageError(f"Conv2D(filters={filters}, groups={groups!r}): groups must divide the filters")
        if str(padding).lower() not in ("valid", "same"):
            raise UsageError(f'Conv2D(padding={padding!r}): padding must be "valid" or "same"')
        self.filters = filters
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.strides = pair(strides, "strides")
        self.padding = padding.lower()
        self.data_format = data_format or "channels_last"
        check_format(self.data_format)
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise UsageError(
                f"Conv2D(strides={strides!r}, dilation_rate={dilation_rate!r}): only one of them may be larger than 1"
            )
        self.groups = groups
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias = None

    def build(self, input_shape: OpenShape) -> None:
        need_axes(input_shape, 4, "(batch, height, width, channels)")
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels is None or channels % self.groups:
            raise ShapeError(f"groups={self.groups} must divide the {channels} input channels")
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.filters,), self.bias_initializer, regularizer=self.bias_regularizer, name="bias"
            )

    def call(self, x: Any, activate: bool = True) -> Any:
        """Convolve and, unless the caller does that later, apply the activation."""
        y = ops.conv2d(
            x,
            self.kernel,
            self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            data_format=self.data_format,
        )
        return self.activation(y) if activate else y

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        positions = output_shape[1:3] if self.data_format == "channels_last" else output_shape[2:4]
        return (positions[0] or 1) * (positions[1] or 1) * self.kernel.size
