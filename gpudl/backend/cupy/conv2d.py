"""2-D convolution on the GPU: launches of conv2d.cu, which says how the work is done."""

from __future__ import annotations

from typing import Any

from gpudl.backend import Array, array_module
from gpudl.backend.cupy import choosing, first_layer
from gpudl.backend.cupy.gather import Gather, backward_gathers, forward_gather
from gpudl.backend.cupy.launching import contiguous, index_type, launch
from gpudl.backend.cupy.parts import add_parts, sum_of_parts
from gpudl.backend.cupy.precision import products
from gpudl.backend.cupy.tiles import macros_for, width
from gpudl.backend.cupy.transpose import transposed
from gpudl.shapes import ConvGeometry


def _run_gather(
    x: Array, kernel: Array, bias: Array | None, y: Array, g: Gather, relu: bool = False, all_of_y: bool = True
) -> None:
    each, depth, itemsize = g.filters // g.groups, g.channels // g.groups, x.dtype.itemsize
    at_once, math, index = width(itemsize, depth, g.channels), products(x), index_type(x, y)
    tiles, splits, share = choosing.for_gather(
        g.positions, each, g.groups, itemsize, math, depth, g.taps, at_once, index, all_of_y
    )
    parts = array_module(y).empty((splits, *y.shape), y.dtype) if splits > 1 else y
    macros: dict[str, Any] = {
        "GATHER": 1,
        "SPLIT": int(splits > 1),
        "POINTWISE": int(g.pointwise),
        "RELU": int(relu and splits == 1),
        "WHOLE": int(depth % tiles.depth == 0),
        **macros_for(tiles, x, parts, a_is_deep=True),
        "WIDTH": at_once,
        "KERNEL_WIDTH": width(itemsize, each, g.filters),
    }
    grid = (-(-g.positions // tiles.rows), g.groups * -(-each // tiles.columns), splits)
    arguments = (x, kernel, bias if splits == 1 else None, parts, share, g.numbers)
    launch("conv2d", "gather", macros, grid, tiles.threads, arguments, tiles.shared_bytes(itemsize, a_is_deep=True))
    if splits > 1:
        add_parts(parts, y, bias, relu)


def forward(x: Array, kernel: Array, bias: Array | None, conv: ConvGeometry, relu: bool = False) -> Array:
    """x (N, H, W, C), kernel (R, S, C / groups, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    xp = array_module(x)
    y = xp.empty(conv.y_shape, x.dtype)
    bias = None if bias is None else contiguous(bias.astype(x.dtype, copy=False))
    x, kernel = contiguous(x), contiguous(kernel)
    if first_layer.suits(conv, x.dtype.itemsize):
        first_layer.forward(x, kernel, bias, y, conv, relu)
    else:
        _run_gather(x, kernel, bias, y, forward_gather(conv), relu)
    return y


def input_gradient(dy: Array, kernel: Array, conv: ConvGeometry) -> Array:
    """dy (N, P, Q, K), kernel (R, S, C / groups, K) -> dx (N, H, W, C)."""
    xp = array_module(dy)
    groups, depth, filters = conv.groups, conv.channels // conv.groups, conv.filters // conv.groups
    # With its last axes exchanged, (R, S, K / groups, C), the kernel is that of a convolution that reads dy.
    if groups == 1:
        back = transposed(kernel.reshape(-1, depth, filters))
    else:
        back = contiguous(kernel.reshape(-1, depth, groups, filters).transpose(0, 3, 2, 1))
    back = back.reshape(*kernel.shape[:2], filters, conv.channels)
    geometries, reaches_all = backward_gathers(conv)
    dx = (xp.empty if reaches_all else xp.zeros)(conv.x_shape, dy.dtype)
    dy = contiguous(dy)
    for g in geometries:
        _run_gather(dy, back, None, dx, g, all_of_y=reaches_all and len(geometries) == 1)
    return dx


def kernel_gradient(x: Array, dy: Array, conv: ConvGeometry) -> Array:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (R, S, C / groups, K). The parts are summed in a fixed order."""
    return begin_kernel_gradient(x, dy, conv)


def begin_kernel_gradient(x: Array, dy: Array, conv: ConvGeometry, out: Array | None = None) -> Array:
    """As `kernel_gradient`: a launch is begun, and not waited for, as it is.

    It is written to `out` (R, S, C / groups, K), contiguous and of x's type, where that is given.
    """
    xp = array_module(x)
    x, dy, g = contiguous(x), contiguous(dy), forward_gather(conv)
    depth, each, itemsize = conv.channels // conv.groups, conv.filters // conv.groups, x.dtype.itemsize
    rows = conv.rows.window * conv.columns.window * depth
    tiles, splits, share = choosing.for_gradient(rows, each, conv.groups, g.positions, itemsize, products(x))
    parts = xp.empty((splits, *conv.kernel_shape), "float32" if itemsize == 2 else x.dtype)
    macros: dict[str, Any] = {
        "KERNEL_GRADIENT": 1,
        "POINTWISE": int(g.pointwise),
        **macros_for(tiles, x, dy, parts, a_is_deep=False),
        "WIDTH": width(itemsize, depth, conv.channels),
        "KERNEL_WIDTH": width(itemsize, each, conv.filters),
    }
    grid = (-(-rows // tiles.rows), conv.groups * -(-each // tiles.columns), splits)
    shared = tiles.shared_bytes(itemsize, a_is_deep=False)
    launch("conv2d", "kernel_gradient", macros, grid, tiles.threads, (x, dy, parts, share, g.numbers), shared)
    return sum_of_parts(parts, x.dtype, out)
