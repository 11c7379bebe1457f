"""Setting a test part aside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.datasets._split import check_fraction, split
from gpudl.errors import UsageError


@settings(derandomize=True, deadline=None)
@given(total=st.integers(1, 60), fraction=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 1000))
def test_every_row_lands_once_and_keeps_its_target(total, fraction, seed):
    order = np.random.default_rng(seed).permutation(total)
    x, y = np.arange(total) * 10, np.arange(total)
    count = round(total * fraction)
    if fraction > 0 and count in (0, total):
        part = "test" if count == 0 else "training"
        with pytest.raises(UsageError, match=f"owner: test_fraction=.* of {total} rows leaves the {part} part empty"):
            split("owner", x, y, order, fraction)
        return
    data = split("owner", x, y, order, fraction, ("a", "b"))
    assert data.class_names == ("a", "b")
    np.testing.assert_array_equal(data.x_train, data.y_train * 10)
    if count == 0:
        assert data.x_test is None
        assert data.y_test is None
        np.testing.assert_array_equal(data.y_train, order)
    else:
        assert data.x_test is not None
        assert data.y_test is not None
        assert len(data.y_test) == count
        np.testing.assert_array_equal(data.x_test, data.y_test * 10)
        np.testing.assert_array_equal(np.concatenate([data.y_test, data.y_train]), order)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.0, 2, float("nan"), float("inf"), "0.2", None, True])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(UsageError) as caught:
        check_fraction("Digits", fraction)
    assert str(caught.value).startswith(f"Digits: test_fraction={fraction!r} is not a number from 0 up to")


@pytest.mark.parametrize("fraction", [0, 0.0, 0.2, 0.999, np.float64(0.5)])
def test_a_fraction_inside_its_range_passes(fraction):
    check_fraction("Digits", fraction)
