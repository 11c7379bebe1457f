"""The transforms of Winograd's F(m x m, 3x3): m x m outputs of a 3x3 convolution by (m + 2)^2 products.

A convolution multiplies two polynomials, and a polynomial is known by its values at enough points, one of which may be
infinity. The more outputs at once, the fewer products for each, the larger the numbers in the transforms, and so the
error: five at once have some four times that of four.
Source: Toom 1963 and Cook 1966; for what becomes of errors Barabasz et al. 2018, arXiv 1803.10986.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gpudl import config
from gpudl.shapes import ConvGeometry

TAPS = 3


class Form:
    """One m, by the points besides infinity: tiles of `out` x `out` outputs, of which each depends on `read` x `read`
    inputs.
    """

    inputs: np.ndarray
    """B^T (read, read)."""
    kernels: np.ndarray
    """G (read, 3)."""
    outputs: np.ndarray
    """A^T (out, read)."""

    def __init__(self, *points: float) -> None:
        self.out, self.read = len(points) - 1, len(points) + 1
        self.inputs, self.kernels, self.outputs = self._transforms(np.array(points))

    def _transforms(self, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """Construct the matrices, as Toom and Cook do."""
        others = [np.delete(points, i) for i in range(len(points))]
        inputs = np.zeros((self.read, self.read))
        for row, roots in zip(inputs, [*others, points], strict=True):
            row[: len(roots) + 1] = np.poly(roots)[::-1]
        scale = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
        kernels = np.vstack([np.vander(points, TAPS, increasing=True) / scale[:, None], np.eye(TAPS)[-1:]])
        outputs = np.vstack([np.vander(points, self.out, increasing=True), np.eye(self.out)[-1:]]).T
        return tuple(np.ascontiguousarray(matrix, np.float32) for matrix in (inputs, kernels, outputs))

    def tiles(self, conv: ConvGeometry) -> tuple[int, int]:
        """Return how many tiles cover an image, down and across."""
        return -(-conv.rows.out // self.out), -(-conv.columns.out // self.out)

    def products(self, conv: ConvGeometry) -> int:
        """Return how many products each pair of a channel and a filter takes for an image."""
        down, across = self.tiles(conv)
        return down * across * self.read**2


FOUR = Form(0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""0, 1, -1, 2, -2 give four times the error (measured)."""

FIVE = Form(0, -4 / 3, -3 / 4, 1 / 2, 1, 9 / 4)
"""Close to the best that a random search found; 0, 1, -1, 1/2, -2, -1/2 give nearly twice the error (measured)."""

MOST_CHANNELS, GAIN = 32, 0.9
"""Where five at once are taken: where so few channels are summed that the error stays under 1e-5 of the largest number
(in thousands of draws it was 7.7e-6 at most, with 64 channels 1.1e-5); and where they take at most 0.9 of the products.
14x14 outputs are three tiles of five each way, or four of four: 441 products for 576."""


def is_possible(conv: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether a convolution can be made by transforms, and may be: in "highest" precision their error is too large."""
    return dtype == np.float32 and _is_plain(conv) and config.float32_precision() != "highest"


@lru_cache(maxsize=256)
def _is_plain(conv: ConvGeometry) -> bool:
    axes = conv.rows, conv.columns
    return conv.groups == 1 and all(axis.window == TAPS and axis.stride == axis.dilation == 1 for axis in axes)


@lru_cache(maxsize=256)
def form_for(conv: ConvGeometry) -> Form:
    """Return the form that takes the fewest products for a convolution, where its error allows."""
    is_exact_enough = conv.channels <= MOST_CHANNELS
    return FIVE if is_exact_enough and FIVE.products(conv) <= GAIN * FOUR.products(conv) else FOUR
