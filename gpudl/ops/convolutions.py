"""Keras's names for the other convolutions, for images and, as images of height 1, for sequences."""

from __future__ import annotations

from gpudl.autograd import as_array
from gpudl.backend import Array
from gpudl.errors import ShapeError
from gpudl.ops.arithmetic import expand_dims
from gpudl.ops.conv1d import conv1d_transpose
from gpudl.ops.conv2d_transpose import conv2d_transpose
from gpudl.ops.depthwise import depthwise_conv2d
from gpudl.ops.layout import check_format
from gpudl.ops.nn import _as_images, _of_height_1, _spatial_axes, conv
from gpudl.shapes import Pair, shown


def conv_transpose(
    inputs: Array,
    kernel: Array,
    strides: Pair = 1,
    padding: str = "valid",
    output_padding: Pair | None = None,
    data_format: str | None = None,
    dilation_rate: Pair = 1,
) -> Array:
    """Spread each position over a window of a larger image or sequence; see `conv2d_transpose`.

    Shapes: inputs (N, P, Q, C), kernel (R, S, K, C) -> (N, H, W, K); inputs (N, P, C), kernel (R, K, C)
        -> (N, L, K); channels_first likewise.
    Raises: ShapeError where they do not fit each other.
    """
    inputs, kernel = as_array(inputs), as_array(kernel)
    op = conv2d_transpose if _spatial_axes("conv_transpose", inputs, padding) == 2 else conv1d_transpose
    _need_kernel("conv_transpose", inputs, kernel)
    return op(
        inputs,
        kernel,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        dilation_rate=dilation_rate,
        data_format=data_format or "channels_last",
    )


def depthwise_conv(
    inputs: Array,
    kernel: Array,
    strides: Pair = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Pair = 1,
) -> Array:
    """Slide kernels over each channel of images or sequences by itself; see `depthwise_conv2d`.

    Shapes: inputs (N, H, W, C), kernel (R, S, C, M) -> (N, P, Q, C * M); inputs (N, L, C), kernel (R, C, M)
        -> (N, P, C * M); channels_first likewise.
    Raises: ShapeError where they do not fit each other.
    """
    inputs, kernel = as_array(inputs), as_array(kernel)
    axes = _spatial_axes("depthwise_conv", inputs, padding)
    _need_kernel("depthwise_conv", inputs, kernel)
    data_format = data_format or "channels_last"
    check_format(data_format)
    if axes == 2:
        return depthwise_conv2d(
            inputs, kernel, strides=strides, padding=padding, dilation_rate=dilation_rate, data_format=data_format
        )
    return _as_images(
        lambda x: depthwise_conv2d(
            x,
            expand_dims(kernel, 0),
            strides=_of_height_1(strides, "strides"),
            padding=padding,
            dilation_rate=_of_height_1(dilation_rate, "dilation_rate"),
            data_format=data_format,
        ),
        inputs,
        data_format,
    )


def separable_conv(
    inputs: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    strides: Pair = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Pair = 1,
) -> Array:
    """Filter each channel of images or sequences by itself, then mix the channels at each position.

    Shapes: inputs (N, H, W, C), depthwise_kernel (R, S, C, M), pointwise_kernel (1, 1, C * M, K) -> (N, P, Q, K);
        inputs (N, L, C), depthwise_kernel (R, C, M), pointwise_kernel (1, C * M, K) -> (N, P, K);
        channels_first likewise.
    Raises: ShapeError where they do not fit each other.
    Source: Chollet 2017, arXiv 1610.02357.
    """
    channels = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(channels, pointwise_kernel, data_format=data_format)


def _need_kernel(name: str, inputs: Array, kernel: Array) -> None:
    if len(kernel.shape) != len(inputs.shape):
        raise ShapeError(
            f"{name}: a kernel of shape {shown(kernel.shape)} does not fit inputs of {shown(inputs.shape)}; "
            f"it must have {len(inputs.shape)} axes"
        )
