"""Rows that get the same, and ReLU by long rows of zeros, on NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.backend.numpy import relu, rows
from gpudl.backend.numpy.constants import ones, zeros

SPECIAL = [-1.0, -0.0, 0.0, 2.0, np.inf, -np.inf, np.nan, -np.nan, 1e-40, -1e-40]
SIZES = [0, 1, rows.FEW, rows.FEW + 1, 5 * rows.LONG, 5 * rows.LONG + 7, relu.BLOCK + 3]


@given(count=st.integers(0, 1 << 20), columns=st.integers(1, 1 << 15))
def test_rows_are_taken_together_in_whole_ones(count: int, columns: int) -> None:
    together = rows.rows_together(count, columns)
    assert count % together == 0
    assert together == 1 or together * columns <= rows.LONGEST


@pytest.mark.parametrize(("count", "columns"), [(100_352, 32), (3136, 32), (1568, 64), (392, 128), (1 << 16, 48)])
def test_rows_are_long_where_a_batch_of_images_lets_them(count: int, columns: int) -> None:
    assert rows.rows_together(count, columns) * columns >= rows.LONG


def special(size: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(size).choice(np.array(SPECIAL, dtype), size)


@settings(max_examples=60)
@given(
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    turned=st.booleans(),
    in_place=st.booleans(),
)
def test_beside_a_number(size: int, dtype: str, turned: bool, in_place: bool) -> None:
    x = special(2 * size, dtype).reshape(2, size)
    x = x.T if turned else x
    expected = np.maximum(x, 0), np.minimum(x, 1)
    for join, number, answer in zip((np.maximum, np.minimum), (zeros, ones), expected, strict=True):
        source = x.copy("A") if in_place else x
        out = source if in_place else np.full(x.shape, 7, dtype)
        rows.beside(join, source, number, out=out)
        np.testing.assert_array_equal(out, answer)


@settings(max_examples=60)
@given(size=st.sampled_from(SIZES), dtype=st.sampled_from(["float16", "float32", "float64"]), turned=st.booleans())
def test_relu_back(size: int, dtype: str, turned: bool) -> None:
    """What does not pass is 0, and no -0 slips through; NaN of either sign lets pass, as in PyTorch."""
    x = special(2 * size, dtype).reshape(2, size)
    dy = special(2 * size, dtype)[::-1].reshape(2, size)
    if turned:
        x, dy = x.T, dy.T
    y = relu.forward(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    expected = np.where(x <= 0, 0, dy)
    np.testing.assert_array_equal(relu.backward(dy, y), expected)
    dx, sums = relu.backward_and_sum(np.nan_to_num(dy, posinf=3, neginf=-3), y)
    finite = np.where(x <= 0, 0, np.nan_to_num(dy, posinf=3, neginf=-3))
    np.testing.assert_array_equal(dx, finite)
    np.testing.assert_allclose(sums, finite.astype("float64").sum(axis=0), rtol=1e-2 if dtype == "float16" else 1e-4)


def test_buffers_are_smaller_for_short_rows_alone() -> None:
    usual = np.getbufsize()
    with rows.short():
        assert np.getbufsize() == rows.BUFFER
    assert np.getbufsize() == usual
    with pytest.raises(ZeroDivisionError), rows.short():
        raise ZeroDivisionError
    assert np.getbufsize() == usual
