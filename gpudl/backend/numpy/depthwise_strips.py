"""Depthwise convolution on NumPy by strips: Winograd's products down the columns, and as it is defined along the rows.

A strip, 4 rows of outputs of 6 rows of inputs, is transformed where it lies, a whole row for a number, as in strips.py:
B^T d, whose 6 rows are multiplied by the taps of a row of the transformed kernel, G g, and A^T m are the outputs. That
is half of the multiply-adds of the definition, which have nothing but `einsum` to make them; the transforms are
products of matrices. Where x or the kernel are not finite, NaN spreads over a strip's rows.

Memory plan. A block of strips is transformed, multiplied and written in a handful of calls, and nothing is copied: the
transformed rows lie between zeros, where `einsum` is given all windows as a view that overlaps itself.

The gradient for the input is the convolution of dy with the kernel turned round. The gradient for the kernel is the
adjoint: sums over all positions of the inputs' windows times A dy, and G^T of these.
Source: Lavin and Gray 2015, arXiv 1509.09308, for one axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gpudl import config
from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.strip_blocks import Padded, StripBlock, StripPlan
from gpudl.backend.numpy.toom_cook import FOUR, OUT, TAPS
from gpudl.backend.numpy.workers import Piece, blocks, run
from gpudl.shapes import DepthwiseGeometry

BLOCK = 1 << 20
"""Transformed numbers of a block, inputs and products."""

WORTH = 8
"""Outputs that count as one where it is asked whether threads pay (measured)."""

MOST_SHARES = 8
"""Sums that the kernel gradient is made of."""

MOST_WASTE = 1.15
"""Rows made for each that is kept, up to which it pays."""


@lru_cache(maxsize=256)
def _pays(conv: DepthwiseGeometry) -> bool:
    rows, columns = conv.rows, conv.columns
    return (
        conv.multiplier == rows.stride == rows.dilation == columns.stride == 1
        and rows.window == TAPS
        and columns.before >= 0
        and OUT * -(-rows.out // OUT) <= MOST_WASTE * rows.out
    )


def suits(conv: DepthwiseGeometry, dtype: np.dtype) -> bool:
    """Whether a convolution is to be made this way. Never in "highest" precision: transforms round."""
    return dtype == np.float32 and _pays(conv) and config.float32_precision() != "highest"


class _Plan(StripPlan):
    """How a convolution is made: what rows hold, and how the batch is cut into blocks of strips."""

    def __init__(self, conv: DepthwiseGeometry, block: int) -> None:
        self.conv, columns, channels = conv, conv.columns, conv.channels
        self.left, self.wide = columns.before * channels, (columns.out + columns.span - 1) * channels
        """Zeros before a row of an image, and its numbers with the zeros on both sides."""
        at_once = block // (FOUR.read * (self.wide + columns.out * channels))
        super().__init__(conv, FOUR, at_once, columns.size * channels, WORTH)
        most = FOUR.read * self.images * self.rows
        self.first = most * self.wide
        self.room = self.first + most * self.made


_plan = lru_cache(maxsize=256)(_Plan)


class _Workspace(Padded["_Plan", "_Block"]):
    def made(self, count: int, band: int) -> _Block:
        return _Block(self, count, band)


class _Block(StripBlock):
    """Views of a workspace for blocks of so many images, or for one band of an image."""

    def __init__(self, room: _Workspace, count: int, band: int) -> None:
        plan, self.band, read, strips = room.plan, band, FOUR.read, len(room.plan.of_band(band))
        rows, right = count * strips, plan.left + plan.used
        inputs = room.first[: read * rows * plan.wide].reshape(read, count, strips, plan.wide)
        self.outside = inputs[..., : plan.left], inputs[..., right:]
        by_strips = inputs[..., plan.left : right].transpose(1, 2, 0, 3)
        self.reads = [(group.matrix, by_strips[:, group.places]) for group in plan.reads[band]]

        number, columns = inputs.itemsize, plan.conv.columns
        shape = read, columns.window, rows, plan.made
        steps = rows * plan.wide, columns.dilation * plan.conv.channels, plan.wide, 1
        self.windows = as_strided(inputs, shape, [number * step for step in steps], writeable=False)
        """What each tap of a row reads of the transformed inputs, (6, S, rows, Q * C)."""

        self.products = room.second[: read * rows * plan.made].reshape(read, rows, plan.made)
        """Room for products, or transformed gradients, (6, rows, Q * C)."""
        by_strips = self.products.reshape(read, count, strips, plan.made).transpose(1, 2, 0, 3)
        self.spreads = [(group.matrix, by_strips[:, group.places]) for group in plan.writes[band]]
        self.writes = [(matrix.T, strips) for matrix, strips in self.spreads]


def _transformed(kernel: np.ndarray, plan: _Plan) -> np.ndarray:
    """kernel (3, S, C, 1) -> G g for a whole row of outputs, (6, S, Q * C)."""
    taps = np.matmul(FOUR.kernels, kernel.reshape(TAPS, -1)).reshape(FOUR.read, kernel.shape[1], 1, -1)
    return taps.repeat(plan.conv.columns.out, axis=2).reshape(FOUR.read, kernel.shape[1], plan.made)


def forward(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: DepthwiseGeometry) -> np.ndarray:
    """x (N, H, W, C), kernel (3, S, C, 1), bias (C,) or None -> y (N, P, Q, C)."""
    y = aligned.empty(conv.y_shape, x.dtype)
    plan = _plan(conv, BLOCK)
    taps, source, target = _transformed(kernel, plan), plan.read(x), plan.written(y)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace.of(plan)
        for number, _ in pieces:
            block, images = room.block(number)
            block.transform_inputs(source, images)
            np.einsum("isrq,isq->irq", block.windows, taps, out=block.products)
            block.write(target, images)
            if bias is not None:
                strips = plan.of_band(block.band)
                made = y[images, OUT * strips.start : OUT * strips.stop]
                finish_rows(made.reshape(-1, conv.channels), bias, False)

    run(work, blocks(plan.count, 1), plan.work)
    return y


def kernel_gradient(x: np.ndarray, dy: np.ndarray, conv: DepthwiseGeometry) -> np.ndarray:
    """x (N, H, W, C), dy (N, P, Q, C) -> dkernel (3, S, C, 1). Blocks are summed in a fixed order."""
    plan = _plan(conv, BLOCK)
    inputs, gradients = plan.read(x), plan.written(np.ascontiguousarray(dy))
    spans = blocks(plan.count, -(-plan.count // MOST_SHARES))
    shape = FOUR.read, conv.columns.window, plan.made
    sums = aligned.zeros((len(spans), *conv.kernel_shape), np.float32)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace.of(plan)
        total, part = (aligned.empty(shape, np.float32) for _ in range(2))
        for start, stop in pieces:
            for number in range(start, stop):
                block, images = room.block(number)
                block.transform_inputs(inputs, images)
                block.transform_gradients(gradients, images)
                np.einsum("isrq,irq->isq", block.windows, block.products, out=total if number == start else part)
                if number > start:
                    total += part
            of_taps = np.add.reduce(total.reshape(*shape[:2], conv.columns.out, conv.channels), axis=2)
            made = sums[start // (spans[0][1] - spans[0][0])]
            np.matmul(FOUR.kernels.T, of_taps.reshape(FOUR.read, -1), out=made.reshape(TAPS, -1))

    run(work, spans, plan.work)
    return np.add.reduce(sums)
