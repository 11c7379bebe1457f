"""Depthwise and separable convolution: every channel has kernels of its own."""

from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, kernels
from gpudl.errors import ShapeError
from gpudl.ops.conv2d import conv2d
from gpudl.ops.layout import images_first, images_last, same_type
from gpudl.shapes import DepthwiseGeometry, Padding, Pair, shown


@differentiable
def depthwise_conv2d(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Slide kernels over each channel of images by itself.

    y[n, p, q, c * M + m] = bias[c * M + m] + sum over r, s of x[n, p * stride + r, q * stride + s, c] *
    kernel[r, s, c, m], M being the multiplier.

    Shapes: x (N, H, W, C), kernel (R, S, C, M), bias (C * M,) -> y (N, P, Q, C * M); channels_first likewise.
    Padding: as of `conv2d`. Strides and dilation may both be larger than 1.
    Gradient: for x the taps go back where they came from; for the kernel, sums of x[tap] * dy; for the bias, of dy.
    Raises: ShapeError where the kernel does not fit the input.
    """
    images = images_last(x, data_format)
    conv = DepthwiseGeometry.of(images.shape, kernel.shape, strides, padding, dilation_rate)
    filters = conv.filters
    if bias is not None and bias.shape != (filters,):
        raise ShapeError(
            f"bias must have shape ({filters},), one number per output channel, but has {shown(bias.shape)}"
        )
    images, weights = same_type(images, kernel)
    twin = kernels("depthwise", images, weights)

    def input_gradient(dy: Array) -> Array:
        return images_first(twin.input_gradient(images_last(dy, data_format), weights, conv), data_format)

    def kernel_gradient(dy: Array) -> Array:
        return twin.kernel_gradient(images, images_last(dy, data_format), conv)

    def bias_gradient(dy: Array) -> Array:
        return kernels("dense", dy).column_sums(images_last(dy, data_format).reshape(-1, filters))

    y = twin.forward(images, weights, bias, conv)
    return images_first(y, data_format), (input_gradient, kernel_gradient, bias_gradient)


def separable_conv2d(
    x: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    bias: Array | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    data_format: str = "channels_last",
) -> Array:
    """Filter each channel by itself, then mix the channels at each position.

    Shapes: x (N, H, W, C), depthwise_kernel (R, S, C, M), pointwise_kernel (1, 1, C * M, K), bias (K,)
        -> y (N, P, Q, K); channels_first likewise.
    Source: Chollet 2017, arXiv 1610.02357.
    """
    channels = depthwise_conv2d(
        x, depthwise_kernel, strides=strides, padding=padding, dilation_rate=dilation_rate, data_format=data_format
    )
    return conv2d(channels, pointwise_kernel, bias, data_format=data_format)
