"""Matrices turned round on the GPU: launches of transpose.cu."""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import contiguous, index_type, launch, type_of
from gpudl.backend.cupy.tiles import KNOWN

SIDE, THREADS, MOST = 32, 256, 65535
"""A block's square, its threads, and how many blocks there are along the axes of a grid but the first."""


def transposed(x: Array) -> Array:
    """x (count, rows, columns) -> (count, columns, rows), contiguous."""
    count, rows, columns = x.shape
    if count > MOST or columns > MOST * SIDE:
        return x.transpose(0, 2, 1).copy()
    x = contiguous(x)
    y = array_module(x).empty((count, columns, rows), x.dtype)
    grid = (-(-rows // SIDE), -(-columns // SIDE), count)
    macros = {"T": type_of(x, KNOWN), "INDEX": index_type(x)}
    launch("transpose", "transpose", macros, grid, THREADS, (x, y, rows, columns), SIDE * (SIDE + 1) * x.dtype.itemsize)
    return y
