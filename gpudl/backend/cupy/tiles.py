"""The sizes of tiles.cuh's tiles, and what is compiled for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from gpudl.backend import Array
from gpudl.backend.cupy.launching import (
    SIXTEEN_BITS,
    TYPES,
    Macros,
    index_type,
    type_of,
)
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
LARGE, MIDDLE, SMALL = Tiles(128, 128, 32, 64, 64, 2), Tiles(128, 64, 32, 64, 32, 3), Tiles(64, 64, 32, 32, 32, 3)
LONG = Tiles(128, 128, 16, 64, 64, 4)
"""Of float32 numbers, DOUBLE of float64. LARGE, MIDDLE, SMALL and LONG are for tensor cores alone."""


def of_type(tiles: Tiles, itemsize: int) -> Tiles:
    """Return tiles whose rows along the depth have as many bytes as those of float32 numbers."""
    return replace(tiles, depth=2 * tiles.depth) if itemsize == 2 else tiles


def width(itemsize: int, *lengths: int) -> int:
    """Return how many neighbours can be copied at once, if rows are of these lengths: up to 16 bytes."""
    most = 16 // itemsize
    return most if all(length % most == 0 for length in lengths) else 1


def macros_for(tiles: Tiles, x: Array, *others: Array, a_is_deep: bool) -> Macros:
    """Return all that tiles.cuh has to know but the widths of its copies, for arrays of x's type."""
    return _macros(tiles, x.dtype, index_type(x, *others), products(x), a_is_deep)


@cache
def _macros(tiles: Tiles, kind: Any, index: str, math: int, a_is_deep: bool) -> Macros:
    return {
        "T": type_of(kind, KNOWN),
        "BFLOAT16": int(kind.name == "bfloat16"),
        "INDEX": index,
        **tiles.macros(),
        "A_IS_DEEP": int(a_is_deep),
        "MATH": math,
    }
