"""Messages speak of open batches as N, count one output as one, and take no half labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, layers, ops, utils
from gpudl.errors import ShapeError, UsageError


def test_ops_of_unequal_shapes() -> None:
    with pytest.raises(UsageError, match=r"add cannot be applied to \(N, 4\), \(N, 3\): lengths must agree or be 1$"):
        ops.add(Input(shape=(4,)), Input(shape=(3,)))


def test_a_layer_that_adds_unequal_shapes_is_named() -> None:
    class Residual(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="res")
            self.inner = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return x + self.inner(x)

    with pytest.raises(
        ShapeError, match=r'Residual "res": cannot be called on \(N, 4\); its call, tried on one sample'
    ):
        Sequential([Input(shape=(4,)), Residual()])


def test_truth_is_no_number_of_epochs() -> None:
    model = Sequential([Input(shape=(4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(UsageError, match="epochs=True must be an integer"):
        model.fit(np.ones((4, 4)), np.ones(4), epochs=True, verbose=0)


def test_one_output() -> None:
    model = Sequential([Input(shape=(4,)), layers.Dense(1, name="out")])
    with pytest.raises(UsageError, match='loss has 2 entries, but the model has 1 output: "out"'):
        model.compile("sgd", ["mse", "mse"])


def test_half_labels() -> None:
    with pytest.raises(UsageError, match="to_categorical: labels must be whole numbers"):
        utils.to_categorical([0.5, 1])
    np.testing.assert_array_equal(utils.to_categorical([0.0, 1.0]), np.eye(2))
    np.testing.assert_array_equal(utils.to_categorical(["0", "1"]), np.eye(2))
