"""The gradient for the input of a convolution as a convolution of dy, with the kernel turned by 180 degrees.

With a stride of s, the pixels of dx whose places leave the same remainder, a phase, depend on every s-th tap of the
kernel only, and all phases of one place on the same pixels of dy. So there is a filter for each of the s x s phases of
each channel, with 1/s of the taps along each axis, and a copy that puts the phases side by side. Taps that a phase
lacks are zeros; where dy is not finite, they carry NaN to neighbours. A transposed convolution is made this way, too.

Memory plan. All phases of a batch lie in an array of about dx's size until they are copied: by blocks of images the
products would be smaller, and threads wait for each other more often: it takes up to half as long again (measured).
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

MOST_WASTE, LITTLE_WASTE, FEW_FILTERS = 2.0, 1.5, 64
"""Products made for each that is needed, up to which it pays: the first for at most so many filters of a group, whose
products for each tap are short, else the second. Measured: 4x4, 5x5 and 7x7 with a stride of 2 take 0.4 to 0.8 of what
a product for each tap takes, 3x3 0.5 to 0.9 with up to 64 filters, 1.1 to 2.0 with more."""


@lru_cache(maxsize=256)
def geometry(conv: ConvGeometry) -> ConvGeometry | None:
    """Return the convolution that carries dy to all phases of dx.

    None where that does not pay, or where whole windows lie in padding, so that parts of dy would have to be cut off.
    """
    rows, columns = conv.rows.turned(), conv.columns.turned()
    if min(rows.before, rows.after, columns.before, columns.after) < 0:
        return None
    phases = conv.rows.stride * conv.columns.stride
    waste = phases * rows.window * columns.window / (conv.rows.window * conv.columns.window)
    if waste > (MOST_WASTE if conv.filters // conv.groups <= FEW_FILTERS else LITTLE_WASTE):
        return None
    return ConvGeometry(conv.batch, conv.filters, phases * conv.channels, conv.groups, rows, columns)


def kernel_of(kernel: np.ndarray, conv: ConvGeometry, back: ConvGeometry) -> np.ndarray:
    """kernel (R, S, C / groups, K) -> that of `back`, whose filters are in the order `side_by_side` reads."""
    taps_down, taps_across = back.kernel_shape[:2]
    down, across = conv.rows.stride, conv.columns.stride
    if down * across > 1:
        whole = np.zeros((taps_down * down, taps_across * across, *kernel.shape[2:]), kernel.dtype)
        whole[: conv.rows.window, : conv.columns.window] = kernel
        kernel = whole
    depth, filters = conv.channels // conv.groups, conv.filters // conv.groups
    taps = kernel.reshape(taps_down, down, taps_across, across, depth, conv.groups, filters)[::-1, :, ::-1]
    return np.ascontiguousarray(taps.transpose(0, 2, 6, 5, 1, 3, 4)).reshape(back.kernel_shape)


def side_by_side(phases: np.ndarray, conv: ConvGeometry) -> np.ndarray:
    """phases (N, P', Q', groups * down * across * C / groups), which a convolution made -> dx (N, H, W, C)."""
    down, across = conv.rows.stride, conv.columns.stride
    if down * across == 1:
        return phases
    groups, depth = conv.groups, conv.channels // conv.groups
    dx = aligned.empty(conv.x_shape, phases.dtype)
    places = phases.reshape(*phases.shape[:3], groups, down, across, depth)
    pixels = dx.reshape(*conv.x_shape[:3], groups, depth)
    rows, columns = _phases(conv.rows), _phases(conv.columns)
    fit = (phases.shape[1] * down, phases.shape[2] * across) == conv.x_shape[1:3]
    if fit and rows[0][1].start == columns[0][1].start == 0:  # in one copy, of longer runs
        pixels = dx.reshape(conv.batch, phases.shape[1], down, phases.shape[2], across, groups, depth)
        copies = [(pixels, places.transpose(0, 1, 4, 2, 5, 3, 6))]
    else:
        copies = [
            (pixels[:, to_rows, to_columns], places[:, from_rows, from_columns, :, i, j])
            for i, (from_rows, to_rows) in enumerate(rows)
            for j, (from_columns, to_columns) in enumerate(columns)
        ]

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            for target, source in copies:
                target[start:stop] = source[start:stop]

    run(work, blocks(conv.batch, BLOCK // max(1, math.prod(conv.x_shape[1:]))), dx.size)
    return dx


def _phases(a: WindowAxis) -> list[tuple[slice, slice]]:
    """Of each phase, which places lie in dx, and which pixels they are."""
    found = []
    for phase in range(a.stride):
        start = (phase - a.before) % a.stride
        skipped = int(phase < a.before % a.stride)  # the first place lies before dx
        pixels = range(start, a.size, a.stride)
        found.append((slice(skipped, skipped + len(pixels)), slice(start, a.size, a.stride)))
    return found
