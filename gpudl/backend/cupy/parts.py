"""Sums of parts that blocks of their own have added up: launches of parts.cu, which says how the work is done."""

from __future__ import annotations

from typing import Any

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import as_index, index_type, launch, type_of
from gpudl.backend.cupy.tiles import KNOWN

WARPS, MANY = 8, 1 << 18
"""Warps of a block; numbers that keep a large GPU busy with a thread each."""


def sum_of_parts(parts: Array, kind: Any = None, out: Array | None = None) -> Array:
    """parts (count, ...) -> their sum (...), of their type or of `kind`, added up in a fixed order.

    It is written to `out`, contiguous and of that type, where that is given.
    """
    kind = parts.dtype if kind is None else kind
    if len(parts) == 1 and out is None:
        return parts[0].astype(kind, copy=False)
    total = array_module(parts).empty(parts.shape[1:], kind) if out is None else out
    if len(parts) == 1:
        total[...] = parts[0]
    else:
        add_parts(parts, total)
    return total


def add_parts(parts: Array, total: Array, bias: Array | None = None, relu: bool = False) -> None:
    """total (..., C) = the sum of parts (count, ..., C) + bias (C,), unless it is None; with `relu` max(total, 0)."""
    share = WARPS if len(parts) >= WARPS and total.size < MANY else 1
    index = index_type(parts)
    macros: dict[str, Any] = {"T": type_of(total, KNOWN), "INDEX": index, "SHARE": share}
    grid = (-(-total.size // (32 * WARPS // share)),)
    columns = 1 if bias is None else len(bias)
    arguments = (parts, total, len(parts), bias, int(relu), columns, as_index(total.size, index))
    launch("parts", "add_parts", macros, grid, 32 * WARPS, arguments, 32 * WARPS * parts.itemsize if share > 1 else 0)
