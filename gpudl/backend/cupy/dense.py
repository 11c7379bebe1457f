"""Products of batches and weights on the GPU: where tensor cores make them, as 1x1 convolutions; else cuBLAS's.

gpudl's own products add the bias and apply ReLU in the same launch, and CUDA graphs can hold them, which CuPy does not
allow for cuBLAS's.
"""

from __future__ import annotations

from functools import lru_cache

from gpudl.backend import Array, array_module
from gpudl.backend.cupy import conv2d
from gpudl.backend.cupy.columns import sums
from gpudl.backend.cupy.launching import TYPES, contiguous, launch_each, name_of, pack
from gpudl.backend.cupy.precision import FMA, products
from gpudl.shapes import ConvGeometry


def forward(x: Array, kernel: Array, bias: Array | None, relu: bool = False) -> Array:
    """x (M, I), kernel (I, O), bias (O,) or None -> y = x @ kernel + bias (M, O); with `relu` max(y, 0)."""
    if _is_own(x, kernel):
        conv = _pointwise(len(x), *kernel.shape)
        return conv2d.forward(x.reshape(conv.x_shape), kernel.reshape(conv.kernel_shape), bias, conv, relu)[:, 0, 0]
    y = x @ kernel
    if bias is not None or relu:
        finish(y, bias, relu)
    return y


def input_gradient(dy: Array, kernel: Array) -> Array:
    """dy (M, O), kernel (I, O) -> dx (M, I)."""
    if _is_own(dy, kernel):
        conv = _pointwise(len(dy), *kernel.shape)
        return conv2d.input_gradient(dy.reshape(conv.y_shape), kernel.reshape(conv.kernel_shape), conv)[:, 0, 0]
    return dy @ kernel.T


def kernel_gradient(x: Array, dy: Array, out: Array | None = None) -> Array:
    """x (M, I), dy (M, O) -> dkernel (I, O), written to `out` where that is given."""
    if _is_own(x, dy):
        conv = _pointwise(len(x), x.shape[1], dy.shape[1])
        place = None if out is None else out.reshape(conv.kernel_shape)
        made = conv2d.begin_kernel_gradient(x.reshape(conv.x_shape), dy.reshape(conv.y_shape), conv, place)[0, 0]
        return made if out is None else out
    made = x.T @ dy
    if out is None:
        return made
    out[...] = made
    return out


def _is_own(x: Array, other: Array) -> bool:
    return x.dtype.itemsize == 4 and x.dtype == other.dtype and products(x) != FMA and x.size > 0 and other.size > 0


@lru_cache(maxsize=1024)
def _pointwise(rows: int, channels: int, filters: int) -> ConvGeometry:
    return ConvGeometry.of((rows, 1, 1, channels), (1, 1, channels, filters))


def column_sums(x: Array) -> Array:
    """x (M, K) -> (K,), summed in a fixed order."""
    return sums(contiguous(x))


def finish(x: Array, bias: Array | None, relu: bool) -> None:
    """x (M, K) += bias (K,), unless it is None; with `relu` then max(x, 0); in place."""
    if name_of(x.dtype) in TYPES and (bias is None or bias.dtype == x.dtype):
        bias, at_once = None if bias is None else contiguous(bias), pack(x, x.shape[1])
        arguments = (x, bias, int(relu), x.shape[1])
        launch_each("rows", "finish_rows", x.size // at_once, arguments, x.size, PACK=at_once)
        return
    if bias is not None:
        x += bias
    if relu:
        array_module(x).maximum(x, 0, out=x)
