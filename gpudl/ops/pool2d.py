"""2-D pooling: one number for each window of each channel."""

from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, kernels
from gpudl.ops.layout import images_first, images_last
from gpudl.shapes import Padding, Pair, PoolGeometry


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
