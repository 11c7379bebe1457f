"""Variables of no layer, as lessons that train by hand use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpudl as keras
from gpudl import Parameter, initializers, ops
from gpudl.errors import UsageError

SMALL = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("given", "shape", "dtype", "values", "stored"),
    [
        (0.5, None, None, 0.5, "float32"),
        (2, None, None, 2.0, "float32"),
        ([1, 2], None, None, [1.0, 2.0], "float32"),
        (SMALL, None, None, SMALL, "float64"),
        (SMALL, (2, 3), "float32", SMALL, "float32"),
        (ops.convert_to_tensor(SMALL), None, "float32", SMALL, "float32"),
        ("ones", (2, 3), None, np.ones((2, 3)), "float32"),
        ("zeros", 3, "float64", np.zeros(3), "float64"),
        (initializers.Constant(3.0), (), None, 3.0, "float32"),
        (lambda shape, dtype: np.full(shape, 4, dtype), (2,), None, [4.0, 4.0], "float32"),
        (0, None, "int32", 0, "int32"),
    ],
)
def test_values(given: Any, shape: Any, dtype: str | None, values: Any, stored: str) -> None:
    variable = keras.Variable(given, shape=shape, dtype=dtype)
    assert isinstance(variable, Parameter)
    np.testing.assert_array_equal(variable.numpy(), values)
    assert variable.dtype == stored and variable.shape == np.shape(values)
    assert variable.trainable == (stored != "int32")


def test_what_was_given_stays_as_it_is() -> None:
    source = SMALL.copy()
    variable = keras.Variable(source)
    variable.assign_add(np.ones((2, 3)))
    assert np.array_equal(source, SMALL) and np.array_equal(variable.numpy(), SMALL + 1)


def test_names() -> None:
    assert keras.Variable(0.0, name="w").name == "w"
    one, two = keras.Variable(0.0), keras.Variable(0.0)
    assert one.name.startswith("variable") and one.name != two.name


def test_misfits_are_errors() -> None:
    with pytest.raises(UsageError, match="an initializer needs a shape"):
        keras.Variable("zeros")
    with pytest.raises(UsageError, match=r'"w": shape=\(3,\), but the values given have shape \(2, 3\)'):
        keras.Variable(SMALL, shape=(3,), name="w")


def test_a_line_is_fitted_by_hand() -> None:
    x = np.linspace(-1, 1, 50, dtype=np.float32)
    y = 3 * x + 1
    w, b = keras.Variable(0.0), keras.Variable(0.0)
    optimizer = keras.optimizers.SGD(learning_rate=0.3)
    for _ in range(100):
        loss = ops.mean((w * x + b - y) ** 2)
        loss.backward()
        optimizer.apply([w, b])
    np.testing.assert_allclose([w.numpy(), b.numpy()], [3, 1], atol=1e-4)


def test_a_frozen_variable_stays() -> None:
    w, fixed = keras.Variable(1.0), keras.Variable(1.0, trainable=False)
    (w * fixed * 2).backward()
    assert w.grad == 2 and fixed.grad is None


def test_variables_of_layers_are_their_weights() -> None:
    class Line(keras.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.slope = keras.Variable(0.5, name="slope")
            self.seen = keras.Variable(0.0, trainable=False, name="seen")

        def call(self, x: Any) -> Any:
            return x * self.slope

    model = keras.Sequential([keras.Input(shape=(1,)), Line()])
    assert [w.name for w in model.trainable_weights] == ["slope"]
    assert [w.name for w in model.non_trainable_weights] == ["seen"]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    model.fit(x, 2 * x, epochs=60, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], 2, atol=0.02)
    model.layers[0].trainable = False
    assert model.trainable_weights == []
