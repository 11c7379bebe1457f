"""Depthwise convolution on NumPy: one multiply-add over whole rows for each tap of the kernel; windows of three rows in
float32 by depthwise_strips.py, with half of them.

There is no matrix product to be had: every channel has a kernel of its own. But `einsum` multiplies and adds up in one
pass, with a loop that NumPy has compiled for it; so it is given all windows of a block of images, a view that overlaps
itself, and the kernel.

Memory plan. A block of images is copied into its padding, which a thread makes once for all its blocks, and stays in
the cache; the sums are made in the place of the result. The kernel's numbers of a tap are laid out for a whole output
row, (Q, C): then the innermost loop runs over Q*C numbers at a stride of 1, not over C.

The gradient for the input is such a convolution where strides are 1. Where numba is installed, large work of one
kernel a channel is done by loops that keep sums in registers: loops.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gpudl.backend.numpy import aligned, depthwise_strips, loops
from gpudl.backend.numpy.dense import finish
from gpudl.backend.numpy.workers import Piece, Pieces, blocks, run
from gpudl.shapes import DepthwiseGeometry, WindowAxis

BLOCK = 1 << 18
"""Output elements of one block. In smaller ones, which would fit into L2, two threads wait for the interpreter between
many short steps: 3.3 ms in place of 2.4 for 32 images of 14x14x256 (measured)."""

TOGETHER = 256
"""Numbers of a row that a compiled loop makes at once; for each it reads one of every tap of the kernel, all in L1."""

Image = tuple[slice, slice, slice]


def _pieces(conv: DepthwiseGeometry) -> Pieces:
    return blocks(conv.batch, BLOCK // max(1, math.prod(conv.y_shape[1:])))


def _largest(pieces: Pieces) -> int:
    return pieces[0][1] if pieces else 0


def _size(conv: DepthwiseGeometry) -> int:
    return math.prod(conv.y_shape) * conv.rows.window * conv.columns.window // 4


def _padded(images: int, conv: DepthwiseGeometry, dtype: np.dtype) -> np.ndarray:
    """Zeros for a block of images with their padding, each channel as often as it has kernels."""

    def length(axis: WindowAxis) -> int:
        return max(axis.before + axis.size + axis.after, axis.span + (axis.out - 1) * axis.stride)

    return aligned.zeros((images, length(conv.rows), length(conv.columns), conv.filters), dtype)


def _inside(conv: DepthwiseGeometry) -> Image:
    rows, columns = conv.rows, conv.columns
    return (
        slice(None),
        slice(rows.before, rows.before + rows.size),
        slice(columns.before, columns.before + columns.size),
    )


def _taps(conv: DepthwiseGeometry) -> list[Image]:
    """For each tap in row-major order, what it reads of the padded images."""

    def reads(axis: WindowAxis, tap: int) -> slice:
        start = tap * axis.dilation
        return slice(start, start + (axis.out - 1) * axis.stride + 1, axis.stride)

    return [
        (slice(None), reads(conv.rows, r), reads(conv.columns, s))
        for r in range(conv.rows.window)
        for s in range(conv.columns.window)
    ]


def _rows_of(kernel: np.ndarray, length: int) -> np.ndarray:
    """The kernel's numbers (R, S, C, multiplier) of each tap for a row of so many pixels: (R, S, length, C')."""
    return np.repeat(kernel.reshape(*kernel.shape[:2], 1, kernel.shape[2] * kernel.shape[3]), length, axis=2)


@dataclass(frozen=True)
class _Windows:
    """How windows lie on padded images: of so many taps, for so many outputs, this far apart."""

    taps: tuple[int, int]
    out: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]

    @staticmethod
    def of(conv: DepthwiseGeometry) -> _Windows:
        rows, columns = conv.rows, conv.columns
        return _Windows(
            (rows.window, columns.window), (rows.out, columns.out), (rows.stride, columns.stride),
            (rows.dilation, columns.dilation),
        )  # fmt: skip

    def view(self, padded: np.ndarray) -> np.ndarray:
        """(N, P, R, S, Q, C): what each tap of each output reads of padded images; see `row`."""
        image, row, pixel, number = padded.strides
        down, across = self.dilation
        columns, channels = self.out[1], padded.shape[3]
        row_of = (1, columns * channels) if self.strides[1] == 1 else (columns, channels)
        shape = (len(padded), self.out[0], *self.taps, *row_of)
        steps = (image, row * self.strides[0], row * down, pixel * across, pixel * self.strides[1], number)
        return np.lib.stride_tricks.as_strided(padded, shape, steps, writeable=False)

    def row(self, a: np.ndarray) -> np.ndarray:
        """(..., Q, C) as (..., 1, Q * C) where neighbouring outputs read neighbours: one row for NumPy's inner loop."""
        return a.reshape(*a.shape[:-2], 1, a.shape[-2] * a.shape[-1]) if self.strides[1] == 1 else a


def _slide(padded: np.ndarray, weights: np.ndarray, windows: _Windows, y: np.ndarray) -> None:
    """padded (N, H', W', C), weights (R, S, Q, C) -> y (N, P, Q, C), in place."""
    np.einsum("nprsqc,rsqc->npqc", windows.view(padded), windows.row(weights), out=windows.row(y))


def _repeated(kernel: np.ndarray) -> np.ndarray:
    """(R, S, C) -> (R, S, times * C), for as many pixels as a loop makes at once."""
    return np.tile(kernel, max(1, TOGETHER // max(1, kernel.shape[2])))


def _loop(make: Callable[..., loops.Loop], conv: DepthwiseGeometry, *arrays: np.ndarray) -> loops.Loop | None:
    if conv.multiplier > 1:
        return None
    return loops.loop_for(make, (conv.rows.window, conv.columns.window), math.prod(conv.y_shape), *arrays)


def _places(conv: DepthwiseGeometry) -> tuple[int, ...]:
    rows, columns = conv.rows, conv.columns
    return rows.before, columns.before, rows.stride, columns.stride, rows.dilation, columns.dilation


def forward(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: DepthwiseGeometry) -> np.ndarray:
    """x (N, H, W, C), kernel (R, S, C, multiplier), bias (C * multiplier,) or None -> y (N, P, Q, C * multiplier)."""
    pieces = _pieces(conv)
    y = aligned.empty(conv.y_shape, x.dtype)
    loop = _loop(loops.depthwise, conv, x, kernel)
    if loop is not None:
        several = _repeated(kernel[..., 0])

        def one_pass(share: Iterator[Piece]) -> None:
            for start, stop in share:
                loop(x[start:stop], several, y[start:stop], *_places(conv))
                finish(y[start:stop].reshape(-1, conv.channels), bias, False)

        run(one_pass, pieces, _size(conv))
        return y
    if depthwise_strips.suits(conv, x.dtype):
        return depthwise_strips.forward(x, kernel, bias, conv)
    inside, windows, weights = _inside(conv), _Windows.of(conv), _rows_of(kernel, conv.columns.out)

    def work(share: Iterator[Piece]) -> None:
        padded = _padded(_largest(pieces), conv, x.dtype)
        for start, stop in share:
            block, source = y[start:stop], padded[: stop - start]
            source[inside] = x[start:stop].repeat(conv.multiplier, axis=3) if conv.multiplier > 1 else x[start:stop]
            _slide(source, weights, windows, block)
            finish(block.reshape(-1, conv.filters), bias, False)

    run(work, pieces, _size(conv))
    return y


def input_gradient(dy: np.ndarray, kernel: np.ndarray, conv: DepthwiseGeometry) -> np.ndarray:
    """dy (N, P, Q, C * multiplier), kernel (R, S, C, multiplier) -> dx (N, H, W, C)."""
    back = conv.turned()
    if back is not None:
        return forward(dy, np.ascontiguousarray(kernel[::-1, ::-1]), None, back)
    pieces = _pieces(conv)
    dx = aligned.empty(conv.x_shape, dy.dtype)
    taps, inside = _taps(conv), _inside(conv)
    weights = _rows_of(kernel, conv.columns.out).reshape(len(taps), conv.columns.out, -1)

    def work(share: Iterator[Piece]) -> None:
        padded = _padded(_largest(pieces), conv, dy.dtype)
        product = aligned.empty((_largest(pieces), *conv.y_shape[1:]), dy.dtype)
        for start, stop in share:
            target, part = padded[: stop - start], product[: stop - start]
            target.fill(0)
            for tap, weight in zip(taps, weights, strict=True):
                np.multiply(dy[start:stop], weight, out=part)
                target[tap] += part
            if conv.multiplier == 1:
                dx[start:stop] = target[inside]
            else:
                target[inside].reshape(*dx[start:stop].shape, conv.multiplier).sum(axis=4, out=dx[start:stop])

    run(work, pieces, _size(conv))
    return dx


def kernel_gradient(x: np.ndarray, dy: np.ndarray, conv: DepthwiseGeometry) -> np.ndarray:
    """x (N, H, W, C), dy (N, P, Q, C * multiplier) -> dkernel (R, S, C, multiplier), summed in a fixed order."""
    pieces = _pieces(conv)
    loop = _loop(loops.depthwise_kernel, conv, x, dy)
    if loop is not None:
        sums = aligned.zeros((len(pieces), conv.rows.window, conv.columns.window, conv.channels), dy.dtype)

        def one_pass(share: Iterator[Piece]) -> None:
            for start, stop in share:
                loop(x[start:stop], dy[start:stop], sums[start // _largest(pieces)], *_places(conv))

        run(one_pass, pieces, _size(conv))
        return sums.sum(axis=0).reshape(conv.kernel_shape)
    if depthwise_strips.suits(conv, x.dtype):
        return depthwise_strips.kernel_gradient(x, dy, conv)
    inside, windows = _inside(conv), _Windows.of(conv)
    rows = conv.columns.out if conv.columns.stride == 1 else 1
    sums = aligned.zeros((len(pieces), *windows.taps, rows * conv.filters), dy.dtype)

    def work(share: Iterator[Piece]) -> None:
        padded = _padded(_largest(pieces), conv, x.dtype)
        for start, stop in share:
            source, total = padded[: stop - start], sums[start // _largest(pieces)]
            source[inside] = x[start:stop].repeat(conv.multiplier, axis=3) if conv.multiplier > 1 else x[start:stop]
            np.einsum("nprsqc,npqc->rsc", windows.view(source), windows.row(dy[start:stop]), out=total)

    run(work, pieces, _size(conv))
    return sums.reshape(*sums.shape[:3], rows, conv.filters).sum(axis=(0, 3)).reshape(conv.kernel_shape)
