"""Sums over the rows of a matrix on the GPU, one for each column: launches of columns.cu."""

from __future__ import annotations

from typing import Any

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import index_type, launch, multiprocessors, type_of
from gpudl.backend.cupy.parts import sum_of_parts

COLUMNS, WARPS, WARPS_THAT_JOIN = 32, 8, 32
"""What a block of columns.cu takes: 32 columns, 8 rows at a time, or 32 parts."""

BLOCKS = 8
"""Blocks that keep a multiprocessor busy."""


def _shares(rows: int, columns: int) -> tuple[int, int]:
    """Return into how many shares the rows are cut, and how many rows each has; at least 8 for each warp."""
    wide = -(-columns // COLUMNS)
    blocks = max(1, min(multiprocessors() * BLOCKS // wide, rows // (8 * WARPS)))
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
    dx = array_module(y).empty(y.shape, y.dtype)
    if y.size == 0:
        return dx, array_module(y).zeros(y.shape[1], y.dtype)
    return dx, sum_of_parts(_reduced("relu_gradients", (dy, y, dx), 1, 1))[0]


def _joined(name: str, parts: Array, kinds: int, before: tuple[Any, ...], after: tuple[Any, ...]) -> Array:
    """Run a kernel that makes (kinds, C) of parts (blocks, ..., C)."""
    blocks, columns = len(parts), parts.shape[-1]
    found = array_module(parts).empty((kinds, columns), parts.dtype)
    macros: dict[str, Any] = {"T": type_of(parts), "INDEX": index_type(parts)}
    threads = COLUMNS * WARPS_THAT_JOIN
    arguments = (parts, *before, found, blocks, *after)
    launch("columns", name, macros, (-(-columns // COLUMNS),), threads, arguments, threads * parts.dtype.itemsize)
    return found


def moments(x: Array, gamma: Array | None, moving: tuple[Any, ...], momentum: float, epsilon: float) -> Array:
    """x (M, C), gamma (C,) or None -> mean, 1 / sqrt(variance + epsilon), gamma times that: (3, C).

    The moving mean and variance, (C,), follow in place.
    """
    kind = x.dtype.type
    parts = _reduced("moments_of_columns", (x,), 3, 3)
    numbers = (kind(momentum), kind(1 - momentum), kind(epsilon))
    return _joined("join_moments", parts, 3, (gamma, *moving), (*x.shape, *numbers))


def gradients(dy: Array, x: Array, mean: Array, scale: Array, gamma: Array | None, training: bool) -> Array:
    """dy and x (M, C), the others (C,) -> dgamma, dbeta, drift, pull, factor of columns.cu: (5, C)."""
    parts = _reduced("sum_gradients", (dy, x), 2, 1, (mean,))
    return _joined("join_gradients", parts, 5, (scale, gamma), (*x.shape, int(training)))
