"""2-D pooling: one number for each window of each channel."""

from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable, max, mean
from gpudl.backend import Array, kernels
from gpudl.errors import ShapeError
from gpudl.ops.layout import check_format, images_first, images_last
from gpudl.shapes import Padding, Pair, PoolGeometry, shown


@differentiable
def max_pool2d(
    x: Array,
    *,
    pool_size: Pair,
    strides: Pair | None = None,
    padding: Padding = "valid",
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Keep the largest value of each window. `strides` defaults to `pool_size`; padding counts as -inf; NaN is kept.

    Shapes: x (N, H, W, C) -> y (N, P, Q, C); channels_first likewise.
    Gradient: to the winner of each window; among equals the first in row-major order; overlapping windows add up.
    Raises: ShapeError where the window does not fit.
    """
    images = images_last(x, data_format)
    pool = PoolGeometry.of(images.shape, pool_size, strides, padding)
    twin = kernels("pool2d", images)
    y, winner = twin.max_forward(images, pool)

    def backward(dy: Array) -> Array:
        return images_first(twin.max_backward(images_last(dy, data_format), winner, pool), data_format)

    return images_first(y, data_format), backward


@differentiable
def average_pool2d(
    x: Array,
    *,
    pool_size: Pair,
    strides: Pair | None = None,
    padding: Padding = "valid",
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Average each window over its real elements: padding is not counted. `strides` defaults to `pool_size`.

    Shapes: x (N, H, W, C) -> y (N, P, Q, C); channels_first likewise.
    Gradient: shared equally by the real elements of the window; overlapping windows add up.
    Raises: ShapeError where the window does not fit.
    """
    images = images_last(x, data_format)
    images = images if images.dtype.kind == "f" else images.astype("float32")
    pool = PoolGeometry.of(images.shape, pool_size, strides, padding)
    twin = kernels("pool2d", images)

    def backward(dy: Array) -> Array:
        return images_first(twin.average_backward(images_last(dy, data_format), pool), data_format)

    return images_first(twin.average_forward(images, pool), data_format), backward


def global_average_pool2d(x: Array, *, keepdims: bool = False, data_format: str = "channels_last") -> Array:
    """Average each channel over the whole image: x (N, H, W, C) -> y (N, C), or (N, 1, 1, C) with `keepdims`."""
    return mean(x, axis=_image_axes(x, data_format), keepdims=keepdims)


def global_max_pool2d(x: Array, *, keepdims: bool = False, data_format: str = "channels_last") -> Array:
    """Keep each channel's largest value: x (N, H, W, C) -> y (N, C), or (N, 1, 1, C) with `keepdims`.

    Gradient: shared equally among ties.
    """
    return max(x, axis=_image_axes(x, data_format), keepdims=keepdims)


def _image_axes(x: Array, data_format: str) -> tuple[int, int]:
    check_format(data_format)
    if len(x.shape) != 4:
        raise ShapeError(f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x.shape)}")
    return (1, 2) if data_format == "channels_last" else (2, 3)
