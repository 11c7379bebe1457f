"""The transforms of Winograd's convolutions: F(m, r), m outputs of a window of r taps by m + r - 1 products, for each
axis or for one.

A convolution multiplies two polynomials, and a polynomial is known by its values at enough points, one of which may be
infinity. The more outputs at once, the fewer products for each, the larger the numbers in the transforms, and so the
error: five at once have some four times that of four.
Source: Toom 1963 and Cook 1966; for what becomes of errors Barabasz et al. 2018, arXiv 1803.10986.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gpudl.shapes import ConvGeometry

TAPS = 3


class Form:
    """Products for some outputs of a convolution of one axis: A^T [(G g) * (B^T d)]."""

    def __init__(self, inputs: np.ndarray, kernels: np.ndarray, outputs: np.ndarray) -> None:
        self.inputs, self.kernels, self.outputs = (
            np.ascontiguousarray(matrix, np.float32) for matrix in (inputs, kernels, outputs)
        )
        """B^T (products, inputs), G (products, taps), A^T (outputs, products)."""
        self.out, self.read = outputs.shape
        """The outputs, and the products, which with a stride of 1 are as many as the inputs."""

    @staticmethod
    def of(*points: float, taps: int = TAPS) -> Form:
        """Construct it as Toom and Cook do, of the points besides infinity."""
        finite = np.array(points)
        read = len(points) + 1
        out = read + 1 - taps
        others = [np.delete(finite, i) for i in range(len(points))]
        inputs = np.zeros((read, read))
        for row, roots in zip(inputs, [*others, finite], strict=True):
            row[: len(roots) + 1] = np.poly(roots)[::-1]
        scale = np.array([np.prod(point - rest) for point, rest in zip(finite, others, strict=True)])
        kernels = np.vstack([np.vander(finite, taps, increasing=True) / scale[:, None], np.eye(taps)[-1:]])
        outputs = np.vstack([np.vander(finite, out, increasing=True), np.eye(out)[-1:]]).T
        return Form(inputs, kernels, outputs)

    def tiles(self, conv: ConvGeometry) -> tuple[int, int]:
        """Return how many tiles cover an image, down and across."""
        return -(-conv.rows.out // self.out), -(-conv.columns.out // self.out)

    def products(self, conv: ConvGeometry) -> int:
        """Return how many products each pair of a channel and a filter takes for an image."""
        down, across = self.tiles(conv)
        return down * across * self.read**2


FOUR = Form.of(0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""0, 1, -1, 2, -2 give four times the error (measured)."""

FIVE = Form.of(0, -4 / 3, -3 / 4, 1 / 2, 1, 9 / 4)
"""Close to the best that a random search found; 0, 1, -1, 1/2, -2, -1/2 give nearly twice the error (measured)."""

OUT = FOUR.out
"""Outputs of `strip_form`."""

_OF_TAPS = {1: Form(np.eye(OUT), np.ones((OUT, 1)), np.eye(OUT)), 2: Form.of(0, 1, -1, 2, taps=2), TAPS: FOUR}


@lru_cache(maxsize=64)
def strip_form(window: int, stride: int) -> Form | None:
    """Return a form of four outputs for a window with a stride; None where it would have too many taps.

    The inputs at each place within a stride meet taps of their own: several forms, whose products are joined.
    """
    phases = [_OF_TAPS.get(len(range(first, window, stride))) for first in range(min(stride, window))]
    forms = [form for form in phases if form is not None]
    if len(forms) < len(phases):
        return None
    products = sum(form.read for form in forms)
    inputs, kernels = np.zeros((products, (OUT - 1) * stride + window)), np.zeros((products, window))
    start = 0
    for first, form in enumerate(forms):
        rows = slice(start, start + form.read)
        inputs[rows, first::stride] = form.inputs
        kernels[rows, first::stride] = form.kernels
        start = rows.stop
    return Form(inputs, kernels, np.hstack([form.outputs for form in forms]))


def is_possible(conv: ConvGeometry) -> bool:
    """Whether a convolution can be made of tiles of both axes."""
    axes = conv.rows, conv.columns
    return conv.groups == 1 and all(axis.window == TAPS and axis.stride == axis.dilation == 1 for axis in axes)


MOST_CHANNELS, GAIN = 32, 0.9
"""Where five at once are taken: where so few channels are summed that the error stays under 1e-5 of the largest number
(in thousands of draws it was 7.7e-6 at most, with 64 channels 1.1e-5); and where they take at most 0.9 of the products.
14x14 outputs are three tiles of five each way, or four of four: 441 products for 576."""


@lru_cache(maxsize=256)
def form_for(conv: ConvGeometry) -> Form:
    """Return the form that takes the fewest products for a convolution, where its error allows."""
    is_exact_enough = conv.channels <= MOST_CHANNELS
    return FIVE if is_exact_enough and FIVE.products(conv) <= GAIN * FOUR.products(conv) else FOUR
