"""Rows added up at places that may be the same: both twins, against a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpudl.backend import kernels, to_numpy
from gpudl.testing import check_close


def looped(places: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    total = np.zeros((count, rows.shape[1]))
    for place, row in zip(places, rows, strict=True):
        total[place] += row
    return total


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-6), ("float64", 1e-14)])
@given(M=st.integers(0, 40), D=st.integers(1, 9), count=st.integers(1, 60), seed=st.integers(0, 2**16))
@example(M=0, D=3, count=4, seed=0)
@example(M=600, D=1, count=3, seed=0)
@example(M=7, D=300, count=1, seed=0)
@settings(max_examples=40)
def test_rows(put: Callable[[Any], Any], dtype: str, close: float, M: int, D: int, count: int, seed: int) -> None:
    """Many at one place and none at others, from no rows to more than a block of threads."""
    rng = np.random.default_rng(seed)
    places, rows = rng.integers(0, count, M), rng.standard_normal((M, D)).astype(dtype)
    given_ones = put(places), put(rows)
    total = kernels("scatter", given_ones[1]).add_rows(*given_ones, count)
    assert total.dtype == dtype and total.shape == (count, D)
    check_close("total", total, looped(places, rows, count), close, scale=float(looped(places, abs(rows), count).max()))
    never = np.setdiff1d(np.arange(count), places)
    assert (to_numpy(total)[never] == 0).all()
    for passed, before in zip(given_ones, (places, rows), strict=True):
        np.testing.assert_array_equal(to_numpy(passed), before)


def test_whole_numbers_add_up_exactly(put: Callable[[Any], Any], rng: np.random.Generator) -> None:
    """One place that is named by 1000 rows, the last of ten, and rows that do not lie in C's order."""
    places = np.full(1000, 9)
    rows = np.asfortranarray(rng.integers(-9, 9, (1000, 4)).astype(np.float32))
    device_rows = put(rows.T.copy()).T
    total = to_numpy(kernels("scatter", device_rows).add_rows(put(places), device_rows, 10))
    np.testing.assert_array_equal(total, looped(places, rows, 10))


@pytest.mark.parametrize("index", [np.array([2, 0, 2]), (slice(None), np.array([1, 1])), np.array([True, False, True])])
def test_any_index(put: Callable[[Any], Any], index: Any, rng: np.random.Generator) -> None:
    values = rng.standard_normal(np.zeros((3, 4))[index].shape)
    expected = np.zeros((3, 4))
    np.add.at(expected, index, values)
    there = tuple(put(i) if isinstance(i, np.ndarray) else i for i in index) if isinstance(index, tuple) else put(index)
    check_close("total", kernels("scatter", put(values)).add_at((3, 4), there, put(values)), expected, 1e-14)
