"""Global pooling on the GPU: launches of global_pool.cu, which says how the work is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import NUMBERS, SIXTEEN_BITS, TYPES, contiguous, index_type, launch, type_of

WARP, THREADS = 32, 256
FLOATS, ALL = {**TYPES, **SIXTEEN_BITS}, {**NUMBERS, **SIXTEEN_BITS}


def _run(name: str, x: Array, others: tuple[Array, ...], known: Mapping[str, str]) -> None:
    """Launch a kernel that has a block for each image of x (N, L, C) and each 32 of its channels, or fewer."""
    images, places, channels = x.shape
    lanes = min(WARP, 1 << max(0, channels - 1).bit_length())
    macros: dict[str, Any] = {"T": type_of(x, known), "INDEX": index_type(x), "LANES": lanes}
    grid, arguments = (images, -(-channels // lanes)), (*others, places, channels)
    shared = THREADS // WARP * lanes * max(4, x.dtype.itemsize)
    launch("global_pool", name, macros, grid, THREADS, arguments, shared)


def average(x: Array) -> Array:
    """x (N, L, C) -> its means over the second axis (N, C)."""
    x = contiguous(x)
    y = array_module(x).empty((x.shape[0], x.shape[2]), x.dtype)
    _run("average", x, (x, y), FLOATS)
    return y


def largest(x: Array) -> Array:
    """x (N, L, C) -> its largest numbers along the second axis (N, C); NaN counts as largest."""
    x = contiguous(x)
    y = array_module(x).empty((x.shape[0], x.shape[2]), x.dtype)
    _run("largest", x, (x, y), ALL)
    return y


def largest_backward(dy: Array, x: Array, y: Array) -> Array:
    """dy and y (N, C), x (N, L, C) -> dx (N, L, C): dy shared equally among those that are y."""
    dy, x, y = contiguous(dy), contiguous(x), contiguous(y)
    dx = array_module(x).empty(x.shape, x.dtype)
    _run("share_gradient", x, (dy, x, y, dx), FLOATS)
    return dx
