"""Sums that threads share are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.backend.numpy import addition


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(0, 9), max_size=4),
    other=st.sampled_from(["same", "row", "turned", "float64", "number"]),
    block=st.sampled_from([1, 7, 64]),
    small=st.sampled_from([0, addition.aligned.SMALL]),
    seed=st.integers(0, 99),
)
def test_it_is_the_sum(shape: list[int], other: str, block: int, small: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape).astype("float32") for _ in range(2))
    if other == "row":
        b = b[..., :1, :] if b.ndim > 1 else b
    elif other == "turned":
        a, b = a.T, np.ascontiguousarray(b.T)
    elif other == "float64":
        b = b.astype("float64")
    elif other == "number":
        b = np.float32(3) * np.ones((), "float32")
    try:
        expected = a + b
    except ValueError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addition, "BLOCK", block)
        patch.setattr("gpudl.backend.numpy.workers.SMALL", 0)
        patch.setattr("gpudl.backend.numpy.aligned.SMALL", small)
        found, cut = (addition.add(np.asarray(a), np.asarray(b), relu) for relu in (False, True))
    assert found.dtype == cut.dtype == expected.dtype and found.shape == cut.shape == expected.shape
    assert found.tobytes() == expected.tobytes()
    assert cut.tobytes() == np.maximum(expected, 0).tobytes()
