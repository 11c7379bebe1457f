"""Convolution on NumPy by strips: Winograd's products down the columns, and as it is defined along the rows.

Of few channels the products that winograd.py makes are soon made, and the time goes into copies of short runs.
Here nothing is copied. A strip, 4 rows of outputs of, say, 6 rows of inputs, is transformed where it lies, a whole row
for a number: B^T d, whose 6 rows are each convolved with the 3 taps of a row of the transformed kernel, G g, and A^T m
are the outputs. That is half of the products of the definition, where tiles of both axes take a quarter. Windows of two
rows and such with strides go as well: the rows that a stride tells apart are transformed by themselves (toom_cook.py).
Where x or the kernel are not finite, NaN spreads over a strip's rows and to neighbours in its steps.

With channels last some pixels of a row, a step, are one run of numbers. A step of outputs depends on the step of inputs
at the same place and one or two after it. So a row of steps times a matrix for each of these shifts, which holds the
taps where they belong, gives products (steps, step * K); A^T, once for each shift, joins them where they lie, since
those of a shift are written so many steps before their place.

Memory plan. A block of strips is transformed, multiplied and joined while it lies in the cache: read once, written
once, in a handful of calls. Room and views of it are kept for the next block and step (kept.py).

The gradient for the input is such a convolution, by turned.py. The gradient for the kernel is the adjoint: of each
shift (inputs)^T (A dy), added up over several blocks, and G^T w of the taps in the sum.
Source: Lavin and Gray 2015, arXiv 1509.09308, for one axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gpudl import config
from gpudl.backend.later import Later
from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.products import SMALL_PRODUCT, product
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.strip_blocks import Padded, StripBlock, StripPlan
from gpudl.backend.numpy.toom_cook import OUT, is_possible, strip_form
from gpudl.backend.numpy.workers import Piece, begin, blocks, run
from gpudl.shapes import ConvGeometry

BLOCK = 1 << 19
"""Transformed numbers of a block, inputs and products."""

MOST_SHARES = 8
"""Sums that the kernel gradient is made of."""

FEW = 18
"""Channels C and filters K with which it is quicker than tiles of both axes, C K <= 18 (C + K): some 36 of both, or 18
of the one; fewer where more outputs are made than are kept (measured)."""

MANY, FEWER = 54, 0.7
"""As many where tiles are not to be had, if at most 0.7 of the products of the definition are made (measured)."""

MOST_FILTERS, FEWEST_PIXELS, MOST_WASTE = 6, 256, 1.35
"""Where patches and one product, or tiles of 5x5, are quicker (measured): more filters for each channel; fewer outputs
of a batch, over which the transformed kernel has to pay; and so many made for each that is kept."""

LARGEST_PAIR = 800
"""Channels times filters up to which two pixels make a step. With more, the matrices of one pixel are wide enough for
BLAS, and have no zeros (measured)."""


def step_of(conv: ConvGeometry) -> int:
    """Return how many pixels of outputs make a step."""
    has_three_shifts = conv.columns.window == 3 and conv.columns.stride == 1
    return 2 if has_three_shifts and conv.channels * conv.filters <= LARGEST_PAIR else 1


@lru_cache(maxsize=256)
def _pays(conv: ConvGeometry) -> bool:
    rows, columns, channels, filters = conv.rows, conv.columns, conv.channels, conv.filters
    if (
        conv.groups > 1
        or rows.dilation > 1
        or columns.dilation > 1
        or rows.window == 1
        or strip_form(rows.window, rows.stride) is None
    ):
        return False
    if channels == 1 or filters > MOST_FILTERS * channels or conv.batch * rows.out * columns.out < FEWEST_PIXELS:
        return False
    plan = _plan(conv, BLOCK)
    products = plan.form.read * plan.shifts * plan.pixels / (OUT * rows.window * columns.window)
    has_fewer = products <= FEWER and not is_possible(conv)
    waste = OUT * plan.strips * plan.step * plan.across / (rows.out * columns.out)
    most = MANY if has_fewer else FEW
    return products <= 1 and waste <= MOST_WASTE and waste * channels * filters <= most * (channels + filters)


def suits(conv: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether a convolution is to be made this way. Never in "highest" precision: transforms round."""
    return dtype == np.float32 and _pays(conv) and config.float32_precision() != "highest"


class _Plan(StripPlan):
    """How a convolution is made: the length of a step, and how the batch is cut into blocks of strips."""

    def __init__(self, conv: ConvGeometry, block: int) -> None:
        form = strip_form(conv.rows.window, conv.rows.stride)
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
        self.left = columns.before * conv.channels
        """Where images begin in rows of `across` steps; what lies in these is used."""
        used = max(0, min(columns.size * conv.channels, self.across * self.deep - self.left))
        super().__init__(conv, form, min(block // one, most), used)
        rows = self.images * self.rows * self.across
        self.first = (form.read * rows + self.shifts) * self.deep
        """Numbers for the inputs of a block, and for what shifts read behind them."""
        self.room = self.first + self.shifts * form.read * (rows + 1) * self.wide
        self.taps = _placed(self)


_plan = lru_cache(maxsize=256)(_Plan)


class _Workspace(Padded["_Plan", "_Block"]):
    def made(self, count: int, band: int) -> _Block:
        return _Block(self, count, band)


class _Block(StripBlock):
    """Views of a workspace for blocks of so many images, or for one band of an image."""

    def __init__(self, room: _Workspace, count: int, band: int) -> None:
        plan, form, self.band = room.plan, room.plan.form, band
        strips, across, deep, wide = len(plan.of_band(band)), plan.across, plan.deep, plan.wide
        rows = count * strips * across
        inputs = room.first[: form.read * rows * deep]
        self.inputs = inputs.reshape(form.read, rows, deep)
        """Transformed inputs, (6, steps, C of a step)."""
        whole = inputs.reshape(form.read, count, strips, across * deep)
        right = plan.left + plan.used
        behind = room.first[inputs.size : inputs.size + plan.shifts * deep]
        outside = whole[..., : plan.left], whole[..., right:], behind
        by_strips = whole[..., plan.left : right].transpose(1, 2, 0, 3)
        self.reads = [(group.matrix, by_strips[:, group.places]) for group in plan.reads[band]]

        number = inputs.itemsize
        shifted = plan.shifts, form.read, deep, rows
        steps = deep * number, rows * deep * number, number, deep * number
        self.shifted = as_strided(room.first, shifted, steps, writeable=False)
        """The same, turned, as each shift reads them: (shifts, 6, C of a step, steps)."""

        size = (rows + 1) * wide  # with a step more, those of one shift are not written over those of another
        stretch = room.second[: plan.shifts * form.read * size]
        steps = (form.read * size - wide) * number, size * number, wide * number, number
        self.products = as_strided(stretch, (plan.shifts, form.read, rows, wide), steps)
        """Room for the products, each shift so many steps before where its outputs are, which are sums over shifts."""
        joined = count, strips, plan.shifts * form.read, plan.made
        steps = strips * across * wide * number, across * wide * number, size * number, number
        source = as_strided(stretch, joined, steps, writeable=False)
        writes = plan.writes[band]
        self.writes = [(np.tile(group.matrix.T, plan.shifts), source[:, group.places]) for group in writes]

        gradients = room.second[: form.read * rows * wide]
        self.gradients = gradients.reshape(form.read, rows, wide)
        """Room for transformed gradients, (6, steps, K of a step); the products' on their way."""
        whole = gradients.reshape(form.read, count, strips, across * wide)
        self.outside = *outside, whole[..., plan.made :]
        by_strips = whole[..., : plan.made].transpose(1, 2, 0, 3)
        self.spreads = [(group.matrix, by_strips[:, group.places]) for group in writes]


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


def _join(total: np.ndarray, plan: _Plan, out: np.ndarray) -> None:
    """out (R * S, C * K) = G^T w of the taps in total (shifts, 6, C of a step, K of a step)."""
    channels, filters = plan.conv.channels, plan.conv.filters
    parts = total.reshape(plan.shifts, plan.form.read, plan.pixels, channels, plan.step, filters)
    np.matmul(plan.taps.T, parts.swapaxes(3, 4).reshape(-1, channels * filters), out=out)


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: ConvGeometry, relu: bool = False
) -> np.ndarray:
    """x (N, H, W, C), kernel (R, S, C, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    y = aligned.empty(conv.y_shape, x.dtype)
    plan = _plan(conv, BLOCK)
    weights, source, target = _transformed_kernel(kernel, plan), plan.read(x), plan.written(y)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace.of(plan)
        for number, _ in pieces:
            block, images = room.block(number)
            block.transform_inputs(source, images)
            np.matmul(block.inputs, weights, out=block.products)
            block.write(target, images)
            if bias is not None or relu:
                strips = plan.of_band(block.band)
                made = y[images, OUT * strips.start : OUT * strips.stop]
                finish_rows(made.reshape(-1, conv.filters), bias, relu)

    run(work, blocks(plan.count, 1), plan.work)
    return y


def begin_kernel_gradient(
    x: np.ndarray, dy: np.ndarray, conv: ConvGeometry, out: np.ndarray | None = None
) -> np.ndarray | Later:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (R, S, C, K), maybe later, written to `out` where that is given.

    Blocks are summed in a fixed order.
    """
    dkernel = aligned.empty(conv.kernel_shape, np.float32) if out is None else out
    made = dkernel.reshape(-1, conv.channels * conv.filters)
    plan = _plan(conv, BLOCK)
    inputs, gradients = plan.read(x), plan.written(np.ascontiguousarray(dy))
    spans = blocks(plan.count, -(-plan.count // MOST_SHARES))
    sums = made[None] if len(spans) == 1 else aligned.empty((len(spans), *made.shape), np.float32)

    def work(pieces: Iterator[Piece]) -> None:
        room, shape = _Workspace.of(plan), (plan.shifts, plan.form.read, plan.deep, plan.wide)
        total, part = (aligned.empty(shape, np.float32) for _ in range(2))
        for start, stop in pieces:
            for number in range(start, stop):
                block, images = room.block(number)
                block.transform_inputs(inputs, images)
                block.transform_gradients(gradients, images)
                np.matmul(block.shifted, block.gradients, out=total if number == start else part)
                if number > start:
                    total += part
            _join(total, plan, sums[start // (spans[0][1] - spans[0][0])])

    def added_up() -> np.ndarray:
        if len(spans) != 1:
            np.add.reduce(sums, out=made)
        return dkernel

    return begin(work, spans, plan.work, added_up)
