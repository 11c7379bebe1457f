"""Sums over the rows of a matrix on the GPU, one for each column: launches of columns.cu."""

from __future__ import annotations

from typing import Any

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import index_type, launch, launch_each, type_of
from gpudl.backend.cupy.parts import sum_of_parts

COLUMNS, WARPS = 32, 8
"""What a block of columns.cu takes: 32 columns, 8 rows at a time."""

BLOCKS = 528
"""Blocks that keep a large GPU busy, four for each of 132 multiprocessors."""


def _shares(rows: int, columns: int) -> tuple[int, int]:
    """Return into how many shares the rows are cut, and how many rows each has; at least 8 for each warp."""
    wide = -(-columns // COLUMNS)
    blocks = max(1, min(BLOCKS // wide, rows // (8 * WARPS)))
    share = -(-rows // blocks)
    return -(-rows // share), share


def _reduced(name: str, arrays: tuple[Array, ...], kinds: int, floats: int, before: tuple[Array, ...] = ()) -> Array:
    """Run a kernel that leaves parts (blocks, kinds, C); each thread keeps as many numbers in shared memory."""
    x = arrays[0]
    rows, columns = x.shape
    blocks, share = _shares(rows, columns)
    parts = array_module(x).empty((blocks, kinds, columns), x.dtype)
    macros: dict[str, Any] = {"T": type_of(x), "INDEX": index_type(x)}
    grid = (-(-columns // COLUMNS), blocks)
    arguments = (*arrays, *before, parts, share, rows, columns)
    launch("columns", name, macros, grid, COLUMNS * WARPS, arguments, COLUMNS * WARPS * floats * x.dtype.itemsize)
    return parts


def sums(x: Array) -> Array:
    """x (M, C) -> its sums over the rows (C,)."""
    if x.size == 0:
        return array_module(x).zeros(x.shape[1], x.dtype)
    return sum_of_parts(_reduced("sum_columns", (x,), 1, 1))[0]


def relu_gradients(dy: Array, y: Array) -> tuple[Array, Array]:
    """dy and y (M, C) -> dx = dy where y > 0, else 0, and its sums over the rows (C,)."""
    dx = array_module(y).empty_like(y)
    if y.size == 0:
        return dx, array_module(y).zeros(y.shape[1], y.dtype)
    return dx, sum_of_parts(_reduced("relu_gradients", (dy, y, dx), 1, 1))[0]


def sums_of_gradients(dy: Array, x: Array, mean: Array) -> Array:
    """dy and x (M, C), mean (C,) -> the sums over the rows of dy and of dy (x - mean), (2, C)."""
    return sum_of_parts(_reduced("sum_gradients", (dy, x), 2, 1, (mean,)))


def moments(x: Array) -> tuple[Array, Array]:
    """x (M, C) -> mean (C,) and biased variance (C,), in one pass over x."""
    xp = array_module(x)
    parts = _reduced("moments_of_columns", (x,), 3, 3)
    mean, variance = (xp.empty(x.shape[1], x.dtype) for _ in range(2))
    launch_each("columns", "join_moments", x.shape[1], (parts, mean, variance, len(parts)))
    return mean, variance
