"""What the tests of convolutions share: numbers to convolve, and how near a result has to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpudl.backend.later import now
from gpudl.backend.numpy import conv2d, workers
from gpudl.shapes import ConvGeometry, DepthwiseGeometry

MOST = 1e-5
"""Largest error, relative to the largest number of the result."""


def numbers(conv: ConvGeometry | DepthwiseGeometry, seed: int) -> tuple[np.ndarray, ...]:
    """Return x, kernel, bias and dy, drawn."""
    rng = np.random.default_rng(seed)
    shapes = conv.x_shape, conv.kernel_shape, (conv.filters,), conv.y_shape
    return tuple(rng.standard_normal(shape).astype("float32") for shape in shapes)


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare a result with the definition's in float64."""
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=MOST * np.abs(expected).max())


def near_the_definition(conv: ConvGeometry, seed: int) -> None:
    """Compare a convolution and its gradients, of numbers of a layer's size: inputs and outputs of unit variance."""
    x, kernel, _, dy = numbers(conv, seed)
    kernel /= np.float32((conv.rows.window * conv.columns.window * conv.channels) ** 0.5)
    exact = [a.astype("float64") for a in (x, kernel, dy)]
    near(conv2d.forward(x, kernel, None, conv), conv2d.forward(exact[0], exact[1], None, conv))
    near(conv2d.input_gradient(dy, kernel, conv), conv2d.input_gradient(exact[2], exact[1], conv))
    near(conv2d.kernel_gradient(x, dy, conv), conv2d.kernel_gradient(exact[0], exact[2], conv))


def bits_with_threads(
    monkeypatch: pytest.MonkeyPatch, way: Any, conv: ConvGeometry | DepthwiseGeometry, gradient: str
) -> set[bytes]:
    """Return what a convolution and its kernel's `gradient`, made by the module `way`, are with 1, 2 and 5 threads."""
    x, kernel, bias, dy = numbers(conv, 0)
    monkeypatch.setattr(way, "BLOCK", 1 << 16)
    made = set()
    try:
        for count in ("1", "2", "5"):
            monkeypatch.setenv("GPUDL_NUM_THREADS", count)
            workers.reset()
            y, slope = way.forward(x, kernel, bias, conv), now(getattr(way, gradient)(x, dy, conv))
            made.add(y.tobytes() + slope.tobytes())
    finally:
        workers.reset()
    return made
