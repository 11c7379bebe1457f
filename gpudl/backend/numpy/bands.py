"""A batch of images whose rows are taken several at a time, cut into blocks: some images, or a band of one image; and
views of such rows where they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import groupby
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np

from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.workers import EVEN, SMALL
from gpudl.shapes import ConvGeometry, DepthwiseGeometry

FEWEST = 4
"""Blocks of work that is worth sharing, if there are as many rows."""

WORTH = 2
"""Outputs that count as one where it is asked whether threads pay: the steps of small blocks are short (measured)."""


class Bands:
    """Blocks for `conv` of some `at_once` out of `strips` of each image, "strips" being whatever rows go together."""

    first: int
    """Numbers in the first part of a thread's workspace: what a step reads lies in the one part, what it writes in the
    other."""
    room: int
    """Numbers in all of it."""

    def __init__(self, conv: ConvGeometry | DepthwiseGeometry, strips: int, at_once: int, worth: int = WORTH) -> None:
        self.batch, self.strips = conv.batch, strips
        self.work = conv.batch * conv.rows.out * conv.columns.out * conv.filters // worth
        """The size of the whole, by which it is shared among threads."""
        if self.work >= SMALL:
            at_once = min(at_once, max(1, conv.batch * strips // FEWEST))
        images = max(1, at_once // strips)
        groups = -(-conv.batch // images)
        if images > 1 and groups > 1:  # as many for each of two or four threads
            groups = min(conv.batch, EVEN * -(-groups // EVEN))
        self.groups = groups
        """Groups of images, of which the first may have an image more than the others."""
        self.images = -(-conv.batch // max(1, groups))
        """Images of a block, at most."""
        rows = strips if at_once >= strips else max(1, at_once)
        self.rows = -(-strips // -(-strips // rows))
        """Strips of a band, at most."""
        self.bands = -(-strips // self.rows)
        self.count = groups * self.bands

    def block(self, number: int) -> tuple[slice, int]:
        """Return which images are in a block, and which band of them it is."""
        group, band = divmod(number, self.bands)
        images, longer = divmod(self.batch, self.groups)
        first = group * images + min(group, longer)
        return slice(first, first + images + (group < longer)), band

    def of_band(self, band: int) -> range:
        """Return the strips of a band."""
        return range(band * self.rows, min((band + 1) * self.rows, self.strips))


class Alike(NamedTuple):
    """Strips next to each other that have as many rows of an image: at an edge some are padding, or beyond it.

    So are tiles of a row, each of whose pixels is a row of one.
    """

    places: slice
    """Which of the band's strips they are."""
    start: int
    """The first row of the first."""
    apart: int
    """How many rows further the next one begins."""
    rows: int
    matrix: np.ndarray
    """What their rows are multiplied by."""

    def of(self, x: np.ndarray, used: int) -> np.ndarray:
        """View x (N, H, W, C), contiguous, as strips, which may share rows: (N, strips, rows, used of the W * C)."""
        count, height, width, channels = x.shape
        shape = count, self.places.stop - self.places.start, self.rows, used
        if not self.rows:
            return np.empty(shape, x.dtype)
        row = width * channels * x.itemsize
        return np.ndarray(shape, x.dtype, x, self.start * row, (height * row, self.apart * row, row, x.itemsize))


def alike(strips: range, size: int, before: int, apart: int, matrix: np.ndarray) -> list[Alike]:
    """Take strips of an image of `size` rows together that have as many of them.

    The image's first strip begins `before` rows before it, and each next one `apart` rows further. `matrix` (..., rows)
    is for whole strips.
    """

    def inside(strip: int) -> tuple[int, int]:
        first = apart * strip - before
        start = min(matrix.shape[1], max(0, -first))
        return start, max(start, min(matrix.shape[1], size - first))

    found = []
    for (start, stop), group in groupby(strips, inside):
        members = list(group)
        places = slice(members[0] - strips.start, members[-1] + 1 - strips.start)
        part = np.ascontiguousarray(matrix[:, start:stop])
        found.append(Alike(places, apart * members[0] - before + start, apart, stop - start, part))
    return found


Plan = TypeVar("Plan", bound=Bands)
Block = TypeVar("Block")


class Workspace(ABC, Generic[Plan, Block]):
    """A thread's room for a block and what it becomes, and the blocks whose views it has made."""

    def __init__(self, plan: Plan, room: np.ndarray) -> None:
        self.plan = plan
        self.first, self.second = room[: plan.first], room[plan.first :]
        self._blocks: dict[tuple[int, int], Block] = {}

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return this thread's workspace for a plan, where others may have left anything."""
        return kept(cls, plan, plan.room)

    @abstractmethod
    def made(self, count: int, band: int) -> Block:
        """Make the views of a block of so many images, or of one band of an image."""

    def block(self, number: int) -> tuple[Block, slice]:
        """Return a block's views, and which images are in it."""
        images, band = self.plan.block(number)
        key = images.stop - images.start, band
        found = self._blocks.get(key)
        if found is None:
            found = self._blocks[key] = self.made(*key)
        return found, images
