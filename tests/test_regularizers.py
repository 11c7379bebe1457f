"""Penalties by hand, and what has one."""

from __future__ import annotations

import numpy as np
import pytest

from gpudl import Sequential, layers, optimizers, regularizers
from gpudl.autograd import Parameter
from gpudl.errors import UnknownNameError

W = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)


@pytest.mark.parametrize(
    ("penalty", "value", "gradient"),
    [
        (regularizers.L1(0.1), 0.65, 0.1 * np.sign(W)),
        (regularizers.L2(0.1), 1.425, 0.2 * W),
        (regularizers.L1L2(0.1, 0.1), 2.075, 0.1 * np.sign(W) + 0.2 * W),
        (regularizers.L1(), 0.065, 0.01 * np.sign(W)),
        (regularizers.L2(), 0.1425, 0.02 * W),
    ],
)
def test_value_and_gradient(penalty: regularizers.Regularizer, value: float, gradient: np.ndarray) -> None:
    w = Parameter(W.copy())
    loss = penalty(w)
    assert loss.item() == pytest.approx(value, rel=1e-6)
    loss.backward()
    np.testing.assert_allclose(w.grad, gradient, rtol=1e-6)


def test_names() -> None:
    assert regularizers.get(None) is None
    found = regularizers.get("l1_l2")
    assert isinstance(found, regularizers.L1L2) and (found.l1, found.l2) == (0, 0)
    assert regularizers.get({"type": "l2", "l2": 0.5}).get_config() == {"l2": 0.5}  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(UnknownNameError, match="l1_l2"):
        regularizers.get("lasso")


def test_a_penalty_shrinks_weights_that_the_loss_does_not_need() -> None:
    model = Sequential([layers.Dense(1, kernel_regularizer=regularizers.L2(0.5), use_bias=False)])
    model.compile(optimizers.SGD(0.1), "mse")
    x = np.zeros((4, 3), np.float32)
    model.build((None, 3))
    before = model.get_weights()[0]
    model.fit(x, np.zeros(4), verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], 0.9 * before, rtol=1e-5)


def test_a_frozen_weight_has_no_penalty() -> None:
    model = Sequential([layers.Dense(2, kernel_regularizer="l2", trainable=False), layers.Dense(1)])
    model.compile(optimizers.SGD(0.0), "mse")
    x = np.ones((4, 3), np.float32)
    y = np.zeros((4, 1), np.float32)
    loss = model.fit(x, y, verbose=0).history["loss"][0]
    assert loss == pytest.approx(float((model.predict(x) ** 2).mean()), rel=1e-5)
