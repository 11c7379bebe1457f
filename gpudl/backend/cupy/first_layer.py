"""Convolution of images with few channels on the GPU: launches of first_layer.cu, which says how the work is done."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gpudl.backend import Array
from gpudl.backend.cupy.choosing import plain_tiles
from gpudl.backend.cupy.gather import forward_gather
from gpudl.backend.cupy.launching import launch
from gpudl.backend.cupy.tiles import Tiles, macros_for, width
from gpudl.shapes import ConvGeometry

MOST_CHANNELS = 4
LARGEST_PATCH = 32 << 10
"""Bytes of shared memory for the patch: with the tiles' some 50 KiB, two blocks fit into a multiprocessor."""

Tile = tuple[int, int]


def tile_of(tiles: Tiles) -> Tile:
    """Return the rows and columns of positions that a block makes: 8 x 16, or 8 x 8."""
    return 8, tiles.rows // 8


def patch_bytes(conv: ConvGeometry, tile: Tile, itemsize: int) -> int:
    """Return the shared memory of a block besides its tiles: the patch under the windows of so many positions."""
    rows, columns = (
        (length - 1) * axis.stride + axis.span for length, axis in zip(tile, (conv.rows, conv.columns), strict=True)
    )
    return rows * columns * conv.channels * itemsize


@lru_cache(maxsize=1024)
def suits(conv: ConvGeometry, itemsize: int) -> bool:
    """Whether a convolution is to be made by this kernel: few channels, several taps, and tiles half full at least."""
    tile = tile_of(plain_tiles(conv.filters, itemsize))
    positions = conv.batch * conv.rows.out * conv.columns.out
    return (
        conv.groups == 1
        and conv.channels <= MOST_CHANNELS
        and conv.rows.window * conv.columns.window > 1
        and 2 * positions >= forward_gather(conv, tile).positions * tile[0] * tile[1]
        and patch_bytes(conv, tile, itemsize) <= LARGEST_PATCH
    )


def shape_macros(conv: ConvGeometry, tile: Tile) -> dict[str, Any]:
    """Return what first_layer.cu has to know about the shape."""
    macros: dict[str, Any] = {"TILE_ROWS": tile[0], "TILE_COLUMNS": tile[1], "CHANNELS": conv.channels}
    for word, axis in (("DOWN", conv.rows), ("ACROSS", conv.columns)):
        macros |= {word: axis.window, f"STRIDE_{word}": axis.stride, f"DILATION_{word}": axis.dilation}
    return macros


def forward(x: Array, kernel: Array, bias: Array | None, y: Array, conv: ConvGeometry, relu: bool) -> None:
    """x (N, H, W, C), kernel (R, S, C, K), bias (K,) or None -> y (N, P, Q, K), all contiguous and of one type."""
    itemsize = x.dtype.itemsize
    tiles = plain_tiles(conv.filters, itemsize)
    tile = tile_of(tiles)
    g = forward_gather(conv, tile)
    macros: dict[str, Any] = {
        "GATHER": 1,
        "RELU": int(relu),
        "WHOLE": 0,
        **macros_for(tiles, x, y, a_is_deep=True),
        "WIDTH": width(itemsize, conv.channels),
        "KERNEL_WIDTH": width(itemsize, conv.filters),
        **shape_macros(conv, tile),
    }
    grid = (g.positions, -(-conv.filters // tiles.columns))
    shared = tiles.shared_bytes(itemsize, a_is_deep=True) + patch_bytes(conv, tile, itemsize)
    launch("first_layer", "first_layer", macros, grid, tiles.threads, (x, kernel, bias, y, g.numbers), shared)
