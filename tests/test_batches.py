"""Batches: cutting, shuffling, splitting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import random
from gpudl.batches import Batches, split_off
from gpudl.errors import DataError, UsageError


@given(
    n=st.integers(1, 50), size=st.integers(1, 60), shuffle=st.booleans(), first=st.integers(0, 3), key=st.integers(0)
)
@settings(max_examples=300)
def test_every_sample_once_with_its_target_and_weight(n: int, size: int, shuffle: bool, first: int, key: int) -> None:
    x = np.arange(n)
    batches = Batches(x, 2 * x, x.astype(np.float32) / 7, size, shuffle)
    order = batches.order(key)
    taken = list(batches.take(order))
    assert len(taken) == len(batches)
    assert [len(batch.x) for batch in taken] == [size] * (n // size) + ([n % size] if n % size else [])
    everything = np.concatenate([batch.x for batch in taken])
    assert sorted(everything) == list(range(n))
    np.testing.assert_array_equal(everything, x if order is None else order)
    for batch in taken:
        assert batch.y is not None and batch.weight is not None
        np.testing.assert_array_equal(batch.y, 2 * batch.x)
        np.testing.assert_allclose(batch.weight, batch.x / 7, rtol=1e-6)
    rest = list(batches.take(order, first))
    assert [batch.x.tolist() for batch in rest] == [batch.x.tolist() for batch in taken[first:]]


def test_the_order_is_given_by_seed_and_key() -> None:
    batches = Batches(np.arange(40), shuffle=True)
    random.set_random_seed(2)
    first = batches.order(0)
    np.testing.assert_array_equal(batches.order(0), first)
    assert (batches.order(1) != first).any()
    random.set_random_seed(3)
    assert (batches.order(0) != first).any()
    assert Batches(np.arange(40)).order(0) is None


def test_types_stay_until_taken() -> None:
    x = np.zeros((5, 2), np.uint8)
    batches = Batches(x, np.zeros(5, np.int32), [1, 2, 3, 4, 5])  # pyright: ignore[reportArgumentType]
    (batch,) = batches.take(None)
    assert batch.x.dtype == np.uint8 and batch.y is not None and batch.y.dtype == np.int32
    assert batch.weight is not None and batch.weight.dtype == np.float32
    assert batch.x.base is x, "nothing is copied that is not shuffled"


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="no samples"):
        Batches(np.zeros((0, 3)))
    with pytest.raises(DataError, match="4 inputs but 3 targets"):
        Batches(np.zeros(4), np.zeros(3))
    with pytest.raises(DataError, match="4 inputs but 5 sample weights"):
        Batches(np.zeros(4), np.zeros(4), np.zeros(5))
    for size in (0, -1, 2.0, "8"):
        with pytest.raises(UsageError, match="batch_size="):
            Batches(np.zeros(4), batch_size=size)  # pyright: ignore[reportArgumentType]
    assert Batches(np.zeros(40)).batch_size == 32
    assert Batches(np.zeros(40), batch_size=np.int64(7)).batch_size == 7  # pyright: ignore[reportArgumentType]


def test_split_off_sets_the_last_samples_aside() -> None:
    assert [split_off(10, f) for f in (0.1, 0.25, 0.5, 0.85)] == [9, 7, 5, 1]
    for samples, fraction, about in (
        (10, 0.95, "leaves none for training; choose a fraction between 0.1 and 0.9"),
        (1, 0.5, "needs at least 2 samples"),
        (10, 0.0, "between 0 and 1"),
        (10, 1.0, "between 0 and 1"),
        (10, float("nan"), "between 0 and 1"),
    ):
        with pytest.raises(UsageError, match=about):
            split_off(samples, fraction)
