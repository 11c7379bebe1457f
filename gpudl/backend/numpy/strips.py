"""Convolution on NumPy by strips: Winograd's products down the columns, and as it is defined along the rows.

Of few channels the products that winograd.py makes are soon made, and half of the time goes into copies of short runs.
Here nothing is copied. A strip, 4 rows of outputs of, say, 6 rows of inputs, is transformed where it lies, a whole row
for a number: B^T d, whose 6 rows are each convolved with the 3 taps of a row of the transformed kernel, G g, and A^T m
are the outputs. That is half of the products of the definition, where tiles of both axes take a quarter. Windows of two
rows and such with strides go as well: the rows that a stride tells apart are transformed by themselves (toom_cook.py).

With channels last some pixels of a row, a step, are one run of numbers. A step of outputs depends on the step of inputs
at the same place and one or two after it. So a row of steps times a matrix for each of these shifts, which holds the
taps where they belong, gives products (steps, step * K); A^T, once for each shift, joins them where they lie, since
those of a shift are written so many steps before their place.

Memory plan. A block of strips is transformed, multiplied and joined while it lies in the cache: read once, written
once, in a handful of calls. Room and views of it are kept for the next block and step (kept.py).

The gradient for the input is such a convolution, by turned.py. The gradient for the kernel is the adjoint: of each
shift (inputs)^T (A dy), added up over all blocks, and at the end G^T w of the taps in it.
Source: Lavin and Gray 2015, arXiv 1509.09308, for one axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gpudl import config
from gpudl.backend.later import Later
from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.bands import Bands
from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.products import SMALL_PRODUCT, product
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.toom_cook import OUT, is_possible, strip_form
from gpudl.backend.numpy.workers import Piece, begin, blocks, run
from gpudl.shapes import ConvGeometry

BLOCK = 1 << 19
"""Transformed numbers of a block, inputs and products."""

MOST_SHARES = 8
"""Sums that the kernel gradient is made of."""

FEW, MANY, FEWER = 16, 48, 0.7
"""Channels C and filters K with which it is quicker, C K <= 16 (C + K): twice as many of both, or this many of the one
and any number of the other. More is quicker where tiles of both axes are not to be had, and at most 0.7 of the products
of the definition are made (measured)."""

MOST_FILTERS, FEWEST_PIXELS, MOST_WASTE = 6, 256, 1.35
"""Where patches and one product, or tiles of 5x5, are quicker (measured): more filters for each channel; fewer outputs
of a batch, over which the transformed kernel has to pay; and so many made for each that is kept."""

LARGEST_PAIR = 800
"""Channels times filters up to which two pixels make a step, and their matrices are wide enough for BLAS (measured)."""


def step_of(conv: ConvGeometry) -> int:
    """Return how many pixels of outputs make a step."""
    has_three_shifts = conv.columns.window == 3 and conv.columns.stride == 1
    return 2 if has_three_shifts and conv.channels * conv.filters <= LARGEST_PAIR else 1


@lru_cache(maxsize=256)
def _pays(conv: ConvGeometry) -> bool:
    rows, columns, channels, filters = conv.rows, conv.columns, conv.channels, conv.filters
    if conv.groups > 1 or rows.dilation > 1 or columns.dilation > 1 or strip_form(rows) is None:
        return False
    if channels == 1 or filters > MOST_FILTERS * channels or conv.batch * rows.out * columns.out < FEWEST_PIXELS:
        return False
    plan = _plan(conv, BLOCK)
    products = plan.form.read * plan.shifts * plan.pixels / (OUT * rows.window * plan.step * columns.window)
    has_fewer = products <= FEWER and not is_possible(conv)
    if products > 1 or channels * filters > (MANY if has_fewer else FEW) * (channels + filters):
        return False
    return OUT * plan.strips * plan.step * plan.across <= MOST_WASTE * rows.out * columns.out


def suits(conv: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether a convolution is to be made this way. Never in "highest" precision."""
    return dtype == np.float32 and _pays(conv) and config.float32_precision() != "highest"


class _Strips(NamedTuple):
    """Strips next to each other that have as many rows of an image: at an edge some are padding, or beyond it."""

    places: slice
    """Which of the band's strips they are."""
    start: int
    """The first row of the first."""
    apart: int
    """How many rows further the next one begins."""
    rows: int
    matrix: np.ndarray
    """What their rows are multiplied by."""

    def of(self, x: np.ndarray, images: slice) -> np.ndarray:
        """View some images of x (N, H, W, C), contiguous, as strips, which may share rows: (n, strips, rows, W * C)."""
        _, height, width, channels = x.shape
        row = width * channels * x.itemsize
        shape = images.stop - images.start, self.places.stop - self.places.start, self.rows, width * channels
        strides = height * row, self.apart * row, row, x.itemsize
        return np.ndarray(shape, x.dtype, x, images.start * strides[0] + self.start * row, strides)


def _alike(strips: range, size: int, before: int, apart: int, matrix: np.ndarray) -> list[_Strips]:
    """Take strips of an image of `size` rows together that have as many of them.

    The first strip begins `before` rows before the image, and each next one `apart` rows further. `matrix` (..., rows)
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
        found.append(_Strips(places, apart * members[0] - before + start, apart, stop - start, part))
    return found


class _Plan(Bands):
    """How a convolution is made: the length of a step, and how the batch is cut into blocks of strips."""

    def __init__(self, conv: ConvGeometry, block: int) -> None:
        form = strip_form(conv.rows)
        assert form is not None, "not asked for before"
        self.conv, self.form, self.step = conv, form, step_of(conv)
        columns = conv.columns
        self.pixels = self.step * columns.stride
        """Pixels of a step of inputs; `step` are those of outputs."""
        self.shifts = -(-((self.step - 1) * columns.stride + columns.window) // self.pixels)
        self.across = -(-columns.out // self.step) + self.shifts - 1
        """Steps of a row, with those that only shifts reach."""
        self.deep, self.wide = self.pixels * conv.channels, self.step * conv.filters
        """Numbers of a step, of inputs and of outputs."""
        one = form.read * self.across * (self.deep + self.shifts * self.wide)
        most = SMALL_PRODUCT // (self.across * self.deep * self.wide)
        super().__init__(conv, -(-conv.rows.out // OUT), max(1, min(block // one, most)))
        rows = self.images * self.rows * self.across
        self.first = (form.read * rows + self.shifts) * self.deep
        """Numbers for the inputs of a block, and for what shifts read behind them."""
        self.taps = _placed(self)
        self.room = self.first + self.shifts * form.read * (rows + 1) * self.wide


_plan = lru_cache(maxsize=64)(_Plan)


class _Workspace:
    """A thread's room for a block of strips and what they become, and the blocks whose views it has made."""

    def __init__(self, plan: _Plan, room: np.ndarray) -> None:
        self.plan = plan
        self.first, self.second = room[: plan.first], room[plan.first :]
        self._blocks: dict[tuple[int, int], _Block] = {}

    @staticmethod
    def of(plan: _Plan) -> _Workspace:
        """Return this thread's workspace for a plan."""
        return kept(_Workspace, plan, plan.room)

    def block(self, number: int) -> tuple[_Block, slice]:
        """Return a block's views, and which images are in it."""
        images, band = self.plan.block(number)
        key = images.stop - images.start, band
        found = self._blocks.get(key)
        if found is None:
            found = self._blocks[key] = _Block(self, *key)
        return found, images


class _Block:
    """Views of a workspace for blocks of so many images, or for one band of an image."""

    def __init__(self, room: _Workspace, count: int, band: int) -> None:
        plan, conv, form = room.plan, room.plan.conv, room.plan.form
        strips, across, deep, wide = plan.of_band(band), plan.across, plan.deep, plan.wide
        self.written = slice(OUT * strips.start, min(OUT * strips.stop, conv.rows.out))
        """The rows of the output that it makes."""
        shape = count, len(strips), across
        rows = math.prod(shape)
        inputs = room.first[: form.read * rows * deep]
        self.inputs = inputs.reshape(form.read, rows, deep)
        """Transformed inputs, (6, steps, C of a step)."""
        whole = inputs.reshape(form.read, *shape[:2], across * deep)
        left = conv.columns.before * conv.channels
        right = min(left + conv.columns.size * conv.channels, across * deep)
        behind = room.first[inputs.size : inputs.size + plan.shifts * deep]
        reads = _alike(strips, conv.rows.size, conv.rows.before, OUT * conv.rows.stride, form.inputs)
        by_strips = whole.transpose(1, 2, 0, 3)
        self._reads = [(alike, by_strips[:, alike.places, :, left:right]) for alike in reads if alike.rows]
        in_padding = [by_strips[:, alike.places] for alike in reads if not alike.rows]
        self._outside = [part for part in (whole[..., :left], whole[..., right:], behind, *in_padding) if part.size]

        number = inputs.itemsize
        shifted = plan.shifts, form.read, deep, rows
        steps = deep * number, rows * deep * number, number, deep * number
        self.shifted = as_strided(room.first, shifted, steps, writeable=False)
        """The same, turned, as each shift reads them: (shifts, 6, C of a step, steps)."""

        size = (rows + 1) * wide  # with a step more, those of one shift are not written over those of another
        stretch = room.second[: plan.shifts * form.read * size]
        steps = (form.read * size - wide) * number, size * number, wide * number, number
        self.products = as_strided(stretch, (plan.shifts, form.read, rows, wide), steps)
        """Room for the products, each shift so many steps before where its outputs are."""
        used = conv.columns.out * conv.filters
        joined = *shape[:2], plan.shifts * form.read, used
        steps = len(strips) * across * wide * number, across * wide * number, size * number, number
        source = as_strided(stretch, joined, steps, writeable=False)
        ways = _alike(strips, conv.rows.out, 0, OUT, form.outputs.T)
        self._writes = [
            (alike._replace(matrix=np.tile(alike.matrix.T, plan.shifts)), source[:, alike.places]) for alike in ways
        ]

        gradients = room.second[: form.read * rows * wide]
        self.gradients = gradients.reshape(form.read, rows, wide)
        """Room for transformed gradients, (6, rows of steps, step * K); the products' on their way."""
        whole = gradients.reshape(form.read, *shape[:2], across * wide)
        self._beyond = whole[..., used:]
        by_strips = whole.transpose(1, 2, 0, 3)
        self._spreads = [(alike, by_strips[:, alike.places, :, :used]) for alike in ways]

    def transform_inputs(self, x: np.ndarray, images: slice) -> None:
        """inputs (6, rows, step * C) = B^T d of the block's strips of x (N, H, W, C)."""
        for part in self._outside:
            part.fill(0)
        for alike, target in self._reads:
            np.matmul(alike.matrix, alike.of(x, images)[..., : target.shape[3]], out=target)

    def transform_gradients(self, dy: np.ndarray, images: slice) -> None:
        """gradients (6, rows, step * K) = A dy of the block's strips of dy (N, P, Q, K)."""
        self._beyond.fill(0)
        for alike, target in self._spreads:
            np.matmul(alike.matrix, alike.of(dy, images), out=target)

    def write(self, y: np.ndarray, images: slice) -> None:
        """Write A^T m, m being the sums of `products` over the shifts, to their rows of y (N, P, Q, K)."""
        for alike, source in self._writes:
            np.matmul(alike.matrix, source, out=alike.of(y, images))


def _placed(plan: _Plan) -> np.ndarray:
    """Return G for each pair of pixels, (shifts * 6 * pixels of inputs * of outputs, R * S), where a tap joins them:
    input i of the step that is `shift` further, and output o, by tap shift * pixels + i - stride * o.
    """
    columns = plan.conv.columns
    shift, i, o, tap = np.ogrid[: plan.shifts, : plan.pixels, : plan.step, : columns.window]
    joins = shift * plan.pixels + i == columns.stride * o + tap
    return np.einsum("dr,uios->udiors", plan.form.kernels, joins).reshape(-1, plan.conv.rows.window * columns.window)


def _transformed_kernel(kernel: np.ndarray, plan: _Plan) -> np.ndarray:
    """kernel (R, S, C, K) -> the matrix of each shift and row, (shifts, 6, C of a step, K of a step)."""
    spread = product(plan.taps, kernel.reshape(plan.taps.shape[1], -1))
    parts = spread.reshape(plan.shifts, plan.form.read, plan.pixels, plan.step, *kernel.shape[2:])
    return np.ascontiguousarray(parts.swapaxes(3, 4)).reshape(plan.shifts, plan.form.read, plan.deep, plan.wide)


def _joined_gradient(sums: np.ndarray, plan: _Plan) -> np.ndarray:
    """sums (parts, shifts, 6, C of a step, K of a step) -> the kernel's gradient, (R, S, C, K)."""
    channels, filters = plan.conv.channels, plan.conv.filters
    parts = sums.sum(axis=0).reshape(plan.shifts, plan.form.read, plan.pixels, channels, plan.step, filters)
    spread = parts.swapaxes(3, 4).reshape(-1, channels * filters)
    return product(plan.taps.T, spread).reshape(plan.conv.kernel_shape)


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: ConvGeometry, relu: bool = False
) -> np.ndarray:
    """x (N, H, W, C), kernel (R, S, C, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    x, y = np.ascontiguousarray(x), aligned.empty(conv.y_shape, x.dtype)
    plan = _plan(conv, BLOCK)
    weights = _transformed_kernel(kernel, plan)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace.of(plan)
        for number, _ in pieces:
            block, images = room.block(number)
            block.transform_inputs(x, images)
            np.matmul(block.inputs, weights, out=block.products)
            block.write(y, images)
            if bias is not None or relu:
                finish_rows(y[images, block.written].reshape(-1, conv.filters), bias, relu)

    run(work, blocks(plan.count, 1), plan.work)
    return y


def begin_kernel_gradient(x: np.ndarray, dy: np.ndarray, conv: ConvGeometry) -> np.ndarray | Later:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (R, S, C, K), maybe later. Blocks are summed in a fixed order."""
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    plan = _plan(conv, BLOCK)
    spans = blocks(plan.count, -(-plan.count // MOST_SHARES))
    sums = aligned.empty((len(spans), plan.shifts, plan.form.read, plan.deep, plan.wide), np.float32)

    def work(pieces: Iterator[Piece]) -> None:
        room, part = _Workspace.of(plan), aligned.empty(sums.shape[1:], np.float32)
        for start, stop in pieces:
            total = sums[start // (spans[0][1] - spans[0][0])]
            for number in range(start, stop):
                block, images = room.block(number)
                block.transform_inputs(x, images)
                block.transform_gradients(dy, images)
                np.matmul(block.shifted, block.gradients, out=total if number == start else part)
                if number > start:
                    total += part

    return begin(work, spans, plan.work, lambda: _joined_gradient(sums, plan))
