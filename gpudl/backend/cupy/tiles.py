"""The sizes of tiles.cuh's tiles, and which a product gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpudl.backend import Array
from gpudl.backend.cupy.launching import SIXTEEN_BITS, TYPES, Macros, index_type, type_of
from gpudl.backend.cupy.precision import products

KNOWN = {**TYPES, **SIXTEEN_BITS}
"""C++ types of the arrays whose products are made by tiles."""


@dataclass(frozen=True)
class Tiles:
    """The sizes that tiles.cuh is compiled for: of a block's tile, of a warp's, and of a step along the depth."""

    rows: int
    columns: int
    depth: int
    warp_rows: int
    warp_columns: int
    stages: int

    @property
    def threads(self) -> int:
        return self.rows // self.warp_rows * (self.columns // self.warp_columns) * 32

    def shared_bytes(self, itemsize: int, a_is_deep: bool) -> int:
        a = self.rows * (self.depth + (8 if itemsize == 2 else 4)) if a_is_deep else self.depth * (self.rows + 8)
        return self.stages * (a + self.depth * (self.columns + 8)) * itemsize

    def macros(self) -> Macros:
        return {
            "BM": self.rows,
            "BN": self.columns,
            "BK": self.depth,
            "WM": self.warp_rows,
            "WN": self.warp_columns,
            "STAGES": self.stages,
        }


WIDE, MEDIUM, NARROW = Tiles(128, 128, 16, 64, 32, 3), Tiles(128, 64, 16, 64, 32, 3), Tiles(128, 32, 16, 32, 32, 3)
FLAT = Tiles(32, 64, 16, 32, 32, 3)
DOUBLE = Tiles(64, 64, 16, 32, 32, 2)
OF_SIXTEEN = tuple(replace(tiles, depth=32) for tiles in (WIDE, MEDIUM, NARROW, FLAT))


def tiles_for(columns: int, itemsize: int, rows: int | None = None) -> Tiles:
    """Choose tiles by how many columns the product has, and rows if they may be few, so that few tiles are empty."""
    if itemsize == 8:
        return DOUBLE
    wide, medium, narrow, flat = OF_SIXTEEN if itemsize == 2 else (WIDE, MEDIUM, NARROW, FLAT)
    if rows is not None and rows <= flat.rows:
        return flat
    return wide if columns > 64 else medium if columns > 32 else narrow


def width(itemsize: int, *lengths: int) -> int:
    """Return how many neighbours can be copied at once, if rows are of these lengths: up to 16 bytes."""
    most = 16 // itemsize
    return most if all(length % most == 0 for length in lengths) else 1


def macros_for(tiles: Tiles, x: Array, *others: Array, a_is_deep: bool) -> dict[str, Any]:
    """Return all that tiles.cuh has to know but the widths of its copies, for arrays of x's type."""
    return {
        "T": type_of(x, KNOWN),
        "BFLOAT16": int(x.dtype.name == "bfloat16"),
        "INDEX": index_type(x, *others),
        **tiles.macros(),
        "A_IS_DEEP": int(a_is_deep),
        "MATH": products(x),
    }
