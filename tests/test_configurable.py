"""Objects remember how they were made; the registry writes them down and makes them again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gpudl import activations, initializers, layers, optimizers, registry, schedules
from gpudl.configurable import Configurable
from gpudl.errors import UnknownNameError, UsageError
from gpudl.hookspecs import KINDS


class Thing(Configurable):
    kind = "layers"

    def __init__(self, size: Any, *, factor: Any = 2.0, **rest: Any) -> None:
        self.size = size


def test_arguments_by_position_name_default_and_rest() -> None:
    assert Thing(3, colour="red").get_config() == {"size": 3, "factor": 2.0, "colour": "red"}
    assert Thing.from_config({"size": 4, "factor": 1}).get_config() == {"size": 4, "factor": 1}
    assert Configurable().get_config() == {}


def test_values_are_written_as_json_holds_them() -> None:
    config = Thing((1, (2, 3)), factor={"a": np.float32(0.5), 3: None}).get_config()
    assert config == {"size": [1, [2, 3]], "factor": {"a": 0.5, "3": None}}
    assert json.loads(json.dumps(config)) == config
    inner = Thing(activations.relu, factor=initializers.Constant(2.0)).get_config()
    assert inner == {"size": "relu", "factor": {"type": "constant", "value": 2.0}}
    assert Thing(initializers.HeNormal).get_config()["size"] == "he_normal"
    optimizer = optimizers.SGD(schedules.ExponentialDecay(1.0, 2, 0.5))
    assert optimizer.get_config()["learning_rate"]["type"] == "exponential_decay"


def test_what_cannot_be_written_down_is_named() -> None:
    with pytest.raises(UsageError, match=r"Thing\(size=\.\.\.\) holds a set"):
        Thing({1, 2}).get_config()
    with pytest.raises(UsageError, match=r"Thing\(factor=\.\.\.\) holds a object"):
        Thing(1, factor=[object()]).get_config()
    with pytest.raises(UsageError, match="is not registered among the activations"):
        Thing(lambda x: x).get_config()

    class Many(Configurable):
        def __init__(self, *things: Any) -> None:
            self.things = things

    with pytest.raises(UsageError, match=r"constructor with \*things cannot be saved"):
        Many(1, 2).get_config()


def test_changing_what_was_given_does_not_change_the_config() -> None:
    given = [1, 2]
    config = Thing(given).get_config()
    config["size"].append(3)
    assert Thing(given).get_config()["size"] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "spec", "cls"),
    [
        ("layers", "Flatten", layers.Flatten),
        ("layers", "flatten", layers.Flatten),
        ("layers", {"type": "dense", "units": 3}, layers.Dense),
        ("layers", {"type": "Conv2D", "filters": 3, "kernel_size": [2, 2]}, layers.Conv2D),
        ("layers", layers.Flatten, layers.Flatten),
        ("optimizers", "RMSprop", optimizers.RMSprop),
        ("optimizers", "SGD", optimizers.SGD),
        ("initializers", "GlorotUniform", initializers.GlorotUniform),
    ],
)
def test_resolve(kind: str, spec: Any, cls: type) -> None:
    assert type(registry.resolve(kind, spec)) is cls


def test_resolve_leaves_objects_as_they_are_and_does_not_change_settings() -> None:
    layer = layers.Dense(3)
    assert registry.resolve("layers", layer) is layer
    assert registry.resolve("activations", "relu") is activations.relu
    settings = {"type": "dense", "units": 3, "kernel_initializer": {"type": "constant", "value": 2.0}}
    made = registry.resolve("layers", settings)
    assert settings["type"] == "dense"
    assert (made(np.ones((1, 2))).numpy() == 4).all()


def test_resolve_refuses() -> None:
    with pytest.raises(UnknownNameError, match='unknown layer "dens"; did you mean "dense"'):
        registry.resolve("layers", "dens")
    with pytest.raises(UnknownNameError, match="known: "):
        registry.resolve("schedules", "zzzzzz")
    with pytest.raises(UsageError, match='has no "type"'):
        registry.resolve("layers", {"units": 3})
    with pytest.raises(UnknownNameError, match='"colours" is not a kind'):
        registry.resolve("colours", "red")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"commands"}))
def test_everything_registered_has_a_name_that_finds_it(kind: str) -> None:
    names = registry.table(kind)
    assert names
    for name, item in names.items():
        assert registry.lookup(kind, name) is item
        if name != "exact_accuracy":  # as in Keras, "Accuracy" in a list of metrics is the one chosen by the shapes
            assert registry.lookup(kind, getattr(item, "__name__", name)) is item
        first = registry.name_of(kind, item)
        assert names[first] is item
        assert registry.owner(kind, name)


def test_class_names_that_snake_case_does_not_lead_to() -> None:
    from gpudl.callbacks import TerminateOnNaN

    assert registry.lookup("layers", "InputLayer") is layers.InputLayer
    assert registry.lookup("callbacks", "TerminateOnNaN") is TerminateOnNaN
    assert registry.owner("layers", "dense") == "gpudl"
