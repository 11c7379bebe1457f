"""A sequence is an image of one row: what ops on sequences share with those on images."""

from __future__ import annotations

from gpudl.backend import Array, Shape
from gpudl.errors import ShapeError
from gpudl.ops.layout import check_format
from gpudl.shapes import Padding, WindowAxis, shown


def row_axis(data_format: str) -> int:
    """Return where the axis of length 1 stands that makes an image of a sequence."""
    check_format(data_format)
    return 1 if data_format == "channels_last" else 2


def step_axis(data_format: str) -> int:
    """Return which axis of a sequence its steps are."""
    check_format(data_format)
    return 1 if data_format == "channels_last" else 2


def as_row(x: Array, data_format: str) -> Array:
    """(N, L, C) as (N, 1, L, C), or (N, C, L) as (N, C, 1, L)."""
    shape = list(x.shape)
    shape.insert(row_axis(data_format), 1)
    return x.reshape(shape)


def as_sequence(y: Array, data_format: str) -> Array:
    """The inverse of `as_row`."""
    shape = list(y.shape)
    del shape[row_axis(data_format)]
    return y.reshape(shape)


def need_sequence(x_shape: Shape, data_format: str) -> int:
    """Return the number of steps. Raises: ShapeError where the input is no sequence."""
    axis = step_axis(data_format)
    if len(x_shape) != 3:
        meaning = "(batch, steps, channels)" if axis == 1 else "(batch, channels, steps)"
        raise ShapeError(f"input must have 3 axes, {meaning}, but has shape {shown(x_shape)}")
    return x_shape[axis]


def need_window(x_shape: Shape, what: str, window: int, stride: int, dilation: int, padding: Padding) -> None:
    """Raises: ShapeError where a window does not fit into a sequence. x_shape has channels last, (N, L, C)."""
    span = (window - 1) * dilation + 1
    if padding == "valid" and WindowAxis.of(x_shape[1], window, stride, dilation, "valid").out < 1:
        dilated = f" (dilated to {span})" if dilation > 1 else ""
        raise ShapeError(
            f"{what} {window}{dilated} does not fit into input {shown((None, *x_shape[1:]))} "
            f'with padding="valid"; use padding="same" or a smaller {what}'
        )
