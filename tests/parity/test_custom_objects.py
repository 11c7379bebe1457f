"""A program's own layers, losses and functions: files of either side are read by the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpudl
from gpudl import registry
from gpudl.errors import ModelFileError
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((5, 2)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _own_names(keras: Any) -> Iterator[None]:
    before, theirs = dict(registry._entered), dict(keras.saving.get_custom_objects())
    yield
    registry._entered.clear()
    registry._entered.update(before)
    registry.forget()
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(theirs)


def lesson(of: Any) -> SimpleNamespace:
    """One and the same program, on either framework."""
    ops = of.ops

    class Scaled(of.layers.Layer):
        def __init__(self, units: int, activation: Any = None, kernel_initializer: Any = "ones", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.activation = of.activations.get(activation)
            self.kernel_initializer = of.initializers.get(kernel_initializer)

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer=self.kernel_initializer)

        def call(self, inputs: Any) -> Any:
            return self.activation(ops.matmul(inputs, self.kernel))

        def get_config(self) -> dict[str, Any]:
            config = super().get_config()
            config.update(
                units=self.units,
                activation=of.activations.serialize(self.activation),
                kernel_initializer=of.initializers.serialize(self.kernel_initializer),
            )
            return config

    class Cubic(of.losses.Loss):
        def __init__(self, power: float = 3.0, name: str = "cubic", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.power = power

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean(ops.abs(y_pred - y_true) ** self.power, axis=-1)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "power": self.power}

    class Two(of.Model):
        def __init__(self, units: int = 4, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.hidden = of.layers.Dense(units, activation="relu")
            self.out = Scaled(2, "tanh")

        def call(self, inputs: Any) -> Any:
            return self.out(self.hidden(inputs))

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name, "units": self.units}

    def bent(x: Any) -> Any:
        return ops.maximum(x, x * 0.125)

    def quartic(y_true: Any, y_pred: Any) -> Any:
        return ops.mean((y_pred - y_true) ** 4, axis=-1)

    return SimpleNamespace(Scaled=Scaled, Cubic=Cubic, Two=Two, bent=bent, quartic=quartic)


@pytest.fixture(scope="module")
def programs(keras: Any) -> Callable[[str | None], tuple[Any, Any]]:
    """The lesson on gpudl and on Keras, its names registered in a package, or not where it is None."""

    def programs(package: str | None) -> tuple[Any, Any]:
        both = lesson(gpudl), lesson(keras)
        for of, own in zip((gpudl, keras), both, strict=True):
            for item in vars(own).values():
                if package is not None:
                    of.saving.register_keras_serializable(package)(item)
        return both

    return programs


plans = st.fixed_dictionaries(
    {
        "package": st.sampled_from([None, "Custom", "lesson"]),
        "model": st.sampled_from(["Sequential", "Functional", "Two"]),
        "units": st.integers(1, 4),
        "activation": st.sampled_from([None, "relu", "bent"]),
        "initializer": st.sampled_from(["ones", "glorot_uniform", "he_normal"]),
        "function": st.sampled_from(["bent", "tanh"]),
        "loss": st.sampled_from(["Cubic", "quartic", "mse"]),
        "metrics": st.sampled_from([["mae"], ["quartic"], []]),
        "from_keras": st.booleans(),
    }
)


def made(of: Any, own: Any, plan: dict[str, Any]) -> Any:
    def own_or(name: Any) -> Any:
        return getattr(own, name) if isinstance(name, str) and hasattr(own, name) else name

    if plan["model"] == "Two":
        model = own.Two(plan["units"])
        model(X)
    else:
        function = own_or(plan["function"])
        parts = [
            own.Scaled(plan["units"], own_or(plan["activation"]), plan["initializer"], name="first"),
            of.layers.Lambda(function if callable(function) else of.activations.get(function), name="second"),
            of.layers.Dense(2, activation=own_or(plan["activation"]), name="third"),
        ]
        start = of.Input(shape=(3,), name="start")
        if plan["model"] == "Sequential":
            model = of.Sequential([start, *parts])
        else:
            x = start
            for part in parts:
                x = part(x)
            model = of.Model(start, x)
    loss = own.Cubic(2.5) if plan["loss"] == "Cubic" else own_or(plan["loss"])
    model.compile(of.optimizers.SGD(0.01), loss, metrics=[own_or(name) for name in plan["metrics"]])
    return model


@settings(max_examples=60)
@given(plan=plans)
def test_own_names_travel(
    plan: dict[str, Any], keras: Any, score: Any, programs: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    registry._entered.clear()
    registry.forget()
    keras.saving.get_custom_objects().clear()
    ours, theirs = programs(plan["package"])
    path = str(Path(tmp_path_factory.mktemp("own")) / "m.keras")
    with score("file", "own classes and functions"):
        writer, reader = (keras, gpudl) if plan["from_keras"] else (gpudl, keras)
        own, other = (theirs, ours) if plan["from_keras"] else (ours, theirs)
        model = made(writer, own, plan)
        model.fit(X, Y, epochs=1, verbose=0, shuffle=False)
        model.save(path)
        if plan["package"] is None:
            again = reader.saving.load_model(path, custom_objects=vars(other))
        else:
            again = reader.saving.load_model(path)
        assert [type(layer).__name__ for layer in again.layers] == [type(layer).__name__ for layer in model.layers]
        check_close("output", again.predict(X, verbose=0), model.predict(X, verbose=0), 1e-5)
        for one in (model, again):
            one.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        mine, his = (one.evaluate(X, Y, verbose=0, return_dict=True) for one in (again, model))
        assert mine.keys() == his.keys()
        for name, value in his.items():
            np.testing.assert_allclose(mine[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@settings(max_examples=25)
@given(plan=plans)
def test_what_is_not_lent_is_refused_on_both_sides(
    plan: dict[str, Any], keras: Any, score: Any, programs: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    registry._entered.clear()
    registry.forget()
    keras.saving.get_custom_objects().clear()
    ours, theirs = programs(None)
    path = str(Path(tmp_path_factory.mktemp("own")) / "m.keras")
    made(*((keras, theirs) if plan["from_keras"] else (gpudl, ours)), plan).save(path)
    with score("file", "own classes and functions, not lent"):
        with pytest.raises(TypeError, match="Could not locate"):
            keras.saving.load_model(path)
        with pytest.raises(ModelFileError, match="custom_objects="):
            gpudl.load_model(path)
