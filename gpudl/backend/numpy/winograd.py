"""3x3 convolution with stride 1 on NumPy by Winograd's F(4x4, 3x3): 36 products where the definition has 144.

A tile of 4x4 outputs depends on 6x6 inputs. Transformed, B^T d B, and multiplied by the transformed kernel, G g G^T,
number by number, they give the outputs by a third transform, A^T m A. Over all channels and filters each of the 36
numbers is a product of matrices, (tiles, C) x (C, K). Of few channels a tile may have 5x5 outputs of 7x7 inputs
(toom_cook.py); what is said here of 4, 6 and 36 holds for 5, 7 and 49, too.

Memory plan. A block of tiles, a band of one image or several small images, is transformed, multiplied and transformed
back while it lies in the cache. Room and views of it are kept for the next block and step (kept.py): what Python does
between NumPy's calls holds the interpreter's lock, and a second thread waits for it. A transform is two products with a
6x6 matrix. Those of inputs read them where they lie: down the columns whole rows of the image at once, then along the
rows the six pixels of a tile, over all channels, whose results go straight to where the 36 products want them. Tiles at
an edge have fewer pixels, and the matrix fewer columns: no padding is written. What is transformed back is made for all
tiles at once and then copied to its places, which for few filters is quicker (measured). The first index of a tile's 36
numbers is the one along the row. BLAS copies the factors of large products (products.py), so none is large.

The gradient for the input is such a convolution, of dy with the kernel turned round. The gradient for the kernel is the
adjoint: A dy A^T, products (C, tiles) x (tiles, K) added up over several blocks, and G^T w G of the sum.
Source: Lavin and Gray 2015, arXiv 1509.09308.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from gpudl import config
from gpudl.backend.later import Later
from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.bands import Bands, Workspace, alike
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.toom_cook import TAPS, Form, form_for, is_possible
from gpudl.backend.numpy.workers import Piece, begin, blocks, run
from gpudl.shapes import ConvGeometry

BLOCK = 3 << 17
"""Transformed numbers of a block, inputs and outputs. With smaller blocks, which lie in the cache, threads spend more
time waiting for the interpreter; measured best from 32 to 128 channels."""

STRETCH = 1 << 14
"""Kernels of 3x3 transformed at once: a mebibyte."""

SPREAD = 600
"""A block has at least a tile for so many numbers of the kernel, which it reads anew."""

FEWEST_CHANNELS, FEWEST_TILES, MOST_WASTE = 16, 16, 1.6
"""Where patches and one product are quicker (measured): fewer channels or filters; fewer tiles in the batch, over which
the transformed kernel has to pay; and so many outputs made for each that is kept, as where 5x5 takes four tiles."""

MOST_SHARES, LARGEST_SUMS = 8, 1 << 23
"""Sums that the kernel gradient is made of, and the numbers of all of them before they are transformed, of which each
thread has two."""


@lru_cache(maxsize=256)
def _pays(conv: ConvGeometry) -> bool:
    form = form_for(conv)
    tiles = math.prod(form.tiles(conv))
    return (
        is_possible(conv)
        and min(conv.channels, conv.filters) >= FEWEST_CHANNELS
        and tiles * conv.batch >= FEWEST_TILES
        and tiles * form.out**2 <= MOST_WASTE * conv.rows.out * conv.columns.out
    )


def suits(conv: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether a convolution is to be made this way. Never in "highest" precision: the error is some three times that of
    the definition, and that of tiles of 5x5 some ten times."""
    return dtype == np.float32 and _pays(conv) and config.float32_precision() != "highest"


class _BothWays:
    """The transform of x (b, b, n) -> out (a, a, n) along both of its first axes, with `matrix` (a, b)."""

    def __init__(self, matrix: np.ndarray, x: np.ndarray, between: np.ndarray, out: np.ndarray) -> None:
        a, b = matrix.shape
        half = _part(between, (a, b, x.shape[2]))
        self._first = matrix, x.swapaxes(0, 1), half.swapaxes(0, 1)
        self._second = matrix, half, out

    def make(self) -> None:
        np.matmul(*self._first)
        np.matmul(*self._second)


def _transformed_kernel(kernel: np.ndarray, form: Form) -> np.ndarray:
    """kernel (3, 3, C, K) -> G g G^T (36, C, K)."""
    source = kernel.swapaxes(0, 1).reshape(TAPS, TAPS, -1)
    weights = aligned.empty((form.read, form.read, source.shape[2]), np.float32)

    def work(pieces: Iterator[Piece]) -> None:
        between = aligned.empty((form.read * TAPS * min(STRETCH, source.shape[2]),), np.float32)
        for start, stop in pieces:
            _BothWays(form.kernels, source[..., start:stop], between, weights[..., start:stop]).make()

    run(work, blocks(source.shape[2], STRETCH), weights.size)
    return weights.reshape(form.read**2, *kernel.shape[2:])


def _join(total: np.ndarray, form: Form, out: np.ndarray) -> None:
    """out (3, 3, C * K) = G^T w G of total (36, C, K), the rows of a kernel being along the second axis."""
    source = total.reshape(form.read, form.read, -1)
    between = aligned.empty((form.read * TAPS * min(STRETCH, source.shape[2]),), np.float32)
    for start, stop in blocks(source.shape[2], STRETCH):
        _BothWays(form.kernels.T, source[..., start:stop], between, out[..., start:stop]).make()


class _Plan(Bands):
    """How a convolution is made: the form of its tiles, and how the batch is cut into blocks of rows of them."""

    def __init__(self, conv: ConvGeometry, block: int, keeps_inputs: bool) -> None:
        self.conv, self.form = conv, form_for(conv)
        out, read = self.form.out, self.form.read
        down, self.across = self.form.tiles(conv)
        tiles = max(1, block // (read**2 * (conv.channels + conv.filters)), conv.channels * conv.filters // SPREAD)
        super().__init__(conv, down, tiles // self.across)
        tiles = self.images * self.rows * self.across
        self.inputs, between = read**2 * tiles * conv.channels, read * out * tiles * conv.filters
        """Transformed inputs of a block, in numbers."""
        self.between = self.inputs if keeps_inputs else 0
        """Where the room for what lies between two transforms begins: behind the inputs, or in their place."""
        self.first = max(self.inputs, self.between + between)
        half = self.images * self.rows * read * conv.columns.size * conv.channels
        self.room = self.first + max(half, read**2 * tiles * conv.filters)
        bands = [self.of_band(band) for band in range(self.bands)]
        self.down = [alike(band, conv.rows.size, conv.rows.before, out, self.form.inputs) for band in bands]
        """Of each band, its rows of tiles that have as many rows of an image."""
        self.along = alike(range(self.across), conv.columns.size, conv.columns.before, out, self.form.inputs)
        """The tiles of a row that have as many pixels of it."""

    def read(self, x: np.ndarray) -> list[list[np.ndarray]]:
        """View x (N, H, W, C) as the rows of tiles of each band."""
        x = np.ascontiguousarray(x)
        return [[rows.of(x, x.shape[2] * x.shape[3]) for rows in band] for band in self.down]


_plan = lru_cache(maxsize=256)(_Plan)


class _Workspace(Workspace["_Plan", "_Block"]):
    def made(self, count: int, band: int) -> _Block:
        return _Block(self, count, band)


class _Block:
    """Views of a workspace for blocks of so many images, or for one band of an image."""

    def __init__(self, room: _Workspace, count: int, band: int) -> None:
        plan, conv, form, self.band = room.plan, room.plan.conv, room.plan.form, band
        self._form, out, read = form, form.out, form.read
        strips = plan.of_band(band)
        rows, across = len(strips), plan.across
        self.written = slice(out * strips.start, out * strips.stop)
        """The rows of the output that it makes."""
        tiles = rows, across, count
        half = _part(room.second, (count, rows, read, conv.columns.size * conv.channels))
        self._down = [(group.matrix, half[:, group.places]) for group in plan.down[band]]
        pixels = half.reshape(-1, conv.columns.size, 1, conv.channels)
        self.inputs = _part(room.first, (read**2, math.prod(tiles), conv.channels))
        """Transformed inputs, (36, tiles, C)."""
        by_tiles = self.inputs.reshape(read, read, *tiles, conv.channels).transpose(4, 2, 1, 3, 0, 5)
        """The same as (n, rows, 6 down, tiles, 6 along, C)."""
        self._along = []
        for group in plan.along:
            seen = group.of(pixels, conv.channels)
            seen = seen.reshape(count, rows, read, *seen.shape[1:])
            self._along.append((group.matrix, seen, by_tiles[:, :, :, group.places]))
        self.outputs = _part(room.second, (read**2, math.prod(tiles), conv.filters))
        """Room for the products or for transformed gradients, (36, tiles, K); before, for inputs half transformed."""
        self._places = _part(room.second, (out, out, *tiles, conv.filters))
        between = room.first[plan.between :]
        self._whole = _part(between, (count, out * rows, out * across, conv.filters))
        outputs, places = self.outputs.reshape(read, read, -1), self._places.reshape(out, out, -1)
        self._spread_gradients = _BothWays(form.outputs.T, places, between, outputs)
        self._join_outputs = _BothWays(form.outputs, outputs, between, places)

    def transform_inputs(self, x: list[list[np.ndarray]], images: slice) -> None:
        """inputs = B^T d B of the block's tiles of x, as they are read."""
        for (matrix, target), rows in zip(self._down, x[self.band], strict=True):
            np.matmul(matrix, rows[images], out=target)
        for matrix, tiles, target in self._along:
            np.matmul(matrix, tiles, out=target)

    def transform_gradients(self, dy: np.ndarray, images: slice) -> None:
        """outputs = A dy A^T of the block's tiles of dy (N, P, Q, K)."""
        band = dy[images, self.written]
        if band.shape != self._whole.shape:  # tiles hang over the edge
            whole = self._whole
            whole[:, band.shape[1] :] = 0
            whole[:, :, band.shape[2] :] = 0
            whole[:, : band.shape[1], : band.shape[2]] = band
            band = whole
        self._places[...] = _by_places(band, self._form.out)
        self._spread_gradients.make()

    def write(self, y: np.ndarray, images: slice) -> np.ndarray:
        """Write A^T m A of the products in `outputs` to their places in y (N, P, Q, K); return what of y it is."""
        band = y[images, self.written]
        whole = band if band.shape == self._whole.shape else self._whole
        self._join_outputs.make()
        _by_places(whole, self._form.out)[...] = self._places
        if whole is not band:
            band[...] = whole[:, : band.shape[1], : band.shape[2]]
        return band


def _by_places(images: np.ndarray, out: int) -> np.ndarray:
    """View images (n, 4 rows, 4 across, K) by the places in their tiles, along and down: (4, 4, rows, across, n, K)."""
    count, height, width, filters = images.shape
    tiles = images.reshape(count, height // out, out, width // out, out, filters)
    return tiles.transpose(4, 2, 1, 3, 0, 5)


def _part(space: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return space[: math.prod(shape)].reshape(shape)


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: ConvGeometry, relu: bool = False
) -> np.ndarray:
    """x (N, H, W, C), kernel (3, 3, C, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    y = aligned.empty(conv.y_shape, x.dtype)
    plan = _plan(conv, BLOCK, keeps_inputs=False)
    weights, source = _transformed_kernel(kernel, plan.form), plan.read(x)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace.of(plan)
        for number, _ in pieces:
            block, images = room.block(number)
            block.transform_inputs(source, images)
            np.matmul(block.inputs, weights, out=block.outputs)
            band = block.write(y, images)
            if bias is not None or relu:
                finish_rows(band.reshape(-1, conv.filters), bias, relu)

    run(work, blocks(plan.count, 1), plan.work)
    return y


def begin_kernel_gradient(
    x: np.ndarray, dy: np.ndarray, conv: ConvGeometry, out: np.ndarray | None = None
) -> np.ndarray | Later:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (3, 3, C, K), maybe later, written to `out` where that is given.

    Blocks are summed in a fixed order.
    """
    dkernel = aligned.empty(conv.kernel_shape, np.float32) if out is None else out
    made = dkernel.reshape(TAPS, TAPS, -1).swapaxes(0, 1)
    plan = _plan(conv, BLOCK, keeps_inputs=True)
    source = plan.read(x)
    size = plan.form.read**2 * conv.channels * conv.filters
    shares = min(MOST_SHARES, max(2, LARGEST_SUMS // size), plan.count)
    spans = blocks(plan.count, -(-plan.count // shares))
    sums = made[None] if len(spans) == 1 else aligned.empty((len(spans), *made.shape), np.float32)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace.of(plan)
        total, part = (aligned.empty((plan.form.read**2, conv.channels, conv.filters), np.float32) for _ in range(2))
        for start, stop in pieces:
            for number in range(start, stop):
                block, images = room.block(number)
                block.transform_inputs(source, images)
                block.transform_gradients(dy, images)
                np.matmul(block.inputs.transpose(0, 2, 1), block.outputs, out=total if number == start else part)
                if number > start:
                    total += part
            _join(total, plan.form, sums[start // (spans[0][1] - spans[0][0])])

    def added_up() -> np.ndarray:
        if len(spans) != 1:
            np.add.reduce(sums, out=made)
        return dkernel

    return begin(work, spans, plan.work, added_up)
