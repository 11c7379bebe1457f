"""Penalties on weights beside Keras's: values, gradients and what is refused."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import regularizers
from gpudl.autograd import Parameter, Tensor
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

factors = st.floats(0, 4, width=16) | st.integers(0, 2) | st.sampled_from([0.01, 1e-4])
ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "L1": {"l1": factors | st.none()},
    "L2": {"l2": factors | st.none()},
    "L1L2": {"l1": factors | st.none(), "l2": factors | st.none()},
    "OrthogonalRegularizer": {"factor": factors, "mode": st.sampled_from(["rows", "columns"])},
}


@pytest.mark.parametrize("name", list(ARGUMENTS))
@given(data=st.data())
def test_values_and_gradients(keras: Any, torch: Any, score: Any, name: str, data: st.DataObject) -> None:
    settings = data.draw(st.fixed_dictionaries({}, optional=ARGUMENTS[name]))
    matrix = name == "OrthogonalRegularizer"
    sides = st.integers(2 if matrix else 1, 6)  # Keras divides by the number of pairs, which a single row has not
    shape = data.draw(st.lists(sides, min_size=2 if matrix else 0, max_size=2 if matrix else 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    w = rng.normal(0, data.draw(st.sampled_from([1e-3, 1.0, 10.0])), shape).astype(np.float32)
    with score("regularizer", name):
        ours, theirs = getattr(regularizers, name)(**settings), getattr(keras.regularizers, name)(**settings)
        mine, other = Parameter(w.copy()), torch.tensor(w, requires_grad=True)
        loss, loss_theirs = ours(mine), theirs(other)
        expected = loss_theirs.detach().numpy()
        check_close("penalty", np.float32(loss.data if isinstance(loss, Tensor) else loss), expected)
        if isinstance(loss, Tensor):
            assert loss.dtype == np.float32
            loss.backward()
            loss_theirs.backward()
            # The orthogonal penalty's gradient is at right angles to the weights: its terms cancel.
            scale = float(ours.factor / np.abs(w).mean()) if matrix else None
            check_close("gradient", mine.grad, other.grad.numpy(), scale=scale)
        assert float(ours(w)) == pytest.approx(float(expected), rel=1e-5)
        if None not in settings.values():  # Keras writes the number that None stands for
            assert ours.get_config() == pytest.approx(theirs.get_config())
        again = regularizers.deserialize(keras.regularizers.serialize(theirs))
        assert float(again(w)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_constructors_take_keras_arguments_in_keras_order(keras: Any, name: str) -> None:
    both = (regularizers, keras.regularizers)
    ours, theirs = (list(inspect.signature(getattr(module, name)).parameters.values()) for module in both)
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {"l1": value}) for name in ("L1", "L1L2") for value in (-0.1, math.nan, math.inf, "much", [0.1])),
        *((name, {"l2": value}) for name in ("L2", "L1L2") for value in (-0.1, math.nan, math.inf, "much", [0.1])),
        ("OrthogonalRegularizer", {"factor": -1.0}),
        ("OrthogonalRegularizer", {"factor": None}),
        ("OrthogonalRegularizer", {"mode": "diagonals"}),
        ("Lasso", {}),
    ],
)
def test_arguments_that_keras_refuses_are_refused(keras: Any, name: str, settings: dict[str, Any]) -> None:
    for module in (keras.regularizers, regularizers):
        with pytest.raises(ValueError):
            getattr(module, name)(**settings) if hasattr(module, name) else module.get(name)


def test_what_is_no_matrix_is_refused(keras: Any, torch: Any) -> None:
    w = np.ones((2, 3, 4), np.float32)
    for penalty, array in (
        (keras.regularizers.OrthogonalRegularizer(), torch.tensor(w)),
        (regularizers.OrthogonalRegularizer(), w),
    ):
        with pytest.raises(ValueError, match=r"2, 3, 4"):
            penalty(array)


def test_names(keras: Any) -> None:
    for module in (keras.regularizers, regularizers):
        for name in ARGUMENTS:
            assert type(module.get(name)).__name__ == name
        for alias in ("l1", "l2", "l1l2", "orthogonal_regularizer"):
            assert isinstance(module.get(alias), getattr(module, "l1_l2" if alias == "l1l2" else alias))
        with pytest.raises(ValueError):
            module.get(3)
