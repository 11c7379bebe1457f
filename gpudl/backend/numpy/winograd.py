"""3x3 convolution with stride 1 on NumPy by Winograd's F(4x4, 3x3): 36 products where the definition has 144.

A tile of 4x4 outputs depends on 6x6 inputs. Transformed, B^T d B, and multiplied by the transformed kernel, G g G^T,
number by number, they give the outputs by a third transform, A^T m A. Over all channels and filters each of the 36
numbers is a product of matrices, (tiles, C) x (C, K).

Memory plan. A block of tiles, a band of one image or several small images, is transformed, multiplied and transformed
back while it lies in the second and third level cache; the workspace is reused by the next block. A transform is two
products with a 6x6 matrix, along rows and along columns.

The gradient for the kernel is the adjoint: A dy A^T, products (C, tiles) x (tiles, K) added up over all blocks, and at
the end G^T w G.
Source: Lavin and Gray 2015, arXiv 1509.09308.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gpudl import config
from gpudl.backend.numpy.dense import finish
from gpudl.backend.numpy.workers import SMALL, Piece, blocks, run
from gpudl.shapes import ConvGeometry

POINTS = 0, 2 / 3, -2 / 3, 3 / 2, -3 / 2
"""Where the polynomials are evaluated, besides infinity; 0, 1, -1, 2, -2 give four times the error (measured)."""

TAPS, TILE, READ = 3, 4, 6

BLOCK = 1 << 19
"""Transformed numbers of a block, inputs and outputs. With smaller blocks, which lie in the cache, threads spend more
time waiting for the interpreter; measured best from 32 to 128 channels."""

SPREAD, FEWEST_BLOCKS = 600, 4
"""A block has at least a tile for so many numbers of the kernel, which it reads anew; but there are blocks for several
threads."""

WORTH = 4
"""Outputs that count as one where it is asked whether threads pay: the steps of small blocks are short (measured)."""

FEWEST_CHANNELS, FEWEST_TILES, MOST_WASTE = 16, 16, 1.6
"""Where patches and one product are quicker (measured): fewer channels or filters; fewer tiles in the batch, over which
the transformed kernel has to pay; and so many outputs made for each that is kept, as where 5x5 takes four tiles."""

MOST_SHARES, LARGEST_SUMS = 8, 1 << 23
"""Sums that the kernel gradient is made of, and the numbers in all of them."""


def _transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return B^T (6, 6), G (6, 3) and A^T (4, 6) by the construction of Toom and Cook."""
    points = np.array(POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    inputs = np.zeros((READ, READ))
    for row, roots in zip(inputs, [*others, points], strict=True):
        row[: len(roots) + 1] = np.poly(roots)[::-1]
    scale = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    kernels = np.vstack([np.vander(points, TAPS, increasing=True) / scale[:, None], np.eye(TAPS)[-1:]])
    outputs = np.vstack([np.vander(points, TILE, increasing=True), np.eye(TILE)[-1:]]).T
    return inputs.astype(np.float32), kernels.astype(np.float32), np.ascontiguousarray(outputs, np.float32)


INPUTS, KERNELS, OUTPUTS = _transforms()


def suits(conv: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether a convolution is to be made this way. Never in "highest" precision: the error is some three times that of
    the definition."""
    axes = conv.rows, conv.columns
    if dtype != np.float32 or conv.groups > 1 or config.float32_precision() == "highest":
        return False
    if not all(axis.window == TAPS and axis.stride == axis.dilation == 1 for axis in axes):
        return False
    tiles = -(-conv.rows.out // TILE) * -(-conv.columns.out // TILE)
    return (
        min(conv.channels, conv.filters) >= FEWEST_CHANNELS
        and tiles * conv.batch >= FEWEST_TILES
        and tiles * TILE * TILE <= MOST_WASTE * conv.rows.out * conv.columns.out
    )


def _both_ways(matrix: np.ndarray, x: np.ndarray, between: np.ndarray, out: np.ndarray) -> None:
    """out (a, a, ...) = the transform of x (b, b, ...) along both of its first axes, with `matrix` (a, b)."""
    a, b = matrix.shape
    half = _part(between, (a, b, x.size // (b * b)))
    np.matmul(matrix, x.reshape(b, -1), out=half.reshape(a, -1))
    np.matmul(matrix, half, out=out.reshape(a, a, -1))


class _Plan:
    """How the tiles of a batch are cut into blocks: so many images, or bands of so many rows of one image's tiles."""

    def __init__(self, conv: ConvGeometry) -> None:
        self.conv = conv
        self.down, self.across = -(-conv.rows.out // TILE), -(-conv.columns.out // TILE)
        tiles = max(1, BLOCK // (READ * READ * (conv.channels + conv.filters)), conv.channels * conv.filters // SPREAD)
        self.work = conv.batch * conv.rows.out * conv.columns.out * conv.filters // WORTH
        if self.work >= SMALL:
            tiles = min(tiles, max(1, conv.batch * self.down * self.across // FEWEST_BLOCKS))
        self.images = max(1, min(conv.batch, tiles // (self.down * self.across)))
        self.rows = self.down if self.images > 1 else max(1, min(self.down, tiles // self.across))
        self.bands = -(-self.down // self.rows)
        self.rows = -(-self.down // self.bands)
        self.count = -(-conv.batch // self.images) * self.bands

    def block(self, number: int) -> tuple[slice, int, int]:
        """Return a block's images, its first row of tiles and the row behind its last."""
        images, band = divmod(number, self.bands)
        first = images * self.images
        return (
            slice(first, min(first + self.images, self.conv.batch)),
            band * self.rows,
            min((band + 1) * self.rows, self.down),
        )


class _Workspace:
    """Room for a block of tiles and what they become."""

    def __init__(self, plan: _Plan) -> None:
        conv, self.plan = plan.conv, plan
        self.tiles = plan.images * plan.rows * plan.across
        widest = self.tiles * max(conv.channels, conv.filters)
        self.padded = np.zeros((plan.images, TILE * plan.rows + 2, TILE * plan.across + 2, conv.channels), np.float32)
        self.spread, self.between = (np.empty(READ * READ * widest, np.float32) for _ in range(2))
        self.inputs = np.empty(READ * READ * self.tiles * conv.channels, np.float32)
        self.outputs = np.empty(READ * READ * self.tiles * conv.filters, np.float32)

    def transformed_inputs(self, x: np.ndarray, images: slice, first: int, last: int) -> np.ndarray:
        """Return B^T d B of a block's tiles, (36, tiles, C)."""
        plan, conv = self.plan, self.plan.conv
        count, rows, channels = images.stop - images.start, last - first, conv.channels
        padded = self.padded[:count, : TILE * rows + 2]
        top = TILE * first - conv.rows.before  # the row of x where the block begins to read
        height = padded.shape[1]
        above = min(height, max(0, -top))
        stop = max(above, min(height, conv.rows.size - top))  # a block may lie in the padding altogether
        padded[:, :above] = 0
        padded[:, stop:] = 0
        left, width = conv.columns.before, min(conv.columns.size, padded.shape[2] - conv.columns.before)
        padded[:, above:stop, left : left + width] = x[images, top + above : top + stop, :width]
        n, h, w, c = padded.strides
        shape = (READ, READ, count, rows, plan.across, channels)
        view = as_strided(padded, shape, (h, w, n, TILE * h, TILE * w, c), writeable=False)
        spread = _part(self.spread, shape)
        spread[...] = view
        done = _part(self.inputs, (READ * READ, count * rows * plan.across, channels))
        _both_ways(INPUTS, spread, self.between, done)
        return done

    def transformed_gradients(self, dy: np.ndarray, images: slice, first: int, last: int) -> np.ndarray:
        """Return A dy A^T of a block's tiles, (36, tiles, K)."""
        band = dy[images, TILE * first : TILE * last]
        if band.shape[1:3] != (TILE * (last - first), TILE * self.plan.across):  # tiles hang over the edge
            whole = _part(self.between, self._whole(images, first, last))
            whole[:, band.shape[1] :] = 0
            whole[:, :, band.shape[2] :] = 0
            whole[:, : band.shape[1], : band.shape[2]] = band
            band = whole
        tiles = self._by_places(band)
        spread = _part(self.spread, tiles.shape)
        spread[...] = tiles
        done = _part(self.outputs, (READ * READ, spread[0, 0, ..., 0].size, self.plan.conv.filters))
        _both_ways(OUTPUTS.T, spread, self.between, done)
        return done

    def write(self, products: np.ndarray, y: np.ndarray, images: slice, first: int, last: int) -> None:
        """Transform products (36, tiles, K) into outputs, and write them to their places in y (N, P, Q, K)."""
        band = y[images, TILE * first : TILE * last]
        shape = self._whole(images, first, last)
        whole = band if band.shape == shape else _part(self.between, shape)
        tiles = self._by_places(whole)
        spread = _part(self.spread, tiles.shape)
        _both_ways(OUTPUTS, products, self.between, spread)
        tiles[...] = spread
        if whole is not band:
            band[...] = whole[:, : band.shape[1], : band.shape[2]]

    def _whole(self, images: slice, first: int, last: int) -> tuple[int, int, int, int]:
        """Return the shape of a block's outputs, all of its tiles."""
        plan = self.plan
        return images.stop - images.start, TILE * (last - first), TILE * plan.across, plan.conv.filters

    def _by_places(self, images: np.ndarray) -> np.ndarray:
        """View images (n, 4 rows, 4 across, K) by the places in their tiles, (4, 4, n, rows, across, K)."""
        count, height, width, filters = images.shape
        tiles = images.reshape(count, height // TILE, TILE, width // TILE, TILE, filters)
        return tiles.transpose(2, 4, 0, 1, 3, 5)


def _part(space: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return space[: math.prod(shape)].reshape(shape)


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: ConvGeometry, relu: bool = False
) -> np.ndarray:
    """x (N, H, W, C), kernel (3, 3, C, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    y = np.empty(conv.y_shape, x.dtype)
    plan = _Plan(conv)
    weights = np.empty((READ * READ, conv.channels, conv.filters), np.float32)
    _both_ways(KERNELS, kernel, np.empty(READ * TAPS * kernel[0, 0].size, np.float32), weights)

    def work(pieces: Iterator[Piece]) -> None:
        room = _Workspace(plan)
        for number, _ in pieces:
            images, first, last = block = plan.block(number)
            inputs = room.transformed_inputs(x, *block)
            products = _part(room.outputs, (READ * READ, inputs.shape[1], conv.filters))
            np.matmul(inputs, weights, out=products)
            room.write(products, y, *block)
            finish(y[images, TILE * first : TILE * last].reshape(-1, conv.filters), bias, relu)

    run(work, blocks(plan.count, 1), plan.work)
    return y


def kernel_gradient(x: np.ndarray, dy: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (3, 3, C, K). Blocks are summed in a fixed order."""
    plan = _Plan(conv)
    size = READ * READ * conv.channels * conv.filters
    shares = min(MOST_SHARES, max(2, LARGEST_SUMS // size), plan.count)
    spans = blocks(plan.count, -(-plan.count // shares))
    sums = np.zeros((len(spans), READ * READ, conv.channels, conv.filters), np.float32)

    def work(pieces: Iterator[Piece]) -> None:
        room, part = _Workspace(plan), np.empty(sums.shape[1:], np.float32)
        for start, stop in pieces:
            total = sums[start // (spans[0][1] - spans[0][0])]
            for number in range(start, stop):
                block = plan.block(number)
                inputs = room.transformed_inputs(x, *block)
                gradients = room.transformed_gradients(dy, *block)
                np.matmul(inputs.transpose(0, 2, 1), gradients, out=part)
                total += part

    run(work, spans, plan.work)
    total = sums[0] if len(spans) == 1 else sums.sum(axis=0)
    kernel = np.empty(conv.kernel_shape, np.float32)
    _both_ways(KERNELS.T, total, np.empty(TAPS * READ * total[0].size, np.float32), kernel)
    return kernel
