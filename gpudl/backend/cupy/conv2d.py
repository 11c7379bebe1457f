"""2-D convolution on the GPU: launches of conv2d.cu, which says how the work is done."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import (
    DIVISOR,
    SIXTEEN_BITS,
    TYPES,
    Macros,
    contiguous,
    divisor,
    index_type,
    launch,
    type_of,
)
from gpudl.backend.cupy.parts import sum_of_parts
from gpudl.backend.cupy.precision import products
from gpudl.errors import ShapeError
from gpudl.shapes import ConvGeometry, WindowAxis

BLOCKS = 264
"""Blocks that keep a large GPU busy, two for each of 132 multiprocessors: the kernel gradient is split into as many."""

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


@dataclass(frozen=True)
class Tiles:
    """The sizes that tiles.cuh is compiled for: of a block's tile, of a warp's, and of a step along the depth."""

    rows: int
    columns: int
    depth: int
    warp_rows: int
    warp_columns: int
    stages: int

    @property
    def threads(self) -> int:
        return self.rows // self.warp_rows * (self.columns // self.warp_columns) * 32

    def shared_bytes(self, itemsize: int, a_is_deep: bool) -> int:
        a = self.rows * (self.depth + (8 if itemsize == 2 else 4)) if a_is_deep else self.depth * (self.rows + 8)
        return self.stages * (a + self.depth * (self.columns + 8)) * itemsize

    def macros(self) -> Macros:
        return {
            "BM": self.rows,
            "BN": self.columns,
            "BK": self.depth,
            "WM": self.warp_rows,
            "WN": self.warp_columns,
            "STAGES": self.stages,
        }


WIDE, MEDIUM, NARROW = Tiles(128, 128, 16, 64, 32, 3), Tiles(128, 64, 16, 64, 32, 3), Tiles(128, 32, 16, 32, 32, 3)
DOUBLE = Tiles(64, 64, 16, 32, 32, 2)
OF_SIXTEEN = tuple(replace(tiles, depth=32) for tiles in (WIDE, MEDIUM, NARROW))

KNOWN = {**TYPES, **SIXTEEN_BITS}


def tiles_for(columns: int, itemsize: int) -> Tiles:
    """Choose tiles by how many columns the product has, so that few of them are empty."""
    if itemsize == 8:
        return DOUBLE
    wide, medium, narrow = OF_SIXTEEN if itemsize == 2 else (WIDE, MEDIUM, NARROW)
    return wide if columns > 64 else medium if columns > 32 else narrow


def width(itemsize: int, *lengths: int) -> int:
    """Return how many neighbours can be copied at once, if rows are of these lengths: up to 16 bytes."""
    most = 16 // itemsize
    return most if all(length % most == 0 for length in lengths) else 1


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


def _gather(
    rows: tuple[int, ...], columns: tuple[int, ...], conv: ConvGeometry, channels: int, filters: int
) -> np.ndarray:
    """Return the struct `Gather` of conv2d.cu: what is read has `channels`, what is written `filters`."""
    if conv.batch * rows[1] * columns[1] > 2**31 - 1 - 128:
        raise ShapeError(
            f"the convolution has {conv.batch * rows[1] * columns[1]} positions, more than 2^31; use smaller batches"
        )
    divisors = (columns[1], rows[1], channels // conv.groups, columns[2])
    numbers = (conv.batch, channels, filters, conv.groups, conv.columns.window, *map(divisor, divisors))
    return np.array([(rows, columns, *numbers)], GATHER)


@lru_cache(maxsize=1024)
def _forward_geometry(conv: ConvGeometry) -> np.ndarray:
    return _gather(_forward_axis(conv.rows), _forward_axis(conv.columns), conv, conv.channels, conv.filters)


@lru_cache(maxsize=1024)
def _backward_geometries(conv: ConvGeometry) -> tuple[list[np.ndarray], bool]:
    """Return a struct for each phase of the input, and whether they reach all of it."""
    phases = [(rows, columns) for rows in _phases(conv.rows) for columns in _phases(conv.columns)]
    reached = [(rows, columns) for rows, columns in phases if rows is not None and columns is not None]
    return (
        [_gather(rows, columns, conv, conv.filters, conv.channels) for rows, columns in reached],
        len(reached) == len(phases),
    )


def _run_gather(x: Array, kernel: Array, bias: Array | None, y: Array, g: np.ndarray, relu: bool = False) -> None:
    numbers = g[0]
    groups, filters, channels = (int(numbers[name]) for name in ("groups", "filters", "channels"))
    each, itemsize = filters // groups, x.dtype.itemsize
    tiles = tiles_for(each, itemsize)
    macros: dict[str, Any] = {
        "GATHER": 1,
        "RELU": int(relu),
        "T": type_of(x, KNOWN),
        "BFLOAT16": int(x.dtype.name == "bfloat16"),
        "INDEX": index_type(x, y),
        **tiles.macros(),
        "A_IS_DEEP": 1,
        "MATH": products(x),
        "WIDTH": width(itemsize, channels // groups, channels),
        "KERNEL_WIDTH": width(itemsize, each, filters),
    }
    positions = int(numbers["batch"]) * int(numbers["rows"]["out"]) * int(numbers["columns"]["out"])
    grid = (-(-positions // tiles.rows), groups * -(-each // tiles.columns))
    shared = tiles.shared_bytes(itemsize, a_is_deep=True)
    launch("conv2d", "gather", macros, grid, tiles.threads, (x, kernel, bias, y, g), shared)


def forward(x: Array, kernel: Array, bias: Array | None, conv: ConvGeometry, relu: bool = False) -> Array:
    """x (N, H, W, C), kernel (R, S, C / groups, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    xp = array_module(x)
    y = xp.empty(conv.y_shape, x.dtype)
    bias = None if bias is None else contiguous(bias.astype(x.dtype, copy=False))
    _run_gather(contiguous(x), contiguous(kernel), bias, y, _forward_geometry(conv), relu)
    return y


def input_gradient(dy: Array, kernel: Array, conv: ConvGeometry) -> Array:
    """dy (N, P, Q, K), kernel (R, S, C / groups, K) -> dx (N, H, W, C)."""
    xp = array_module(dy)
    groups, depth, filters = conv.groups, conv.channels // conv.groups, conv.filters // conv.groups
    # With its last axes exchanged, (R, S, K / groups, C), the kernel is that of a convolution that reads dy.
    taps = kernel.reshape(*kernel.shape[:2], depth, groups, filters).transpose(0, 1, 4, 3, 2)
    back = contiguous(taps).reshape(*kernel.shape[:2], filters, conv.channels)
    geometries, reaches_all = _backward_geometries(conv)
    dx = (xp.empty if reaches_all else xp.zeros)(conv.x_shape, dy.dtype)
    dy = contiguous(dy)
    for g in geometries:
        _run_gather(dy, back, None, dx, g)
    return dx


def kernel_gradient(x: Array, dy: Array, conv: ConvGeometry) -> Array:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (R, S, C / groups, K). The parts are summed in a fixed order."""
    xp = array_module(x)
    x, dy = contiguous(x), contiguous(dy)
    depth, each, itemsize = conv.channels // conv.groups, conv.filters // conv.groups, x.dtype.itemsize
    tiles = tiles_for(each, itemsize)
    rows = conv.rows.window * conv.columns.window * depth
    positions = conv.batch * conv.rows.out * conv.columns.out
    blocks = -(-rows // tiles.rows) * conv.groups * -(-each // tiles.columns)
    # As many parts as keep the GPU busy, none of fewer than 32 steps along the depth.
    splits = max(1, min(BLOCKS // blocks, positions // (32 * tiles.depth)))
    share = -(-positions // splits)
    splits = max(1, -(-positions // max(1, share)))
    parts = xp.empty((splits, *conv.kernel_shape), "float32" if itemsize == 2 else x.dtype)
    macros: dict[str, Any] = {
        "KERNEL_GRADIENT": 1,
        "T": type_of(x, KNOWN),
        "BFLOAT16": int(x.dtype.name == "bfloat16"),
        "INDEX": index_type(x, dy, parts),
        **tiles.macros(),
        "A_IS_DEEP": 0,
        "MATH": products(x),
        "WIDTH": width(itemsize, depth, conv.channels),
        "KERNEL_WIDTH": width(itemsize, each, conv.filters),
    }
    grid = (-(-rows // tiles.rows), conv.groups * -(-each // tiles.columns), splits)
    shared = tiles.shared_bytes(itemsize, a_is_deep=False)
    launch(
        "conv2d", "kernel_gradient", macros, grid, tiles.threads, (x, dy, parts, share, _forward_geometry(conv)), shared
    )
    return sum_of_parts(parts).astype(x.dtype, copy=False)
