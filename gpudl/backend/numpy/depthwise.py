"""Depthwise convolution on NumPy: one multiply-add over whole images for each tap of the kernel.

There is no matrix product to be had: every channel has a kernel of its own. So y += x[tap] * kernel[tap], on a padded
block of images that stays in the cache. The kernel's numbers of a tap are laid out for a whole output row, (Q, C): then
NumPy's innermost loop runs over Q*C numbers at a stride of 1, not over C.

Where numba is installed, large work of one kernel a channel is done by loops that read and write once: loops.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gpudl.backend.numpy import loops
from gpudl.backend.numpy.dense import finish
from gpudl.backend.numpy.workers import Piece, blocks, run
from gpudl.shapes import DepthwiseGeometry, WindowAxis

BLOCK = 1 << 18
"""Output elements of one block. In smaller ones, which would fit into L2, two threads wait for the interpreter between
many short steps: 3.3 ms in place of 2.4 for 32 images of 14x14x256 (measured)."""

TOGETHER = 128
"""Numbers that a compiled loop makes at once; for each it reads one of every tap of the kernel, which lie in L1."""

Image = tuple[slice, slice, slice]


def _pieces(conv: DepthwiseGeometry) -> list[Piece]:
    return blocks(conv.batch, BLOCK // max(1, int(np.prod(conv.y_shape[1:]))))


def _largest(pieces: list[Piece]) -> int:
    return pieces[0][1] if pieces else 0


def _size(conv: DepthwiseGeometry) -> int:
    return int(np.prod(conv.y_shape)) * conv.rows.window * conv.columns.window // 4


def _padded(images: int, conv: DepthwiseGeometry, dtype: np.dtype) -> np.ndarray:
    """Zeros for a block of images with their padding, each channel as often as it has kernels."""

    def length(axis: WindowAxis) -> int:
        return max(axis.before + axis.size + axis.after, axis.span + (axis.out - 1) * axis.stride)

    return np.zeros((images, length(conv.rows), length(conv.columns), conv.channels * conv.multiplier), dtype)


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


def _rows_of(kernel: np.ndarray, conv: DepthwiseGeometry) -> np.ndarray:
    """The kernel's numbers of each tap for a whole output row: (R * S, Q, C * multiplier)."""
    taps = kernel.reshape(-1, 1, conv.channels * conv.multiplier)
    return np.repeat(taps, conv.columns.out, axis=1)


def _repeated(kernel: np.ndarray) -> np.ndarray:
    """(R, S, C) -> (R, S, times * C), for as many pixels as a loop makes at once."""
    return np.tile(kernel, max(1, TOGETHER // max(1, kernel.shape[2])))


def _loop(make: Callable[..., loops.Loop], conv: DepthwiseGeometry, *arrays: np.ndarray) -> loops.Loop | None:
    if conv.multiplier > 1:
        return None
    return loops.loop_for(make, (conv.rows.window, conv.columns.window), int(np.prod(conv.y_shape)), *arrays)


def _places(conv: DepthwiseGeometry) -> tuple[int, ...]:
    rows, columns = conv.rows, conv.columns
    return rows.before, columns.before, rows.stride, columns.stride, rows.dilation, columns.dilation


def _turned(conv: DepthwiseGeometry) -> tuple[int, ...]:
    """The places of windows of the flipped kernel over dy, which make dx; of stride 1."""
    rows, columns = conv.rows, conv.columns
    return rows.span - 1 - rows.before, columns.span - 1 - columns.before, 1, 1, rows.dilation, columns.dilation


def forward(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, conv: DepthwiseGeometry) -> np.ndarray:
    """x (N, H, W, C), kernel (R, S, C, multiplier), bias (C * multiplier,) or None -> y (N, P, Q, C * multiplier)."""
    pieces, taps, weights, inside = _pieces(conv), _taps(conv), _rows_of(kernel, conv), _inside(conv)
    y = np.empty(conv.y_shape, x.dtype)
    loop = _loop(loops.depthwise, conv, x, kernel)
    if loop is not None:
        several = _repeated(kernel[..., 0])

        def one_pass(share: Iterator[Piece]) -> None:
            for start, stop in share:
                loop(x[start:stop], several, y[start:stop], *_places(conv))
                finish(y[start:stop].reshape(-1, conv.channels), bias, False)

        run(one_pass, pieces, _size(conv))
        return y

    def work(share: Iterator[Piece]) -> None:
        padded = _padded(_largest(pieces), conv, x.dtype)
        product = np.empty((_largest(pieces), *conv.y_shape[1:]), x.dtype)
        for start, stop in share:
            block, source, part = y[start:stop], padded[: stop - start], product[: stop - start]
            source[inside] = x[start:stop].repeat(conv.multiplier, axis=3) if conv.multiplier > 1 else x[start:stop]
            np.multiply(source[taps[0]], weights[0], out=block)
            for tap, weight in zip(taps[1:], weights[1:], strict=True):
                np.multiply(source[tap], weight, out=part)
                block += part
            finish(block.reshape(-1, conv.y_shape[3]), bias, False)

    run(work, pieces, _size(conv))
    return y


def input_gradient(dy: np.ndarray, kernel: np.ndarray, conv: DepthwiseGeometry) -> np.ndarray:
    """dy (N, P, Q, C * multiplier), kernel (R, S, C, multiplier) -> dx (N, H, W, C)."""
    pieces, taps, weights, inside = _pieces(conv), _taps(conv), _rows_of(kernel, conv), _inside(conv)
    dx = np.empty(conv.x_shape, dy.dtype)
    loop = _loop(loops.depthwise, conv, dy) if conv.rows.stride == conv.columns.stride == 1 else None
    if loop is not None:
        flipped = _repeated(kernel[::-1, ::-1, :, 0])

        def one_pass(share: Iterator[Piece]) -> None:
            for start, stop in share:
                loop(dy[start:stop], flipped, dx[start:stop], *_turned(conv))

        run(one_pass, pieces, _size(conv))
        return dx

    def work(share: Iterator[Piece]) -> None:
        padded = _padded(_largest(pieces), conv, dy.dtype)
        product = np.empty((_largest(pieces), *conv.y_shape[1:]), dy.dtype)
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
    pieces, taps, inside = _pieces(conv), _taps(conv), _inside(conv)
    sums = np.zeros((len(pieces), len(taps), conv.y_shape[3]), dy.dtype)
    loop = _loop(loops.depthwise_kernel, conv, x, dy)
    if loop is not None:
        of_pieces = sums.reshape(len(pieces), conv.rows.window, conv.columns.window, conv.channels)

        def one_pass(share: Iterator[Piece]) -> None:
            for start, stop in share:
                loop(x[start:stop], dy[start:stop], of_pieces[start // _largest(pieces)], *_places(conv))

        run(one_pass, pieces, _size(conv))
        return sums.sum(axis=0).reshape(conv.kernel_shape)

    def work(share: Iterator[Piece]) -> None:
        padded = _padded(_largest(pieces), conv, x.dtype)
        for start, stop in share:
            source, total = padded[: stop - start], sums[start // _largest(pieces)]
            source[inside] = x[start:stop].repeat(conv.multiplier, axis=3) if conv.multiplier > 1 else x[start:stop]
            for k, tap in enumerate(taps):
                np.einsum("npqc,npqc->c", source[tap], dy[start:stop], out=total[k])

    run(work, pieces, _size(conv))
    return sums.sum(axis=0).reshape(conv.kernel_shape)
