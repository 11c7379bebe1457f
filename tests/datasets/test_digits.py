"""The digits inside the package."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from gpudl.datasets import Digits, digits
from gpudl.errors import UsageError


def test_shapes_types_and_values():
    data = Digits().load()
    assert data.x_test is not None
    assert data.y_test is not None
    assert data.x_train.shape == (1438, 8, 8, 1)
    assert data.x_test.shape == (359, 8, 8, 1)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.dtype == np.uint8
        assert (x.min(), x.max()) == (0, 16)
        assert y.dtype == np.int64
        assert y.shape == (len(x),)
        assert np.bincount(y).min() >= 26
    assert data.class_names == tuple("0123456789")


def test_the_split_is_the_same_everywhere():
    data = Digits().load()
    assert data.x_test is not None
    assert data.y_test is not None
    digest = hashlib.sha256(data.x_train.tobytes() + data.y_train.astype("<i8").tobytes()).hexdigest()
    assert data.y_test[:12].tolist() == [2, 1, 5, 9, 3, 9, 5, 9, 8, 3, 8, 0]
    assert digest == "a3c91aaeb41b86d8a85c2dbaaac80735b10cce4103c64a8a90c3f28a88168e13"


def test_parts_together_are_all_digits_and_a_larger_test_part_contains_a_smaller_one():
    whole = Digits(test_fraction=0).load()
    assert whole.x_test is None
    assert whole.y_test is None
    assert len(whole.y_train) == 1797
    for fraction in (0.001, 0.2, 0.5, 0.999):
        data = Digits(fraction).load()
        assert data.x_test is not None
        assert data.y_test is not None
        np.testing.assert_array_equal(np.concatenate([data.x_test, data.x_train]), whole.x_train)
        np.testing.assert_array_equal(np.concatenate([data.y_test, data.y_train]), whole.y_train)


def test_load_data_gives_the_same_without_the_channel():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    data = Digits().load()
    assert data.x_test is not None
    assert data.y_test is not None
    np.testing.assert_array_equal(x_train, data.x_train[..., 0])
    np.testing.assert_array_equal(y_train, data.y_train)
    np.testing.assert_array_equal(x_test, data.x_test[..., 0])
    np.testing.assert_array_equal(y_test, data.y_test)


def test_the_numbers_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    data = Digits(test_fraction=0).load()
    order = np.random.Generator(np.random.Philox(key=digits.SPLIT_KEY)).permutation(1797)
    np.testing.assert_array_equal(data.x_train[..., 0], theirs.images[order])
    np.testing.assert_array_equal(data.y_train, theirs.target[order])


@pytest.mark.parametrize(("fraction", "part"), [(0.0001, "test"), (0.9999, "training")])
def test_an_empty_part_is_refused(fraction, part):
    with pytest.raises(UsageError, match=f"Digits: test_fraction={fraction} of 1797 rows leaves the {part} part empty"):
        Digits(fraction).load()


def test_a_fraction_outside_its_range_is_refused_at_once():
    with pytest.raises(UsageError, match=r"Digits: test_fraction=1.5 is not a number from 0"):
        Digits(1.5)


def test_status_and_attribution():
    assert Digits.status() == "in the package"
    text = files("gpudl.datasets").joinpath("data", "digits.LICENSE.txt").read_text(encoding="utf-8")
    for word in ("Optical Recognition of Handwritten Digits", "Alpaydin", "Kaynak", "1998", "10.24432/C50P49", "CC BY"):
        assert word in text
