"""1-D convolution and its transpose: those of images, with one row."""

from __future__ import annotations

from inspect import unwrap
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array
from gpudl.backend.later import then
from gpudl.errors import ShapeError
from gpudl.ops.conv2d import conv2d
from gpudl.ops.conv2d_transpose import conv2d_transpose
from gpudl.ops.layout import spatial_last
from gpudl.ops.sequences import as_row, as_sequence, need_sequence, need_window
from gpudl.shapes import Padding, Pair, shown, single

# Without the decorator an op returns its value and the way back.
_conv2d: Any = unwrap(conv2d)
_conv2d_transpose: Any = unwrap(conv2d_transpose)


@differentiable
def conv1d(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    strides: Pair = 1,
    padding: str | int | tuple[int, int] = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Slide a kernel along sequences.

    y[n, p, k] = bias[k] + sum over r, c of x[n, p * stride + r, c] * kernel[r, c, k].

    Shapes: x (N, L, C), kernel (R, C / groups, K), bias (K,) -> y (N, P, K); with data_format="channels_first"
        x (N, C, L) -> y (N, K, P).
    Padding: "valid" has none; "same" gives ceil(L / stride) steps, an odd one going after; "causal" pads before only,
        so that no output sees a later step; one integer, or (before, after), pads as many zeros.
    Gradient: as of `conv2d`.
    Raises: ShapeError where kernel, groups or strides do not fit the input.
    """
    need_sequence(x.shape, data_format)
    _need_kernel(kernel)
    stride, dilation = single(strides, "strides"), single(dilation_rate, "dilation_rate")
    around: Padding = padding if isinstance(padding, str) else (0, padding)
    if padding == "causal":
        around = (0, ((kernel.shape[0] - 1) * dilation, 0))
    need_window(spatial_last(x.shape, data_format, axes=3), "kernel", kernel.shape[0], stride, dilation, around)
    y, (input_gradient, kernel_gradient, bias_gradient) = _conv2d(
        as_row(x, data_format),
        kernel[None],
        bias,
        strides=(1, stride),
        padding=around,
        dilation_rate=(1, dilation),
        groups=groups,
        data_format=data_format,
    )
    return as_sequence(y, data_format), (
        lambda dy: as_sequence(input_gradient(as_row(dy, data_format)), data_format),
        lambda dy: then(kernel_gradient(as_row(dy, data_format)), lambda dkernel: dkernel[0]),
        lambda dy: bias_gradient(as_row(dy, data_format)),
    )


@differentiable
def conv1d_transpose(
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
    """Spread each step over a window of a longer sequence: `conv2d_transpose` with one row.

    Shapes: x (N, L, C), kernel (R, K, C), bias (K,) -> y (N, P, K); channels_first likewise.
    Gradient: as of `conv2d_transpose`.
    Raises: ShapeError where kernel, strides or output_padding do not fit.
    """
    need_sequence(x.shape, data_format)
    _need_kernel(kernel)
    y, (input_gradient, kernel_gradient, bias_gradient) = _conv2d_transpose(
        as_row(x, data_format),
        kernel[None],
        bias,
        strides=(1, single(strides, "strides")),
        padding=padding,
        output_padding=None if output_padding is None else (0, single(output_padding, "output_padding", 0)),
        dilation_rate=(1, single(dilation_rate, "dilation_rate")),
        data_format=data_format,
    )
    return as_sequence(y, data_format), (
        lambda dy: as_sequence(input_gradient(as_row(dy, data_format)), data_format),
        lambda dy: kernel_gradient(as_row(dy, data_format))[0],
        lambda dy: bias_gradient(as_row(dy, data_format)),
    )


def _need_kernel(kernel: Array) -> None:
    if kernel.ndim != 3:
        raise ShapeError(f"kernel must have 3 axes, the first its length, but has shape {shown(kernel.shape)}")
