"""The error function beside that of Python's standard library."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpudl import activations, ops
from gpudl.backend import to_numpy
from gpudl.testing import check_op


@given(st.lists(st.floats(-8, 8) | st.floats(allow_nan=False) | st.floats(-1e-3, 1e-3), min_size=1, max_size=30))
def test_to_rounding(put: Any, values: list[float]) -> None:
    """Each value to 4 units in the last place in float64, also where it is tiny; and as much in float32."""
    expected = np.array([math.erf(value) for value in values])
    got = to_numpy(ops.erf(put(np.array(values))))
    assert (np.abs(got - expected) <= 4 * np.spacing(np.abs(expected))).all()
    single = np.clip(np.array(values), -3e38, 3e38).astype(np.float32)
    expected = np.array([math.erf(value) for value in single], np.float32)
    got = to_numpy(ops.erf(put(single)))
    assert got.dtype == np.float32
    flushed = 0 if put is np.asarray else np.finfo(np.float32).tiny  # CuPy's kernels take what is smaller for 0
    assert (np.abs(got - expected) <= 4 * np.spacing(np.abs(expected)) + flushed).all()


def test_where_the_formulas_meet_and_at_the_ends(put: Any) -> None:
    x = np.array([0.46875, 4, 6, *(np.nextafter(n, 9) for n in (0.46875, 4, 6)), 0, np.inf])
    x = np.array([*x, *-x, np.nan])
    got = to_numpy(ops.erf(put(x)))
    assert np.abs(got[:-1] - [math.erf(value) for value in x[:-1]]).max() < 3e-16 and np.isnan(got[-1])


def test_op(put: Any, rng: np.random.Generator) -> None:
    x = put(rng.uniform(-3, 3, (4, 5)))
    check_op(ops.erf, [x], oracle=np.vectorize(math.erf))
    check_op(activations.gelu, [x], oracle=lambda x: x * np.vectorize(math.erfc)(-x / 2**0.5) / 2)
