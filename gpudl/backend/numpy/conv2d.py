"""2-D convolution on NumPy: patches and matrix products, a few images at a time; few channels by strips.py, 3x3 with
stride 1 of more by winograd.py.

The gradient for the input is such a convolution, by turned.py, where that pays.

Memory plan. Copying every patch of a batch (im2col) would write R*S times the input to main memory. Here a block of
images is padded, its patches are copied and multiplied while all of it still lies in the L2 cache, then the next
block reuses the same workspace. With channels last, the S*C numbers under one row of the kernel lie side by side,
so one overlapping-strides view with that as its last axis turns the copy into long runs: four times faster than
R*S slices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gpudl.backend.later import Later, now
from gpudl.backend.numpy import aligned, strips, turned, winograd
from gpudl.backend.numpy.dense import finish
from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.products import multiply, multiply_long, product
from gpudl.backend.numpy.rows import finish_rows
from gpudl.backend.numpy.workers import Piece, begin, blocks, run
from gpudl.shapes import ConvGeometry

BLOCK = 1 << 18
"""Elements of one block's patches: 1 MiB of float32, the L2 cache of a common core. Measured flat from 64k to 512k."""

NARROW = 16
"""Runs of fewer numbers are copied tap by tap instead: half the time for one channel (measured)."""

SHARES = 8
"""Parts that a batch is cut into at least, and partial sums of the kernel gradient: enough for eight threads."""


class _Patches:
    """The patches of a block of images, in a workspace that the next block and step reuse.

    `of(images)` gives a matrix (images * P * Q, R * S * C / groups) per group, shape (groups, rows, taps). Where the
    runs of S*C numbers are short, as in a first layer, it lies in memory the other way round, tap by tap: then the runs
    are rows of the output.
    """

    def __init__(self, key: tuple[ConvGeometry, int], room: np.ndarray) -> None:
        self.conv, images = key
        rows, columns = self.conv.rows, self.conv.columns
        self.depth = self.conv.channels // self.conv.groups
        self.taps = rows.window * columns.window * self.depth
        self.tap_by_tap = columns.window * self.depth < NARROW
        shape = _padded_shape(self.conv, images)
        self.padded, self.space = room[: math.prod(shape)].reshape(shape), room[math.prod(shape) :]
        self._views: dict[int, tuple[np.ndarray, ...]] = {}

    @staticmethod
    def of_blocks(conv: ConvGeometry, images: int, dtype: np.dtype) -> _Patches:
        """Return this thread's workspace for blocks of so many images, with zeros in the padding."""
        size = math.prod(_padded_shape(conv, images)) + images * conv.rows.out * conv.columns.out * (
            conv.rows.window * conv.columns.window * conv.channels
        )
        found = kept(_Patches, (conv, images), size, dtype)
        found.padded.fill(0)
        return found

    def of(self, images: np.ndarray) -> np.ndarray:
        """Copy the patches of some images (n, H, W, C)."""
        views = self._views.get(len(images))
        if views is None:
            views = self._views[len(images)] = self._made_views(len(images))
        inside, windows, target, matrix = views
        inside[...] = images
        target[...] = windows
        return matrix

    def _made_views(self, count: int) -> tuple[np.ndarray, ...]:
        """Return where images go, the windows seen there, where these go, and what is there as a matrix."""
        conv, rows, columns = self.conv, self.conv.rows, self.conv.columns
        source = self.padded[:count]
        inside = source[:, rows.before : rows.before + rows.size, columns.before : columns.before + columns.size]
        size = count * rows.out * columns.out
        space = self.space[: conv.groups * self.taps * size]
        n, h, w = source.strides[:3]
        c = source.itemsize  # not strides[3]: where there is one channel NumPy lets it be anything
        groups, depth = conv.groups, self.depth
        positions = (count, rows.out, columns.out)
        steps = (n, h * rows.stride, w * columns.stride)
        matrix = space.reshape(groups, size, self.taps)
        if self.tap_by_tap:
            shape = (groups, rows.window, columns.window, depth, *positions)
            strides = (c * depth, h * rows.dilation, w * columns.dilation, c, *steps)
            matrix = space.reshape(groups, self.taps, size).transpose(0, 2, 1)
        elif columns.dilation == 1 and groups == 1:
            # Neighbouring taps of a row are neighbours in memory: one run of S*C numbers.
            shape = (*positions, rows.window, columns.window * depth)
            strides = (*steps, h * rows.dilation, c)
        else:
            shape = (groups, *positions, rows.window, columns.window, depth)
            strides = (c * depth, *steps, h * rows.dilation, w * columns.dilation, c)
        return inside, as_strided(source, shape, strides, writeable=False), space.reshape(shape), matrix


def _padded_shape(conv: ConvGeometry, images: int) -> tuple[int, int, int, int]:
    rows, columns = conv.rows, conv.columns
    height, width = rows.before + rows.size + rows.after, columns.before + columns.size + columns.after
    return images, height, width, conv.channels


def _images_per_block(conv: ConvGeometry) -> int:
    per_image = conv.rows.out * conv.columns.out * conv.rows.window * conv.columns.window * conv.channels
    return max(1, min(BLOCK // max(1, per_image), -(-conv.batch // SHARES)))


def _grouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """(R, S, C / groups, K) as one matrix per group: (groups, R * S * C / groups, K / groups)."""
    taps, filters = kernel.shape[0] * kernel.shape[1] * kernel.shape[2], kernel.shape[3]
    return np.ascontiguousarray(kernel.reshape(taps, groups, filters // groups).transpose(1, 0, 2))


def _is_pointwise(conv: ConvGeometry) -> bool:
    return conv.groups == 1 and all(
        axis.window == 1 and axis.stride == 1 and axis.before == axis.after == 0 for axis in (conv.rows, conv.columns)
    )


def _size(conv: ConvGeometry) -> int:
    """Multiply-adds / 64: near enough to a count of elements for deciding whether threads pay."""
    return conv.batch * conv.rows.out * conv.columns.out * math.prod(conv.kernel_shape) // 64


def forward(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: ConvGeometry, relu: bool = False
) -> np.ndarray:
    """x (N, H, W, C), kernel (R, S, C / groups, K), bias (K,) or None -> y (N, P, Q, K); with `relu` max(y, 0)."""
    if _is_pointwise(conv):
        y = product(x.reshape(-1, conv.channels), kernel[0, 0])
        finish(y, bias, relu)
        return y.reshape(conv.y_shape)
    if strips.suits(conv, x.dtype):
        return strips.forward(x, kernel, bias, conv, relu)
    if winograd.suits(conv, x.dtype):
        return winograd.forward(x, kernel, bias, conv, relu)
    y = aligned.empty(conv.y_shape, x.dtype)
    matrices = _grouped(kernel, conv.groups)
    images = _images_per_block(conv)

    def work(pieces: Iterator[Piece]) -> None:
        patches = _Patches.of_blocks(conv, min(images, conv.batch), x.dtype)
        for start, stop in pieces:
            block = y[start:stop].reshape(-1, conv.filters)
            matrix = patches.of(x[start:stop])
            if conv.groups == 1:
                multiply(matrix[0], matrices[0], block)
            else:
                by_group = block.reshape(-1, conv.groups, conv.filters // conv.groups).transpose(1, 0, 2)
                by_group[...] = np.matmul(matrix, matrices)
            finish_rows(block, bias, relu)

    run(work, blocks(conv.batch, images), _size(conv))
    return y


def input_gradient(dy: np.ndarray, kernel: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """dy (N, P, Q, K), kernel (R, S, C / groups, K) -> dx (N, H, W, C)."""
    back = turned.geometry(conv)
    if back is not None:
        return turned.side_by_side(forward(dy, turned.kernel_of(kernel, conv, back), None, back), conv)
    # Else one product per tap, added where that tap reads.
    groups, filters = conv.groups, conv.filters // conv.groups
    dx = aligned.zeros(conv.x_shape, dy.dtype)
    matrices = np.ascontiguousarray(
        kernel.reshape(*kernel.shape[:3], groups, filters).transpose(0, 1, 3, 4, 2)
    )  # (R, S, groups, K / groups, C / groups)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            gradient = dy[start:stop].reshape(-1, groups, filters).transpose(1, 0, 2)
            for r in range(conv.rows.window):
                out_rows, in_rows = conv.rows.tap(r)
                for s in range(conv.columns.window):
                    out_columns, in_columns = conv.columns.tap(s)
                    if out_rows.stop == out_rows.start or out_columns.stop == out_columns.start:
                        continue
                    by_group = np.matmul(gradient, matrices[r, s])  # (groups, rows, C / groups)
                    part = by_group.transpose(1, 0, 2).reshape(
                        stop - start, conv.rows.out, conv.columns.out, conv.channels
                    )
                    dx[start:stop, in_rows, in_columns] += part[:, out_rows, out_columns]

    per_image = conv.rows.out * conv.columns.out * (conv.filters + conv.channels)
    run(work, blocks(conv.batch, BLOCK // max(1, per_image)), _size(conv))
    return dx


def kernel_gradient(x: np.ndarray, dy: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """x (N, H, W, C), dy (N, P, Q, K) -> dkernel (R, S, C / groups, K). Blocks are summed in a fixed order."""
    return now(begin_kernel_gradient(x, dy, conv))


def begin_kernel_gradient(
    x: np.ndarray, dy: np.ndarray, conv: ConvGeometry, out: np.ndarray | None = None
) -> np.ndarray | Later:
    """As `kernel_gradient`, but it may come later; until then x and dy must not be written to.

    It is written to `out` (R, S, C / groups, K), contiguous and of x's type, where that is given.
    """
    groups, filters = conv.groups, conv.filters // conv.groups
    if _is_pointwise(conv):
        made = product(x.reshape(-1, conv.channels).T, dy.reshape(-1, conv.filters), None if out is None else out[0, 0])
        return made.reshape(conv.kernel_shape) if out is None else out
    if strips.suits(conv, x.dtype):
        return strips.begin_kernel_gradient(x, dy, conv, out)
    if winograd.suits(conv, x.dtype):
        return winograd.begin_kernel_gradient(x, dy, conv, out)
    dkernel = aligned.empty(conv.kernel_shape, x.dtype) if out is None else out
    images = _images_per_block(conv)
    # The batch is cut into runs of blocks, the same whatever the number of threads; a run adds up its own sum.
    spans = blocks(conv.batch, max(images, -(-conv.batch // SHARES)))
    taps = conv.rows.window * conv.columns.window * (conv.channels // groups)
    made = dkernel.reshape(taps, groups, filters).transpose(1, 0, 2)
    sums = aligned.empty((len(spans), *made.shape), x.dtype)

    def work(pieces: Iterator[Piece]) -> None:
        patches = _Patches.of_blocks(conv, min(images, conv.batch), x.dtype)
        part = aligned.empty(sums.shape[1:], x.dtype)
        for start, stop in pieces:
            total = sums[start // (spans[0][1] - spans[0][0])]
            for first, last in blocks(stop - start, images):
                a, b = start + first, start + last
                gradient = dy[a:b].reshape(-1, groups, filters).transpose(1, 0, 2)
                target = part if first else total
                if groups == 1:
                    multiply_long(patches.of(x[a:b])[0].T, gradient[0], target[0])
                else:
                    np.matmul(patches.of(x[a:b]).transpose(0, 2, 1), gradient, out=target)
                if first:
                    total += part

    def added_up() -> np.ndarray:
        np.add.reduce(sums, out=made)
        return dkernel

    return begin(work, spans, _size(conv), added_up)
