"""2-D convolution and its two adjoints, on plain arrays and on Tensors."""

from __future__ import annotations

from typing import Any

from gpudl.autograd import Into, differentiable
from gpudl.backend import Array, Shape, kernels
from gpudl.backend.later import Later
from gpudl.errors import ShapeError
from gpudl.ops.epilogue import Epilogue
from gpudl.ops.layout import images_first, images_last, same_type, spatial_last
from gpudl.shapes import ConvGeometry, Padding, Pair, shown


@differentiable
def conv2d(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: str = "channels_last",
    relu: bool = False,
) -> tuple[Array, Any]:
    """Slide a kernel over images. With `relu` what is below 0 becomes 0, in the same pass over the output.

    y[n, p, q, k] = bias[k] + sum over r, s, c of x[n, p * stride + r, q * stride + s, c] * kernel[r, s, c, k].

    As everywhere in deep learning the kernel is not turned round (it is a cross-correlation).

    Shapes: x (N, H, W, C), kernel (R, S, C / groups, K), bias (K,) -> y (N, P, Q, K); with
        data_format="channels_first" x (N, C, H, W) -> y (N, K, P, Q), the kernel stays as it is.
    Padding: "valid" has none; "same" gives ceil(H / stride) rows, an odd row or column going after; numbers pad
        rows and columns with as many zeros, each an integer or (before, after).
    Gradient: `conv2d_input_gradient`, `conv2d_kernel_gradient`, and the sum of dy for the bias.
    Raises: ShapeError where kernel, groups or strides do not fit the input.
    """
    images = images_last(x, data_format)
    conv = ConvGeometry.of(images.shape, kernel.shape, strides, padding, dilation_rate, groups)
    if bias is not None and bias.shape != (conv.filters,):
        raise ShapeError(f"bias must have shape ({conv.filters},), one number per filter, but has {shown(bias.shape)}")
    images, weights = same_type(images, kernel)
    twin = kernels("conv2d", images, weights)
    y = twin.forward(images, weights, bias, conv, relu)
    end = Epilogue(y.reshape(-1, conv.filters), relu, bias is not None, data_format)

    def input_gradient(dy: Array) -> Array:
        dz = end.gradient(dy).reshape(conv.y_shape)
        return images_first(twin.input_gradient(dz, weights, conv), data_format)

    def kernel_gradient(dy: Array, out: Array | None) -> Array | Later:
        dz = end.gradient(dy).reshape(conv.y_shape)
        return twin.begin_kernel_gradient(images, dz, conv, out if weights is kernel else None)

    return images_first(y, data_format), (input_gradient, Into(kernel_gradient), end.bias_gradient)


@differentiable
def conv2d_input_gradient(
    dy: Array,
    kernel: Array,
    *,
    input_shape: Shape,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Carry a gradient for conv2d's output back to its input: the adjoint of x -> conv2d(x, kernel).

    Shapes: dy (N, P, Q, K), kernel (R, S, C / groups, K), input_shape (N, H, W, C) -> dx (N, H, W, C).
    Gradient: for dy it is `conv2d` itself, for the kernel `conv2d_kernel_gradient`.
    Raises: ShapeError where dy is not what conv2d gives for such an input.
    """
    gradient = images_last(dy, data_format)
    conv = ConvGeometry.of(
        spatial_last(input_shape, data_format), kernel.shape, strides, padding, dilation_rate, groups
    )
    _expect("dy", gradient.shape, conv.y_shape)
    gradient, weights = same_type(gradient, kernel)
    twin = kernels("conv2d", gradient, weights)
    dx = twin.input_gradient(gradient, weights, conv)

    def dy_gradient(ddx: Array) -> Array:
        return images_first(twin.forward(images_last(ddx, data_format), weights, None, conv), data_format)

    def kernel_gradient(ddx: Array) -> Array:
        return twin.kernel_gradient(images_last(ddx, data_format), gradient, conv)

    return images_first(dx, data_format), (dy_gradient, kernel_gradient)


@differentiable
def conv2d_kernel_gradient(
    x: Array,
    dy: Array,
    *,
    kernel_size: Pair,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Carry a gradient for conv2d's output back to its kernel: the adjoint of kernel -> conv2d(x, kernel).

    Shapes: x (N, H, W, C), dy (N, P, Q, K) -> dkernel (R, S, C / groups, K), with kernel_size (R, S).
    Gradient: for x it is `conv2d_input_gradient`, for dy `conv2d`.
    Raises: ShapeError where dy is not what conv2d gives for such an input and kernel.
    """
    images, gradient = images_last(x, data_format), images_last(dy, data_format)
    size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    kernel_shape = (*size, images.shape[-1] // max(1, groups), gradient.shape[-1])
    conv = ConvGeometry.of(images.shape, kernel_shape, strides, padding, dilation_rate, groups)
    _expect("dy", gradient.shape, conv.y_shape)
    images, gradient = same_type(images, gradient)
    twin = kernels("conv2d", images, gradient)

    def input_gradient(dkernel: Array) -> Array:
        return images_first(twin.input_gradient(gradient, dkernel, conv), data_format)

    def dy_gradient(dkernel: Array) -> Array:
        return images_first(twin.forward(images, dkernel, None, conv), data_format)

    return twin.kernel_gradient(images, gradient, conv), (input_gradient, dy_gradient)


def _expect(name: str, arrived: Shape, expected: Shape) -> None:
    if arrived != expected:
        raise ShapeError(f"{name} has shape {arrived}, but this convolution's output has shape {expected}")
