"""The base of data sets, and the check for NaN and infinity."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.datasets import Csv, Data, Dataset, Digits, FashionMnist, Mnist, Npz, check_finite
from gpudl.errors import DataError, UsageError


@pytest.mark.parametrize("cls", [Csv, Digits, FashionMnist, Mnist, Npz])
def test_every_data_set_describes_itself_in_one_line(cls):
    assert issubclass(cls, Dataset)
    assert cls.kind == "datasets"
    assert 10 < len(cls.description) < 100
    assert "\n" not in cls.description


@pytest.mark.parametrize(
    "dataset", [Csv("a.csv", "y", 0.3, seed=4), Digits(0.1), FashionMnist(), Mnist(), Npz("a.npz")], ids=repr
)
def test_settings_survive_the_round_trip(dataset):
    config = dataset.get_config()
    assert type(dataset).from_config(config).get_config() == config


def test_settings_hold_every_default():
    assert Csv("a.csv", "y").get_config() == {
        "path": "a.csv",
        "target": "y",
        "test_fraction": 0.2,
        "seed": 0,
        "delimiter": ",",
    }


def test_data_has_no_test_part_unless_given():
    data = Data(np.zeros((2, 3)), np.zeros(2))
    assert data.x_test is None
    assert data.y_test is None
    assert data.class_names is None


def test_a_data_set_of_your_own_must_define_load():
    class Mine(Dataset):
        description = "mine"

    assert Mine.status() == "ready"
    with pytest.raises(UsageError, match=r"Mine must define load\(\)"):
        Mine().load()


def test_import_takes_no_extra():
    code = (
        "import sys, gpudl.datasets\n"
        "found = {'pooch', 'sklearn', 'cupy', 'requests', 'matplotlib'} & set(sys.modules)\n"
        "assert not found, found\n"
        "assert callable(gpudl.datasets.mnist.load_data) and callable(gpudl.datasets.digits.load_data)\n"
        "assert callable(gpudl.datasets.fashion_mnist.load_data)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(derandomize=True, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    count=st.integers(1, 5),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
def test_the_first_bad_value_is_named(shape, seed, count, value, dtype):
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(shape).astype(dtype)
    check_finite("x", array)
    bad = np.sort(rng.choice(array.size, min(count, array.size), replace=False))
    array.flat[bad] = value
    row, *feature = (int(i) for i in np.unravel_index(bad[0], shape))
    with pytest.raises(DataError) as caught:
        check_finite("the name", array)
    message = str(caught.value)
    assert message.startswith(f"the name: {len(bad)} of {array.size} values are NaN or infinite")
    assert f"({value})" in message
    assert f"at row {row}" in message
    if feature:
        assert f"feature {feature[0] if len(feature) == 1 else tuple(feature)} " in message
    else:
        assert "feature" not in message


def test_a_bad_single_value_is_named():
    with pytest.raises(DataError, match=r"1 of 1 values .* at its only value"):
        check_finite("x", np.array(np.nan))


@pytest.mark.parametrize("array", [np.arange(3), np.array(["nan"]), np.zeros((0, 2)), np.array([True])], ids=repr)
def test_what_cannot_be_nan_passes(array):
    check_finite("x", array)
