"""Strips of images, some rows of outputs and those of inputs under them, that are transformed where they lie, a whole
row for a number: what strips.py and depthwise_strips.py share."""

from __future__ import annotations

from typing import Self, TypeAlias, TypeVar

import numpy as np

from gpudl.backend.numpy.bands import WORTH, Bands, Workspace, alike
from gpudl.backend.numpy.toom_cook import Form
from gpudl.shapes import ConvGeometry, DepthwiseGeometry

Strips: TypeAlias = list[list[np.ndarray]]
"""A batch of images as the strips of each band, by `Alike.of`."""

Transforms: TypeAlias = list[tuple[np.ndarray, np.ndarray]]
"""Of strips that are alike, a matrix, and where in the workspace the other side of them lies."""


class StripPlan(Bands):
    """How a batch is cut into blocks of strips, and which of these are alike."""

    def __init__(
        self, conv: ConvGeometry | DepthwiseGeometry, form: Form, at_once: int, used: int, worth: int = WORTH
    ) -> None:
        rows, columns = conv.rows, conv.columns
        super().__init__(conv, -(-rows.out // form.out), max(1, at_once), worth)
        self.used, self.made = used, columns.out * conv.filters
        """Numbers of a row of an image that are read, and of one that is written."""
        bands = [self.of_band(band) for band in range(self.bands)]
        apart = form.out * rows.stride
        self.reads = [alike(band, rows.size, rows.before, apart, form.inputs) for band in bands]
        self.writes = [alike(band, rows.out, 0, form.out, form.outputs.T) for band in bands]

    def read(self, x: np.ndarray) -> Strips:
        """View x (N, H, W, C) as the strips of each band that are read."""
        x = np.ascontiguousarray(x)
        return [[strips.of(x, self.used) for strips in band] for band in self.reads]

    def written(self, y: np.ndarray) -> Strips:
        """View y (N, P, Q, K), contiguous, as the strips of each band that are written."""
        return [[strips.of(y, self.made) for strips in band] for band in self.writes]


class StripBlock:
    """A block of strips that are transformed where they lie, a whole row for a number, to a workspace and back."""

    band: int
    reads: Transforms
    """From strips of inputs; `spreads` are from those of gradients, `writes` back to those of outputs."""
    spreads: Transforms
    writes: Transforms
    outside: tuple[np.ndarray, ...]
    """What of the workspace is not of the images, and is to be zeros."""

    def clear(self) -> None:
        for part in self.outside:
            part.fill(0)

    def transform_inputs(self, x: Strips, images: slice) -> None:
        """B^T d of the block's strips of x, as they are read."""
        for (matrix, target), strips in zip(self.reads, x[self.band], strict=True):
            np.matmul(matrix, strips[images], out=target)

    def transform_gradients(self, dy: Strips, images: slice) -> None:
        """A dy of the block's strips of dy, as they are written."""
        for (matrix, target), strips in zip(self.spreads, dy[self.band], strict=True):
            np.matmul(matrix, strips[images], out=target)

    def write(self, y: Strips, images: slice) -> None:
        """Write A^T m, m being the products, to the block's strips of y."""
        for (matrix, source), strips in zip(self.writes, y[self.band], strict=True):
            np.matmul(matrix, source, out=strips[images])


Plan = TypeVar("Plan", bound=StripPlan)
Block = TypeVar("Block", bound=StripBlock)


class Padded(Workspace[Plan, Block]):
    """A workspace whose blocks have zeros outside of the images."""

    _clean: Block | None = None

    @classmethod
    def of(cls, plan: Plan) -> Self:
        room = super().of(plan)
        room._clean = None
        return room

    def block(self, number: int) -> tuple[Block, slice]:
        found, images = super().block(number)
        if found is not self._clean:
            found.clear()
            self._clean = found
        return found, images
