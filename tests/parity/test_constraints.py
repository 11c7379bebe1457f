"""Constraints beside Keras's, on weights of any shape and size."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import constraints
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

NAMES = ["MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"]
numbers = st.floats(0, 8, width=16)


@st.composite
def cases(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], np.ndarray]:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axes = st.integers(-len(shape), len(shape) - 1)
    several = st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True)
    optional: dict[str, st.SearchStrategy[Any]] = {"axis": axes | several | several.map(tuple) | st.none()}
    if name == "MaxNorm":
        optional["max_value"] = numbers | st.integers(0, 3)
    if name == "MinMaxNorm":
        optional |= {"min_value": numbers, "max_value": numbers, "rate": st.floats(0, 1, width=16)}
    settings = draw(st.fixed_dictionaries({}, optional=optional if name != "NonNeg" else {}))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    size = draw(st.sampled_from([0.0, 1e-8, 1.0, 1.0, 100.0]))
    w = rng.normal(0, size, shape) * (rng.random(shape) > draw(st.sampled_from([0.0, 0.5])))
    return settings, w.astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_values(keras: Any, torch: Any, score: Any, name: str, data: st.DataObject) -> None:
    settings, w = data.draw(cases(name))
    with score("constraint", name):
        ours, theirs = getattr(constraints, name)(**settings), getattr(keras.constraints, name)(**settings)
        check_close(name, ours(w), theirs(torch.tensor(w)).numpy())
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in theirs.get_config().items()}
        assert ours.get_config() == plain
        again = constraints.deserialize(keras.constraints.serialize(theirs))
        np.testing.assert_array_equal(again(w), ours(w))


@pytest.mark.parametrize("name", ["MaxNorm", "MinMaxNorm", "UnitNorm"])
def test_constructors_take_keras_arguments_in_keras_order(keras: Any, name: str) -> None:
    both = (constraints, keras.constraints)
    ours, theirs = (list(inspect.signature(getattr(module, name)).parameters.values()) for module in both)
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_names(keras: Any) -> None:
    for module in (keras.constraints, constraints):
        for name in NAMES:
            assert type(module.get(name)).__name__ == name
        for alias in ("max_norm", "min_max_norm", "non_neg", "unit_norm"):
            assert isinstance(module.get(alias), getattr(module, alias))
        assert module.get(np.abs) is np.abs
        for wrong in ("max_normal", 3):
            with pytest.raises(ValueError):
                module.get(wrong)
