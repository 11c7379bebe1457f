"""The gradient for a convolution's input, as one convolution and as a product for each tap: of drawn sizes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import config
from gpudl.backend.numpy import conv2d, turned, winograd
from gpudl.errors import ShapeError
from gpudl.shapes import ConvGeometry

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
windows = st.tuples(st.integers(1, 5), st.integers(1, 5))
strides = st.tuples(st.integers(1, 4), st.integers(1, 4))
ends = st.tuples(st.integers(0, 6), st.integers(0, 6))


@given(
    size=sizes, window=windows, stride=strides, padding=st.sampled_from(["valid", "same"]) | st.tuples(ends, ends),
    groups=st.integers(1, 3), seed=st.integers(0, 2**16),
)  # fmt: skip
@settings(max_examples=200)
def test_both_ways_are_the_same(size: Any, window: Any, stride: Any, padding: Any, groups: int, seed: int) -> None:
    try:
        conv = ConvGeometry.of((2, *size, 2 * groups), (*window, 2, 3 * groups), stride, padding, 1, groups)
    except ShapeError:
        return
    rng = np.random.default_rng(seed)
    dy, kernel = rng.standard_normal(conv.y_shape), rng.standard_normal(conv.kernel_shape)
    found = []
    for waste in (0.0, 1e9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turned, "geometry", turned.geometry.__wrapped__)  # which remembers nothing
            patch.setattr(turned, "MOST_WASTE", waste)
            patch.setattr(turned, "BLOCK", 1)
            found.append(conv2d.input_gradient(dy, kernel, conv))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-12)


def test_it_is_one_convolution_where_that_pays() -> None:
    """Not where phases have many more places for taps than the kernel has taps."""

    def pays(window: int, stride: int, filters: int) -> bool:
        conv = ConvGeometry.of((1, 16, 16, 8), (window, window, 8, filters), stride, "same")
        return turned.geometry(conv) is not None

    assert pays(3, 1, 512) and pays(4, 2, 512) and pays(5, 2, 512) and pays(4, 4, 512) and pays(3, 2, 64)
    assert not pays(3, 2, 128) and not pays(1, 2, 8) and not pays(2, 3, 8)


def test_by_winograd(rng: np.random.Generator) -> None:
    """Of 5x5 with a stride of 2 there are three taps along each axis."""
    conv = ConvGeometry.of((4, 16, 16, 32), (5, 5, 32, 32), 2, "same")
    back = turned.geometry(conv)
    assert back is not None and winograd.suits(back, np.dtype(np.float32))
    dy, kernel = rng.standard_normal(conv.y_shape), rng.standard_normal(conv.kernel_shape)
    exact = conv2d.input_gradient(dy, kernel, conv)

    def error() -> float:
        return float(
            abs(conv2d.input_gradient(dy.astype("f"), kernel.astype("f"), conv) - exact).max() / abs(exact).max()
        )

    assert error() < 1e-5
    before = config.float32_precision()
    config.set_float32_precision("highest")
    try:
        assert error() < 1e-6
    finally:
        config.set_float32_precision(before)
