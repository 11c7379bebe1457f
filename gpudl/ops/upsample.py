"""Larger images and longer sequences: every element repeated, or interpolated between neighbours."""

from __future__ import annotations

import math
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.layout import check_format
from gpudl.ops.sequences import need_sequence
from gpudl.shapes import Pair, pair, shown, single

INTERPOLATIONS = ("nearest", "bilinear")


@differentiable
def upsample2d(
    x: Array, *, size: Pair, interpolation: str = "nearest", data_format: str = "channels_last"
) -> tuple[Array, Any]:
    """Make images larger by whole factors, `size` (rows, columns).

    "nearest" repeats each pixel. "bilinear" takes pixels as points in the middle of their squares and weighs the two
    nearest along each axis by their distance; beyond the outermost points it repeats them.

    Shapes: x (N, H, W, C) -> y (N, H * rows, W * columns, C); channels_first likewise.
    Gradient: each pixel's is the sum over where it went, by the same weights.
    Raises: ShapeError where x is no image; UsageError for another interpolation.
    """
    check_format(data_format)
    if interpolation not in INTERPOLATIONS:
        raise UsageError(f'interpolation={interpolation!r} is not there; use "nearest" or "bilinear"')
    if x.ndim != 4:
        raise ShapeError(f"input must have 4 axes, (batch, height, width, channels), but has shape {shown(x.shape)}")
    first = 1 if data_format == "channels_last" else 2
    factors = tuple(zip((first, first + 1), pair(size, "size"), strict=True))
    if interpolation == "nearest":
        stretch, shrink = _repeated, _added_up
    else:
        x = x if x.dtype.kind == "f" else x.astype("float32")
        stretch, shrink = _interpolated, _interpolated_back
    y = x
    for axis, factor in factors:
        y = stretch(y, axis, factor)

    def backward(dy: Array) -> Array:
        for axis, factor in reversed(factors):
            dy = shrink(dy, axis, factor)
        return dy

    return y, backward


@differentiable
def upsample1d(x: Array, *, size: int) -> tuple[Array, Any]:
    """Repeat each step of sequences `size` times: x (N, L, C) -> y (N, L * size, C). Gradient: summed over the copies.

    Raises: ShapeError where x is no sequence.
    """
    need_sequence(x.shape, "channels_last")
    factor = single(size, "size")
    return _repeated(x, 1, factor), lambda dy: _added_up(dy, 1, factor)


@differentiable
def repeat_vector(x: Array, *, n: int) -> tuple[Array, Any]:
    """Make a sequence of n equal steps of each vector: x (N, F) -> y (N, n, F). Gradient: summed over the steps.

    Raises: ShapeError where x is no batch of vectors.
    """
    if x.ndim != 2:
        raise ShapeError(f"input must have 2 axes, (batch, features), but has shape {shown(x.shape)}")
    return _repeated(x[:, None], 1, single(n, "n")), lambda dy: dy.sum(axis=1)


def _repeated(x: Array, axis: int, factor: int) -> Array:
    return x.repeat(factor, axis=axis)


def _added_up(dy: Array, axis: int, factor: int) -> Array:
    return dy.reshape(*dy.shape[:axis], -1, factor, *dy.shape[axis + 1 :]).sum(axis=axis + 1)


def _phases(factor: int) -> list[tuple[int, float]]:
    """For each of the `factor` outputs at an input i: the left one of its two neighbours, and the right one's weight.

    Neighbours are counted in the input with one element repeated at either end: 0 stands for i - 1.
    """
    centres = [(phase + 0.5) / factor - 0.5 for phase in range(factor)]
    return [(math.floor(centre) + 1, centre - math.floor(centre)) for centre in centres]


def _along(axis: int, taken: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, taken)


def _interpolated(x: Array, axis: int, factor: int) -> Array:
    n = x.shape[axis]
    xp = array_module(x)
    ends = [x[_along(axis, slice(0, 1))], x, x[_along(axis, slice(n - 1, n))]]
    source = xp.concatenate(ends, axis=axis)
    y = xp.empty((*x.shape[:axis], n * factor, *x.shape[axis + 1 :]), x.dtype)
    for phase, (left, weight) in enumerate(_phases(factor)):
        near, far = source[_along(axis, slice(left, left + n))], source[_along(axis, slice(left + 1, left + 1 + n))]
        y[_along(axis, slice(phase, None, factor))] = near * (1 - weight) + far * weight if weight else near
    return y


def _interpolated_back(dy: Array, axis: int, factor: int) -> Array:
    n = dy.shape[axis] // factor
    total = array_module(dy).zeros((*dy.shape[:axis], n + 2, *dy.shape[axis + 1 :]), dy.dtype)
    for phase, (left, weight) in enumerate(_phases(factor)):
        part = dy[_along(axis, slice(phase, None, factor))]
        total[_along(axis, slice(left, left + n))] += part * (1 - weight)
        if weight:
            total[_along(axis, slice(left + 1, left + 1 + n))] += part * weight
    dx = total[_along(axis, slice(1, n + 1))]
    dx[_along(axis, slice(0, 1))] += total[_along(axis, slice(0, 1))]
    dx[_along(axis, slice(n - 1, n))] += total[_along(axis, slice(n + 1, n + 2))]
    return dx
