from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, kernels
from gpudl.errors import ShapeError
from gpudl.ops.layout import images_first, images_last, same_type
from gpudl.shapes import ConvGeometry, Pair, shown


@differentiable
def conv2d_transpose(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Pair = 1,
    padding: str = "valid",
    output_padding: Pair | None = None,
    dilation_rate: Pair = 1,
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Spread each position over a window of a larger image: the adjoint of a convolution, used forwards.

    y[n, p * stride + r, q * stride + s, k] adds up bias[k] and x[n, p, q, c] * kernel[r, s, k, c], then "same" crops.

    Shapes: x (N, P, Q, C), kernel (R, S, K, C), bias (K,) -> y (N, H, W, K); channels_first likewise. With D the
        dilated length of the kernel, "valid" gives H = (P - 1) * stride + max(D, stride), "same" P * stride. With
        output_padding, "valid" gives (P - 1) * stride + D + output_padding, "same" (P - 1) * stride + D % 2 +
        output_padding.
    Gradient: for x it is a convolution of dy, for the kernel `conv2d_kernel_gradient` of dy and x.
    Raises: ShapeError where kernel, strides or output_padding do not fit.
    """
    images = images_last(x, data_format)
    conv = ConvGeometry.transposed(images.shape, kernel.shape, strides, padding, output_padding, dilation_rate)
    if bias is not None and bias.shape != (conv.channels,):
        raise ShapeError(f"bias must have shape ({conv.channels},), one number per filter, but has {shown(bias.shape)}")
    images, weights = same_type(images, kernel)
    twin = kernels("conv2d", images, weights)
    y = twin.input_gradient(images, weights, conv)
    if bias is not None:
        y += bias

    def input_gradient(dy: Array) -> Array:
        return images_first(twin.forward(images_last(dy, data_format), weights, None, conv), data_format)

    def kernel_gradient(dy: Array) -> Array:
        return twin.kernel_gradient(images_last(dy, data_format), images, conv)

    def bias_gradient(dy: Array) -> Array:
        return kernels("dense", dy).column_sums(images_last(dy, data_format).reshape(-1, conv.channels))

    return images_first(y, data_format), (input_gradient, kernel_gradient, bias_gradient)
