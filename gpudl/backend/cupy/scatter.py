"""Adding up at places that may be the same, on the GPU: launches of scatter.cu, which says how it is done."""

from __future__ import annotations

import math
from typing import Any

from gpudl.backend import Array, Shape, array_module
from gpudl.backend.cupy.launching import contiguous, launch_each


def add_rows(places: Array, rows: Array, count: int) -> Array:
    """places (M,) of integers from 0 to count - 1, rows (M, D) -> (count, D): the sum of the rows of each place."""
    xp = array_module(rows)
    total = xp.empty((count, rows.shape[1]), rows.dtype)
    order = xp.argsort(places)  # CuPy's is stable, so equal places keep the order of their rows
    starts = xp.searchsorted(places[order], xp.arange(count + 1))
    arguments = (contiguous(rows), contiguous(order), contiguous(starts), total, rows.shape[1])
    launch_each("scatter", "add_rows", total.size, arguments, rows.size)
    return total


def add_at(shape: Shape, index: Any, values: Array) -> Array:
    """Zeros of a shape with the values added at an index of it, any that arrays take."""
    count = math.prod(shape)
    places = array_module(values).arange(count).reshape(shape)[index].reshape(-1)
    return add_rows(places, values.reshape(-1, 1), count).reshape(shape)
