"""The struct `Gather` of gather.cuh: how one image's numbers are made from another's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gpudl.backend.cupy.launching import DIVISOR, divisor, struct
from gpudl.errors import ShapeError
from gpudl.shapes import ConvGeometry, WindowAxis

AXIS = np.dtype(
    [
        (name, "i4")
        for name in (
            *("size", "out", "taps", "stride", "step", "base"),
            *("tap_stride", "tap_base", "to_size", "to_stride", "to_base"),
        )
    ]
)
GATHER = np.dtype(
    [
        *(("rows", AXIS), ("columns", AXIS)),
        *((name, "i4") for name in ("batch", "channels", "filters", "groups", "kernel_columns")),
        *((name, DIVISOR) for name in ("by_columns", "by_rows", "by_depth", "by_taps")),
    ]
)


def _forward_axis(axis: WindowAxis) -> tuple[int, ...]:
    return (axis.size, axis.out, axis.window, axis.stride, axis.dilation, -axis.before, 1, 0, axis.out, 1, 0)


def _phases(axis: WindowAxis) -> list[tuple[int, ...] | None]:
    """For each phase of the input's positions, h = i * stride + phase, how its gradient reads dy; None for nowhere.

    Tap r of position p reads h = p * stride + r * dilation - before. So the taps that lead to a phase are those with
    r * dilation = phase + before (mod stride): every `apart`-th, from `first` on.
    """
    found: list[tuple[int, ...] | None] = []
    apart = axis.stride // math.gcd(axis.stride, axis.dilation)
    for phase in range(min(axis.stride, axis.size)):
        reached = (r for r in range(axis.window) if (phase + axis.before - r * axis.dilation) % axis.stride == 0)
        first = next(reached, None)
        if first is None:
            found.append(None)
            continue
        count = -(-(axis.size - phase) // axis.stride)
        taps = -(-(axis.window - first) // apart)
        base = (phase + axis.before - first * axis.dilation) // axis.stride
        step = -(apart * axis.dilation // axis.stride)
        found.append((axis.out, count, taps, 1, step, base, apart, first, axis.size, axis.stride, phase))
    return found


@dataclass(frozen=True)
class Gather:
    """What a launch needs to know: `numbers` is the struct `Gather` of gather.cuh, the others are for the host."""

    numbers: np.ndarray
    positions: int
    channels: int
    filters: int
    groups: int
    taps: int
    pointwise: bool


def _gather(
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    conv: ConvGeometry,
    channels: int,
    filters: int,
    tile: tuple[int, int] = (1, 1),
) -> Gather:
    """Describe a gathering along two axes, each an `Axis`: what is read has `channels`, what is written `filters`.

    With a larger `tile` it is tiles that are numbered and not positions.
    """
    down, across = -(-rows[1] // tile[0]), -(-columns[1] // tile[1])
    positions = conv.batch * down * across
    if positions > 2**31 - 1 - 128:
        raise ShapeError(f"the convolution has {positions} positions, more than 2^31; use smaller batches")
    divisors = (across, down, channels // conv.groups, columns[2])
    numbers = (conv.batch, channels, filters, conv.groups, conv.columns.window, *map(divisor, divisors))
    pointwise = all(
        size == out == to_size and taps == stride == to_stride == 1 and base == to_base == 0
        for size, out, taps, stride, _, base, _, _, to_size, to_stride, to_base in (rows, columns)
    )
    taps = rows[2] * columns[2]
    return Gather(struct((rows, columns, *numbers), GATHER), positions, channels, filters, conv.groups, taps, pointwise)


@lru_cache(maxsize=1024)
def forward_gather(conv: ConvGeometry, tile: tuple[int, int] = (1, 1)) -> Gather:
    """Return how the output is gathered from the input; by tiles of so many rows and columns, if that is asked."""
    return _gather(_forward_axis(conv.rows), _forward_axis(conv.columns), conv, conv.channels, conv.filters, tile)


@lru_cache(maxsize=1024)
def backward_gathers(conv: ConvGeometry) -> tuple[list[Gather], bool]:
    """Return how the input's gradient is gathered from the output's, by phases, and whether they reach all of it."""
    phases = [(rows, columns) for rows in _phases(conv.rows) for columns in _phases(conv.columns)]
    reached = [(rows, columns) for rows, columns in phases if rows is not None and columns is not None]
    return (
        [_gather(rows, columns, conv, conv.filters, conv.channels) for rows, columns in reached],
        len(reached) == len(phases),
    )
