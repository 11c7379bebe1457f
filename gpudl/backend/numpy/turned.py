"""The gradient for the input of a convolution as a convolution of dy, with the kernel turned by 180 degrees.

With a stride of s, the pixels of dx whose places leave the same remainder, a phase, depend on every s-th tap of the
kernel, and on the same of dy: so there is a filter for each of the s x s phases and each channel, of 1/s of the taps
along each axis, and a copy to put the phases side by side. Taps that a phase lacks are zeros.

Memory plan. All phases of a batch lie in an array of dx's size until they are copied: by blocks of images the products
would be smaller, and threads wait for each other more often: it takes up to half as long again (measured).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.workers import Piece, blocks, run
from gpudl.shapes import ConvGeometry, WindowAxis

BLOCK = 1 << 18
"""Numbers of dx that are copied at once."""

LITTLE_WASTE, MOST_WASTE, FEW_FILTERS = 1.5, 2.0, 64
"""So many products for each that is needed pay; up to the second where dy has few channels, which make products short.
Measured: 4x4, 5x5 and 7x7 with a stride of 2 take 0.4 to 0.8 of what a product for each tap takes, 3x3 0.5 to 0.9 with
up to 64 filters, 1.1 to 2.0 with more."""


def _axis(a: WindowAxis) -> WindowAxis:
    """The window that slides over dy: at each place it makes a number of each phase."""
    taps = -(-a.window // a.stride)
    first, last = a.before // a.stride, (a.size - 1 + a.before) // a.stride
    before = (taps - 1) * a.dilation - first
    return WindowAxis(a.out, taps, 1, a.dilation, before, last - a.out + 1, last - first + 1)


@lru_cache(maxsize=256)
def geometry(conv: ConvGeometry) -> ConvGeometry | None:
    """Return the convolution that carries dy to all phases of dx; None where it does not pay, or there is none."""
    rows, columns = _axis(conv.rows), _axis(conv.columns)
    if min(rows.before, rows.after, columns.before, columns.after) < 0:
        return None
    phases = conv.rows.stride * conv.columns.stride
    waste = phases * rows.window * columns.window / (conv.rows.window * conv.columns.window)
    if waste > (MOST_WASTE if conv.filters <= FEW_FILTERS else LITTLE_WASTE):
        return None
    return ConvGeometry(conv.batch, conv.filters, phases * conv.channels, conv.groups, rows, columns)


def kernel_of(kernel: np.ndarray, conv: ConvGeometry, turned: ConvGeometry) -> np.ndarray:
    """kernel (R, S, C / groups, K) -> that of `turned`, (R', S', K / groups, groups * phases * C / groups)."""
    (R, S), (r, s) = turned.kernel_shape[:2], (conv.rows.stride, conv.columns.stride)
    depth, filters = conv.channels // conv.groups, conv.filters // conv.groups
    if r * s > 1:
        whole = np.zeros((R * r, S * s, *kernel.shape[2:]), kernel.dtype)
        whole[: conv.rows.window, : conv.columns.window] = kernel
        kernel = whole
    taps = kernel.reshape(R, r, S, s, depth, conv.groups, filters)[::-1, :, ::-1]
    return np.ascontiguousarray(taps.transpose(0, 2, 6, 5, 1, 3, 4)).reshape(turned.kernel_shape)


@lru_cache(maxsize=256)
def _of_phase(a: WindowAxis, phase: int) -> tuple[slice, slice]:
    """Which of the places of a phase lie in dx, and which pixels they are."""
    start = (a.before // a.stride) * a.stride + phase - a.before
    skipped = int(start < 0)
    start += skipped * a.stride
    count = max(0, -(-(a.size - start) // a.stride))
    return slice(skipped, skipped + count), slice(start, a.size, a.stride)


def side_by_side(phases: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """What the convolution made, (N, P', Q', groups * phases * C / groups) -> dx (N, H, W, C)."""
    rows, columns = conv.rows, conv.columns
    if rows.stride * columns.stride == 1:
        return phases
    dx = aligned.empty(conv.x_shape, phases.dtype)
    depth = conv.channels // conv.groups
    target = dx.reshape(*conv.x_shape[:3], conv.groups, depth)
    source = phases.reshape(*phases.shape[:3], conv.groups, rows.stride, columns.stride, depth)
    places = [
        (i, j, _of_phase(rows, i), _of_phase(columns, j)) for i in range(rows.stride) for j in range(columns.stride)
    ]

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            for i, j, (down, to_rows), (across, to_columns) in places:
                target[start:stop, to_rows, to_columns] = source[start:stop, down, across, :, i, j]

    run(work, blocks(conv.batch, BLOCK // max(1, math.prod(conv.x_shape[1:]))), dx.size)
    return dx
