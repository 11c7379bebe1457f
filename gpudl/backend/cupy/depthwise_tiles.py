"""Depthwise convolution on the GPU, tile by tile: launches of depthwise_tiles.cu, which says how the work is done."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import index_type, launch, multiprocessors, type_of
from gpudl.backend.cupy.parts import sum_of_parts
from gpudl.backend.cupy.tiles import width
from gpudl.backend.cupy.windows import windows
from gpudl.shapes import DepthwiseGeometry

TILE = 8, 8
"""Positions that a block makes, rows and columns; each of its warps makes a row, of 32 channels."""

CHANNELS, THREADS = 32, 256
MOST_TAPS = 49
"""Taps whose sums fit into a thread's registers."""

LARGEST_PATCH = 48 << 10
"""Bytes of shared memory that a block may have without asking."""

BLOCKS = 8
"""Blocks that keep a multiprocessor busy."""


def _counts(conv: DepthwiseGeometry) -> tuple[int, int]:
    """Return how many tiles cover an image, down and across."""
    return -(-conv.rows.out // TILE[0]), -(-conv.columns.out // TILE[1])


def patch_bytes(conv: DepthwiseGeometry, itemsize: int) -> int:
    """Return the shared memory of a block: the patch under its windows."""
    rows, columns = ((n - 1) * axis.stride + axis.span for n, axis in zip(TILE, (conv.rows, conv.columns), strict=True))
    return rows * columns * CHANNELS * itemsize


@lru_cache(maxsize=1024)
def suits(conv: DepthwiseGeometry, itemsize: int) -> bool:
    """Whether tiles are worth while: one kernel for each channel, not too large, and tiles at least half full."""
    down, across = _counts(conv)
    return (
        conv.multiplier == 1
        and conv.rows.window * conv.columns.window <= MOST_TAPS
        and 2 * conv.rows.out * conv.columns.out >= down * TILE[0] * across * TILE[1]
        and patch_bytes(conv, itemsize) <= LARGEST_PATCH
    )


@lru_cache(maxsize=1024)
def _tiles(conv: DepthwiseGeometry) -> np.ndarray:
    return windows(conv, (conv.batch, *_counts(conv), conv.channels), 1)


def shape_macros(conv: DepthwiseGeometry) -> dict[str, Any]:
    """Return what depthwise_tiles.cu has to know about the shape."""
    macros: dict[str, Any] = {"TILE_COLUMNS": TILE[1]}
    for word, axis in (("DOWN", conv.rows), ("ACROSS", conv.columns)):
        macros |= {word: axis.window, f"STRIDE_{word}": axis.stride, f"DILATION_{word}": axis.dilation}
    return macros


def _macros(conv: DepthwiseGeometry, flipped: bool, x: Array, *others: Array) -> dict[str, Any]:
    types = {"T": type_of(x), "INDEX": index_type(x, *others)}
    return {**types, **shape_macros(conv), "FLIPPED": int(flipped), "WIDTH": width(x.dtype.itemsize, conv.channels)}


def slide(x: Array, kernel: Array, bias: Array | None, conv: DepthwiseGeometry, flipped: bool = False) -> Array:
    """x (N, H, W, C), kernel (R, S, C, 1), bias (C,) or None, all contiguous -> y (N, P, Q, C)."""
    y = array_module(x).empty(conv.y_shape, x.dtype)
    down, across = _counts(conv)
    macros = _macros(conv, flipped, x, y)
    grid = (conv.batch * down * across, -(-conv.channels // CHANNELS))
    arguments = (x, kernel, bias, y, _tiles(conv))
    launch("depthwise_tiles", "slide_tile", macros, grid, THREADS, arguments, patch_bytes(conv, x.dtype.itemsize))
    return y


def kernel_gradient(x: Array, dy: Array, conv: DepthwiseGeometry) -> Array:
    """x (N, H, W, C), dy (N, P, Q, C), both contiguous -> dkernel (R, S, C, 1), summed in a fixed order."""
    down, across = _counts(conv)
    tiles, wide = conv.batch * down * across, -(-conv.channels // CHANNELS)
    share = max(1, -(-tiles // max(1, multiprocessors() * BLOCKS // wide)))
    shares = -(-tiles // share)
    parts = array_module(x).empty((shares, *conv.kernel_shape), x.dtype)
    macros, shared = _macros(conv, False, x, dy), patch_bytes(conv, x.dtype.itemsize)
    arguments = (x, dy, parts, _tiles(conv), share, tiles)
    launch("depthwise_tiles", "sum_tiles", macros, (shares, wide), THREADS, arguments, shared)
    return sum_of_parts(parts)
