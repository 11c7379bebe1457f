"""Constraints by hand, and weights that keep to them while a model learns."""

from __future__ import annotations

import numpy as np
import pytest

from gpudl import Sequential, constraints, layers
from gpudl.errors import UnknownNameError, UsageError

W = np.array([[3.0, -0.5], [-4.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (constraints.MaxNorm(2.0), [[1.2, -0.5], [-1.6, 0.0]]),
        (constraints.MaxNorm(2.0, axis=1), [[3 * 2 / np.sqrt(9.25), -1 / np.sqrt(9.25)], [-2.0, 0.0]]),
        (constraints.NonNeg(), [[3.0, 0.0], [0.0, 0.0]]),
        (constraints.UnitNorm(), [[0.6, -1.0], [-0.8, 0.0]]),
        (constraints.UnitNorm(axis=None), W / np.sqrt(25.25)),
        (constraints.UnitNorm(axis=[0, 1]), W / np.sqrt(25.25)),  # pyright: ignore[reportArgumentType]  as JSON has it
        (constraints.MinMaxNorm(1.0, 2.0), [[1.2, -1.0], [-1.6, 0.0]]),
        (constraints.MinMaxNorm(1.0, 2.0, rate=0.5), [[2.1, -0.75], [-2.8, 0.0]]),
    ],
)
def test_values(constraint: constraints.Constraint, expected: list) -> None:
    before = W.copy()
    found = constraint(W)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(W, before)


def test_what_is_0_or_infinite() -> None:
    zeros = np.zeros((2, 2), np.float32)
    for constraint in (constraints.MaxNorm(), constraints.UnitNorm(), constraints.MinMaxNorm(0.5)):
        np.testing.assert_array_equal(constraint(zeros), zeros)
    np.testing.assert_array_equal(constraints.NonNeg()(np.array([-np.inf, np.inf])), [0, np.inf])


def test_names() -> None:
    assert constraints.get(None) is None
    found = constraints.get("max_norm")
    assert isinstance(found, constraints.MaxNorm) and (found.max_value, found.axis) == (2, 0)
    made = constraints.MinMaxNorm(0.5, rate=0.25, axis=(0, 1))
    assert constraints.deserialize(constraints.serialize(made)).get_config() == made.get_config()
    assert constraints.deserialize({"class_name": "NonNeg", "config": {}}).get_config() == {}
    with pytest.raises(UnknownNameError, match='did you mean "max_norm"'):
        constraints.get("max_normal")
    with pytest.raises(UsageError, match="constraint=3 is no constraint"):
        constraints.get(3)  # pyright: ignore[reportArgumentType]


def test_weights_keep_to_them_in_training() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((32, 3)).astype(np.float32), rng.standard_normal((32, 2)).astype(np.float32)
    model = Sequential(
        [layers.Dense(4, kernel_constraint=constraints.UnitNorm(), bias_constraint="non_neg"), layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    kernel, bias = model.get_weights()[:2]
    np.testing.assert_allclose((kernel**2).sum(axis=0), 1, rtol=1e-5)
    assert (bias >= 0).all() and (bias > 0).any()
