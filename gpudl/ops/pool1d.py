"""1-D pooling: that of images, with one row."""

from __future__ import annotations

from inspect import unwrap
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array
from gpudl.ops.layout import spatial_last
from gpudl.ops.pool2d import average_pool2d, max_pool2d
from gpudl.ops.sequences import as_row, as_sequence, need_sequence, need_window
from gpudl.shapes import Padding, Pair, single

# Without the decorator an op returns its value and the way back.
_max_pool2d: Any = unwrap(max_pool2d)
_average_pool2d: Any = unwrap(average_pool2d)


@differentiable
def max_pool1d(
    x: Array,
    *,
    pool_size: Pair,
    strides: Pair | None = None,
    padding: str | int | tuple[int, int] = "valid",
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Keep the largest value of each window. `strides` defaults to `pool_size`; padding counts as -inf; NaN is kept.

    Shapes: x (N, L, C) -> y (N, P, C); channels_first likewise.
    Gradient: to the winner of each window, among equals the first; overlapping windows add up.
    Raises: ShapeError where the window does not fit.
    """
    return _pool(_max_pool2d, x, pool_size, strides, padding, data_format)


@differentiable
def average_pool1d(
    x: Array,
    *,
    pool_size: Pair,
    strides: Pair | None = None,
    padding: str | int | tuple[int, int] = "valid",
    data_format: str = "channels_last",
) -> tuple[Array, Any]:
    """Average each window over its real elements: padding is not counted. `strides` defaults to `pool_size`.

    Shapes: x (N, L, C) -> y (N, P, C); channels_first likewise.
    Gradient: shared equally by the real elements of the window; overlapping windows add up.
    Raises: ShapeError where the window does not fit.
    """
    return _pool(_average_pool2d, x, pool_size, strides, padding, data_format)


def _pool(
    pool2d: Any,
    x: Array,
    pool_size: Pair,
    strides: Pair | None,
    padding: str | int | tuple[int, int],
    data_format: str,
) -> tuple[Array, Any]:
    need_sequence(x.shape, data_format)
    window = single(pool_size, "pool_size")
    stride = window if strides is None else single(strides, "strides")
    around: Padding = padding if isinstance(padding, str) else (0, padding)
    need_window(spatial_last(x.shape, data_format, axes=3), "pool", window, stride, 1, around)
    y, backward = pool2d(
        as_row(x, data_format), pool_size=(1, window), strides=(1, stride), padding=around, data_format=data_format
    )
    return as_sequence(y, data_format), lambda dy: as_sequence(backward(as_row(dy, data_format)), data_format)
