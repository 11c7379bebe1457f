"""Activations by name, by configuration, and layers in their place."""

from __future__ import annotations

import numpy as np
import pytest

from gpudl import Sequential, activations, layers, models, ops, registry
from gpudl.errors import ShapeError, UnknownNameError, UsageError


def test_get() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get("relu") is activations.relu is ops.relu
    assert activations.get({"type": "relu"}) is activations.relu
    assert activations.get(np.sin) is np.sin
    with pytest.raises(UnknownNameError, match='did you mean "relu"'):
        activations.get("rleu")
    with pytest.raises(UsageError, match="takes no settings here"):
        activations.get({"type": "celu", "alpha": 0.5})
    with pytest.raises(UsageError, match="neither a name nor a function"):
        activations.get(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="not registered"):
        activations.serialize(lambda x: x)


def test_every_name_is_a_function_of_the_module() -> None:
    for name, function in registry.table("activations").items():
        if registry.owner("activations", name) == "gpudl":
            assert getattr(activations, name) is function
            assert activations.get(activations.serialize(function)) is function


def test_gelu_is_exact_here_and_approximate_among_the_ops() -> None:
    x = np.linspace(-3, 3, 50)
    assert 1e-5 < np.abs(activations.gelu(x) - ops.gelu(x)).max() < 1e-3
    assert (activations.gelu(x, True) == ops.gelu(x)).all() and (ops.gelu(x, False) == activations.gelu(x)).all()


def test_a_layer_may_stand_for_an_activation(tmp_path: object) -> None:
    """Its settings are saved with the layer it belongs to."""
    inner = layers.LeakyReLU(0.125)
    dense = layers.Dense(3, activation=inner)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    expected = np.asarray(dense(x))
    model = Sequential([layers.Input((4,)), dense])
    model.save(f"{tmp_path}/model.safetensors")
    again = models.load_model(f"{tmp_path}/model.safetensors").layers[0]
    assert again.activation.negative_slope == 0.125
    np.testing.assert_array_equal(np.asarray(again(x)), expected)
    assert (expected < 0).any()


def test_what_layers_refuse() -> None:
    x = np.ones((2, 3, 4), np.float32)
    with pytest.raises(UsageError, match="there are no masks"):
        layers.Softmax()(x, mask=x)
    with pytest.raises(UsageError, match="at least one axis"):
        layers.Softmax(axis=())
    with pytest.raises(ShapeError, match=r"axis=3 is not an axis of an input of shape \(2, 3, 4\)"):
        layers.Softmax(axis=3)(x)
    with pytest.raises(UsageError, match="axes count from 1"):
        layers.PReLU(shared_axes=(0,))
    with pytest.raises(ShapeError, match=r"shared_axes=\(3,\)"):
        layers.PReLU(shared_axes=3)(x)
    with pytest.raises(ShapeError, match="has no fixed length; put it among shared_axes"):
        layers.PReLU().build_for((None, None, 4))
    layer = layers.PReLU()
    layer(x)
    with pytest.raises(ShapeError, match=r"alpha of shape \(3, 4\), but called on \(2, 5, 4\)"):
        layer(np.ones((2, 5, 4), np.float32))
    shared = layers.PReLU(shared_axes=1)
    shared.build_for((None, None, 4))
    for length in (3, 5):
        assert shared(np.ones((2, length, 4), np.float32)).shape == (2, length, 4)
