"""Layers of one's own: what a subclass need not do, and what comes of what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Sequential, layers, load_model, registry
from gpudl.errors import ModelFileError, UsageError


class Double(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * 2.0


class Linear(layers.Layer):
    def __init__(self, units: int, bias: float = 0.5) -> None:
        self.units, self.start = units, bias

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((input_shape[-1], self.units), "ones", name="kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.seen = self.add_weight((), "zeros", trainable=False, name="seen")

    def call(self, x: Any) -> Any:
        return x @ self.kernel + self.bias + self.start


class Block(layers.Layer):
    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.dense = layers.Dense(units)
        self.pair = (layers.BatchNormalization(), layers.Dropout(0.5))

    def call(self, x: Any) -> Any:
        x = self.dense(x)
        for layer in self.pair:
            x = layer(x)
        return x


class Phase(layers.Layer):
    """Gives 1 in training and 0 outside."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x * 0.0 + float(training)


class Wrapper(layers.Layer):
    """Does not know `training`; the layer inside does."""

    def __init__(self) -> None:
        self.inner = Phase()

    def call(self, x: Any) -> Any:
        return self.inner(x)


class Silences(layers.Layer):
    """Runs what is inside as in inference, whatever goes on around it."""

    def __init__(self) -> None:
        self.inner = Phase()

    def call(self, x: Any) -> Any:
        return self.inner(x, training=False)


X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_the_smallest_layer() -> None:
    layer = Double()
    np.testing.assert_array_equal(layer(X), 2 * X)
    assert layer.compute_output_shape((None, 5)) == (None, 5)
    assert layer.weights == [] and layer.count_params() == 0
    assert layer.name.startswith("double")


def test_a_constructor_that_does_not_call_the_base() -> None:
    layer = Linear(2)
    np.testing.assert_array_equal(layer(X).numpy(), X.sum(axis=1, keepdims=True).repeat(2, axis=1) + 0.5)
    config = layer.get_config()
    assert config == {"units": 2, "bias": 0.5, "name": layer.name}
    twin = Linear.from_config(config)
    assert twin.name == layer.name and twin.units == 2
    assert [w.name for w in layer.weights] == ["kernel", "bias", "seen"]
    assert [w.name for w in layer.trainable_weights] == ["kernel", "bias"]
    assert [w.name for w in layer.non_trainable_weights] == ["seen"]


def test_sublayers_in_attributes_and_tuples_belong_to_the_layer() -> None:
    layer = Block(4)
    layer(X)
    assert [w.name for w in layer.weights] == ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]
    assert layer.count_params() == 3 * 4 + 4 + 4 * 4
    layer.trainable = False
    assert layer.trainable_weights == []
    layer.trainable = True
    assert len(layer.trainable_weights) == 4


def test_a_weight_reached_twice_counts_once() -> None:
    layer = Block(4)
    layer.again = layer.dense  # pyright: ignore[reportAttributeAccessIssue]
    layer(X)
    assert len(layer.weights) == 6


def test_training_reaches_sublayers_through_layers_that_do_not_know_it() -> None:
    for layer in (Phase(), Wrapper(), Sequential([Wrapper()])):
        assert (layer(X, training=True) == 1).all()
        assert (layer(X, training=False) == 0).all()
        assert (layer(X) == 0).all(), "outside training is the default"
    assert (Silences()(X, training=True) == 0).all()


def test_an_error_inside_a_call_leaves_the_phase_as_it_was() -> None:
    class Fails(layers.Layer):
        def call(self, x: Any) -> Any:
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        Fails()(X, training=True)
    assert (Phase()(X) == 0).all()


def test_a_layer_without_call_says_so() -> None:
    with pytest.raises(UsageError, match=r"Bare must define call\(x\)"):
        type("Bare", (layers.Layer,), {})()(X)


def test_a_constructor_argument_that_no_file_can_hold_is_named() -> None:
    class Holds(layers.Layer):
        def __init__(self, thing: Any) -> None:
            self.thing = thing

    with pytest.raises(UsageError, match=r"Holds\(thing=...\) holds a set"):
        Holds({1, 2}).get_config()
    assert Holds(np.arange(3)).get_config()["thing"] == [0, 1, 2], "an array is written as a list"


def test_a_layer_that_is_not_registered_is_lent_to_the_reader(tmp_path: Path) -> None:
    model = Sequential([layers.Input(shape=(3,)), Linear(2)])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((2, 2)), verbose=0)
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match=r'"Linear" is a program\'s own; lend.*custom_objects={"Linear": Linear}'):
        load_model(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", {"Linear": Linear})
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_registered_layer_is_saved_with_its_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.table("layers")
    with monkeypatch.context() as plugged:
        plugged.setitem(registry._tables["layers"], "linear", Linear)
        plugged.setitem(registry._owners, ("layers", "linear"), "gpudl-linear 1.0")
        model = Sequential([layers.Input(shape=(3,)), Linear(2, bias=0.25)])
        model.save(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").predict(X), model.predict(X))
    with pytest.raises(ModelFileError, match=r'unknown layer "linear".*gpudl-linear 1\.0'):
        load_model(tmp_path / "model.safetensors")
