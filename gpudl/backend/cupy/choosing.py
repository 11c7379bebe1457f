"""Which tiles a product gets: those with which the busiest multiprocessor has least to do."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from gpudl.backend.cupy.launching import multiprocessors
from gpudl.backend.cupy.precision import FMA
from gpudl.backend.cupy.tiles import DOUBLE, FLAT, LARGE, LONG, MEDIUM, MIDDLE, NARROW, SMALL, WIDE, Tiles, of_type

SLOWNESS = {4: {MIDDLE: 1.2, SMALL: 1.25}, 2: {MIDDLE: 1.4, SMALL: 1.6}}
"""How much longer than by LARGE or LONG a multiprocessor takes for the same product, for float32 and 16-bit numbers.
Fitted on an H200 to all layers of ResNet-50; python -m bench.gpu_check --only tiles shows how well they hold."""


FEWEST_STEPS, JOINING = 4, 4
"""Steps along the depth that a share of `gather` has at least, and as how many the adding up of shares counts."""


class Split(NamedTuple):
    """A product whose depth is cut: its tiles, into how many parts, and how much of the depth each has; by `gather` in
    steps."""

    tiles: Tiles
    parts: int
    share: int


def plain_tiles(columns: int, itemsize: int, rows: int | None = None) -> Tiles:
    """Choose tiles by how many columns the product has, and rows if they may be few, so that few tiles are empty."""
    if itemsize == 8:
        return DOUBLE
    chosen = WIDE if columns > 64 else MEDIUM if columns > 32 else NARROW
    return of_type(FLAT if rows is not None and rows <= FLAT.rows else chosen, itemsize)


def _of_tensor_cores(rows: int, columns: int, largest: Tiles) -> list[Tiles]:
    """Return the tiles that come into question: none that would be half empty for sure."""
    if rows <= FLAT.rows:
        return [FLAT]
    if columns <= NARROW.columns:
        return [NARROW]
    return [tiles for tiles in (largest, MIDDLE, SMALL) if columns > 64 or tiles is not largest]


def _load(tiles: Tiles, itemsize: int, blocks: int) -> float:
    """Return how long so many tiles take: as long as the multiprocessor that gets most of them."""
    return -(-blocks // multiprocessors()) * tiles.rows * tiles.columns * SLOWNESS[itemsize].get(tiles, 1)


def gather_choices(
    rows: int, columns: int, groups: int, depth: int, itemsize: int, may_split: bool
) -> list[tuple[float, Split]]:
    """Return the tiles for products of so many rows and, in each group, columns, with what each is expected to take.

    Where tiles are too few to keep the GPU busy, the steps along the depth are shared out, if that is allowed; but not
    those of the largest, whose sums leave no register for it.
    """
    found: list[tuple[float, Split]] = []
    for tiles in _of_tensor_cores(max(rows, FLAT.rows + 1), columns, LARGE):
        blocks = -(-rows // tiles.rows) * groups * -(-columns // tiles.columns)
        of_kind = of_type(tiles, itemsize)
        steps = max(1, -(-depth // of_kind.depth))
        is_few = may_split and tiles is not LARGE and blocks < multiprocessors()
        for parts in range(1, max(1, steps // FEWEST_STEPS if is_few else 1) + 1):
            share = -(-steps // parts)
            split = Split(of_kind, -(-steps // share), share)
            joining = JOINING if split.parts > 1 else 0
            found.append((_load(tiles, itemsize, blocks * split.parts) * (share + joining), split))
    return found


def _split(tiles: Tiles, blocks: int, depth: int, itemsize: int) -> Split:
    """Cut the depth into as many parts as keep the GPU busy, none of fewer than 32 steps."""
    resident = 2 if tiles in (LONG, MIDDLE) else max(1, 512 // tiles.threads)  # what registers hold, or 16 warps
    tiles = of_type(tiles, itemsize)
    parts = max(1, min(multiprocessors() * resident // blocks, depth // (32 * tiles.depth)))
    share = max(1, -(-depth // parts))
    return Split(tiles, max(1, -(-depth // share)), share)


def gradient_choices(rows: int, columns: int, groups: int, depth: int, itemsize: int) -> list[tuple[float, Split]]:
    """Return the same for products that are cut along the depth."""
    found: list[tuple[float, Split]] = []
    for tiles in _of_tensor_cores(rows, columns, LONG):
        blocks = -(-rows // tiles.rows) * groups * -(-columns // tiles.columns)
        split = _split(tiles, blocks, depth, itemsize)
        found.append((_load(tiles, itemsize, blocks * split.parts) * split.share, split))
    return found


@lru_cache(maxsize=1024)
def for_gather(
    rows: int,
    columns: int,
    groups: int,
    itemsize: int,
    math: int,
    tap: int,
    taps: int,
    width: int,
    index: str,
    may_split: bool = False,
) -> Split:
    """Choose the tiles of `gather` in conv2d.cu, whose taps are of depth `tap` and copied so many numbers at once.

    The sums of the largest leave few registers: enough where a step has one tap and places are of 32 bits.
    """
    if math == FMA or width == 1:
        return Split(plain_tiles(columns, itemsize), 1, 0)
    large = of_type(LARGE, itemsize)
    choices = gather_choices(rows, columns, groups, tap * taps, itemsize, may_split and itemsize == 4)
    if index != "int" or tap % large.depth:
        choices = [choice for choice in choices if choice[1].tiles != large]
    return min(choices, key=itemgetter(0))[1]


@lru_cache(maxsize=1024)
def for_gradient(rows: int, columns: int, groups: int, depth: int, itemsize: int, math: int) -> Split:
    """Choose the tiles of `kernel_gradient` in conv2d.cu, and how the positions are cut."""
    if math == FMA:
        tiles = plain_tiles(columns, itemsize, rows)
        return _split(tiles, -(-rows // tiles.rows) * groups * -(-columns // tiles.columns), depth, 4)
    return min(gradient_choices(rows, columns, groups, depth, itemsize), key=itemgetter(0))[1]
