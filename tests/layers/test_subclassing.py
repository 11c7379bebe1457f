"""Layers of one's own: what a subclass need not do, and what comes of what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, layers, load_model, ops, registry
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


def test_build_called_by_hand_counts() -> None:
    dense = layers.Dense(2, kernel_initializer="ones")
    dense.build((None, 5))
    dense.set_weights([np.full((5, 2), 2.0), np.ones(2)])
    np.testing.assert_array_equal(dense(np.ones((1, 5), np.float32)).numpy(), [[11, 11]])
    assert len(dense.weights) == 2


def test_a_layer_that_builds_its_layers_builds_them_once() -> None:
    class Two(layers.Layer):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.first, self.second = layers.Dense(3), layers.Dense(2)

        def build(self, input_shape: Any) -> None:
            self.first.build(input_shape)
            self.second.build((None, 3))

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    two = Two()
    two(np.ones((1, 5), np.float32))
    assert two.count_params() == 5 * 3 + 3 + 3 * 2 + 2


def test_a_layer_of_ones_own_cannot_change_the_data() -> None:
    class Scale(layers.Layer):
        def call(self, x: Any) -> Any:
            x /= 255.0
            return x

    x = np.full((4, 2), 255, np.float32)
    np.testing.assert_array_equal(Scale()(x), np.ones((4, 2)))
    assert x.min() == 255


def test_a_layer_of_ones_own_is_given_integers_as_they_are() -> None:
    class Looked(layers.Layer):
        def call(self, x: Any) -> Any:
            return np.arange(10.0, dtype=np.float32)[x]

    np.testing.assert_array_equal(Looked()(np.array([[3, 1]])), [[3, 1]])


def test_a_call_that_returns_nothing_is_named() -> None:
    class Forgotten(layers.Layer):
        def call(self, x: Any) -> Any:
            ops.relu(x)

    with pytest.raises(UsageError, match=r"Forgotten.*call returned None; end it with return"):
        Forgotten()(np.ones((1, 2)))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: layers.Dense(3)([x, x]), "takes one input, but was called on 2; join them"),
        (lambda x: layers.Conv2D(3, 3)([Input((8, 8, 1)), Input((8, 8, 1))]), "takes one input, but was called on 2"),
        (lambda x: layers.Dense(3)(None), "was called on None"),
        (lambda x: layers.Dense(3)(), "was called on nothing"),
        (lambda x: layers.Dense(3)("x"), "was called on 'x'"),
        (lambda x: layers.Dense(3, name=3), "name must be a string"),
        (lambda x: layers.Dense(3, name="a/b"), "separates names of layers"),
        (lambda x: layers.Dense(3, trainable="no"), "trainable must be True or False"),
        (lambda x: layers.Dense(3, kernel_initializer=0.5), "initializer=0.5 is no initializer"),
        (lambda x: layers.Dropout(0.5, seed=2.5), "seed must be an integer"),
        (lambda x: layers.BatchNormalization(axis=(1, 2)), "axis must be an integer"),
        (lambda x: layers.Rescaling("1/255"), "scale must be a number"),
        (lambda x: layers.Embedding(10, 4)(np.array([[0.5]])), "takes whole numbers"),
    ],
)
def test_what_a_layer_is_not_to_be_given(call: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call(np.ones((2, 4), np.float32))


def test_arguments_of_older_lessons() -> None:
    assert Sequential([layers.Dense(3, input_dim=8)]).output_shape == (None, 3)  # pyright: ignore[reportCallIssue]
    assert layers.LeakyReLU(alpha=0.1).negative_slope == 0.1  # pyright: ignore[reportCallIssue]
    assert layers.Embedding(9, 2, input_length=4).output_dim == 2  # pyright: ignore[reportCallIssue]
    assert layers.Dense(np.int64(3)).units == 3  # pyright: ignore[reportArgumentType]


def test_two_layers_with_one_seed_draw_the_same() -> None:
    x = np.ones((50, 20), np.float32)
    one, other = layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3)
    first = one(x, training=True)
    np.testing.assert_array_equal(first, other(x, training=True))
    assert (one(x, training=True) != first).any()


def test_a_frozen_model_keeps_what_is_thawed_in_it() -> None:
    model = Sequential([Input((3,)), layers.Dense(2), layers.Dense(1)])
    model.trainable = False
    model.layers[-1].trainable = True
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 4
    model.trainable = True
    assert len(model.trainable_weights) == 4
