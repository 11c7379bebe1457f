"""Global pooling: one number for each channel of an image or a sequence."""

from __future__ import annotations

import math
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, Shape, array_module, kernels
from gpudl.errors import ShapeError
from gpudl.ops.layout import check_format
from gpudl.ops.sequences import need_sequence
from gpudl.shapes import shown


@differentiable
def global_average_pool1d(x: Array, *, keepdims: bool = False, data_format: str = "channels_last") -> tuple[Array, Any]:
    """Average each channel over all steps: x (N, L, C) -> y (N, C), or (N, 1, C) with `keepdims`."""
    need_sequence(x.shape, data_format)
    return _average(x, keepdims, data_format)


@differentiable
def global_max_pool1d(x: Array, *, keepdims: bool = False, data_format: str = "channels_last") -> tuple[Array, Any]:
    """Keep each channel's largest value: x (N, L, C) -> y (N, C), or (N, 1, C) with `keepdims`.

    Gradient: shared equally among ties.
    """
    need_sequence(x.shape, data_format)
    return _largest(x, keepdims, data_format)


@differentiable
def global_average_pool2d(x: Array, *, keepdims: bool = False, data_format: str = "channels_last") -> tuple[Array, Any]:
    """Average each channel over the whole image: x (N, H, W, C) -> y (N, C), or (N, 1, 1, C) with `keepdims`."""
    _need_images(x, data_format)
    return _average(x, keepdims, data_format)


@differentiable
def global_max_pool2d(x: Array, *, keepdims: bool = False, data_format: str = "channels_last") -> tuple[Array, Any]:
    """Keep each channel's largest value: x (N, H, W, C) -> y (N, C), or (N, 1, 1, C) with `keepdims`.

    Gradient: shared equally among ties.
    """
    _need_images(x, data_format)
    return _largest(x, keepdims, data_format)


def _average(x: Array, keepdims: bool, data_format: str) -> tuple[Array, Any]:
    x = x if x.dtype.kind == "f" else x.astype("float32")
    flat, pooled, kept = _arranged(x, data_format)
    y = kernels("global_pool", x).average(flat)

    def backward(dy: Array) -> Array:
        return array_module(x).broadcast_to(dy.reshape(kept) / flat.shape[1], x.shape)

    return y.reshape(kept if keepdims else pooled), backward


def _largest(x: Array, keepdims: bool, data_format: str) -> tuple[Array, Any]:
    flat, pooled, kept = _arranged(x, data_format)
    if flat.shape[1] == 0:
        raise ShapeError(f"input of shape {shown(x.shape)} has nothing to take the largest of")
    twin = kernels("global_pool", x)
    y = twin.largest(flat)
    return y.reshape(kept if keepdims else pooled), lambda dy: twin.largest_backward(
        dy.reshape(y.shape), flat, y
    ).reshape(x.shape)


def _arranged(x: Array, data_format: str) -> tuple[Array, Shape, Shape]:
    """Return x with all places of a channel on the second of three axes, and the shapes of the result.

    (N, ..., C) becomes (N, L, C), and (N, C, ...) becomes (N * C, L, 1): nothing need be copied for either.
    """
    if data_format == "channels_last":
        batch, *places, channels = x.shape
        shape, kept = (batch, math.prod(places), channels), (batch, *(1 for _ in places), channels)
    else:
        batch, channels, *places = x.shape
        shape, kept = (batch * channels, math.prod(places), 1), (batch, channels, *(1 for _ in places))
    return x.reshape(shape), (batch, channels), kept


def _need_images(x: Array, data_format: str) -> None:
    check_format(data_format)
    if len(x.shape) != 4:
        raise ShapeError(f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x.shape)}")
