"""Depthwise convolution on the GPU: by tiles where they suit, else by launches of depthwise.cu."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy import depthwise_tiles
from gpudl.backend.cupy.launching import contiguous, index_type, launch, launch_each, multiprocessors, pack, type_of
from gpudl.backend.cupy.parts import sum_of_parts
from gpudl.backend.cupy.windows import windows
from gpudl.shapes import DepthwiseGeometry

WARPS = 8
BLOCKS = 4
"""Blocks that keep a multiprocessor busy."""


@lru_cache(maxsize=1024)
def _for_outputs(conv: DepthwiseGeometry) -> np.ndarray:
    return windows(conv, conv.y_shape, conv.multiplier)


@lru_cache(maxsize=1024)
def _for_inputs(conv: DepthwiseGeometry, at_once: int) -> np.ndarray:
    made = (*conv.x_shape[:3], conv.channels // at_once)
    return windows(conv, made, conv.multiplier, channels=conv.channels // at_once)


def forward(x: Array, kernel: Array, bias: Array | None, conv: DepthwiseGeometry) -> Array:
    """x (N, H, W, C), kernel (R, S, C, multiplier), bias (C * multiplier,) or None -> y (N, P, Q, C * multiplier)."""
    x, kernel = contiguous(x), contiguous(kernel)
    bias = None if bias is None else contiguous(bias.astype(x.dtype, copy=False))
    if depthwise_tiles.suits(conv, x.dtype.itemsize):
        return depthwise_tiles.slide(x, kernel, bias, conv)
    y = array_module(x).empty(conv.y_shape, x.dtype)
    arguments = (x, kernel, bias, y, _for_outputs(conv))
    launch_each("depthwise", "forward", y.size, arguments, x.size, PACK=1)
    return y


def input_gradient(dy: Array, kernel: Array, conv: DepthwiseGeometry) -> Array:
    """dy (N, P, Q, C * multiplier), kernel (R, S, C, multiplier) -> dx (N, H, W, C)."""
    dy, kernel = contiguous(dy), contiguous(kernel)
    back = conv.turned()
    if back is not None and depthwise_tiles.suits(back, dy.dtype.itemsize):
        return depthwise_tiles.slide(dy, kernel, None, back, flipped=True)
    dx = array_module(dy).empty(conv.x_shape, dy.dtype)
    at_once = pack(dy, conv.channels) if conv.multiplier == 1 else 1
    arguments = (dy, kernel, dx, _for_inputs(conv, at_once))
    launch_each("depthwise", "input_gradient", dx.size // at_once, arguments, max(dx.size, dy.size), PACK=at_once)
    return dx


def kernel_gradient(x: Array, dy: Array, conv: DepthwiseGeometry) -> Array:
    """x (N, H, W, C), dy (N, P, Q, C * multiplier) -> dkernel (R, S, C, multiplier), summed in a fixed order."""
    x, dy = contiguous(x), contiguous(dy)
    if depthwise_tiles.suits(conv, x.dtype.itemsize):
        return depthwise_tiles.kernel_gradient(x, dy, conv)
    filters, taps = conv.filters, conv.rows.window * conv.columns.window
    positions = conv.batch * conv.rows.out * conv.columns.out
    blocks = -(-filters // 32) * taps
    shares = max(1, min(multiprocessors() * BLOCKS // blocks, positions // (8 * WARPS)))
    share = max(1, -(-positions // shares))
    shares = max(1, -(-positions // share))
    parts = array_module(x).empty((shares, *conv.kernel_shape), x.dtype)
    macros: dict[str, Any] = {"T": type_of(x), "INDEX": index_type(x, dy), "PACK": 1}
    grid = (-(-filters // 32), taps, shares)
    arguments = (x, dy, parts, _for_outputs(conv), share)
    launch("depthwise", "kernel_gradient", macros, grid, 32 * WARPS, arguments, 32 * WARPS * x.dtype.itemsize)
    return sum_of_parts(parts)
