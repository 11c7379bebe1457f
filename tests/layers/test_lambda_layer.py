"""Functions as layers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Model, Sequential, layers, load_model, ops
from gpudl.errors import ModelFileError, UsageError

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def halves(x: Any) -> Any:
    return x[:, :1] * 0.5


def power(x: Any, exponent: float, offset: float = 0.0) -> Any:
    return ops.square(x) * exponent + offset


def test_any_function_of_one_or_several_inputs() -> None:
    assert np.array_equal(layers.Lambda(lambda x: x**2)(X), X**2)
    a, b = Input(shape=(3,)), Input(shape=(3,))
    total = layers.Lambda(lambda both: both[0] - 2 * both[1])([a, b])
    assert total.shape == (None, 3)
    np.testing.assert_array_equal(Model([a, b], total).predict([X, X + 1], verbose=0), X - 2 * (X + 1))
    assert Sequential([Input(shape=(3,)), layers.Lambda(halves)]).output_shape == (None, 1)


def test_arguments_and_the_phase() -> None:
    layer = layers.Lambda(power, arguments={"exponent": 2.0, "offset": 1.0})
    np.testing.assert_array_equal(layer(X), X**2 * 2 + 1)
    phases: list[Any] = []

    def note(x: Any, training: bool | None = None) -> Any:
        phases.append(training)
        return x

    layer = layers.Lambda(note)
    layer(X, training=True)
    layer(X, training=False)
    assert phases == [True, False]


def test_gradients_pass() -> None:
    model = Sequential([Input(shape=(3,)), layers.Dense(2), layers.Lambda(ops.square), layers.Lambda(halves)])
    model.compile("sgd", "mse")
    before = model.get_weights()[0].copy()
    model.fit(X, X[:, :1], verbose=0)
    assert not np.array_equal(before[:, 0], model.get_weights()[0][:, 0])


@pytest.mark.parametrize(
    ("given", "told"),
    [(None, (None, 1)), ((1,), (None, 1)), ([1], (None, 1)), (lambda shape: (shape[0], 1), (None, 1))],
)
def test_output_shape(given: Any, told: Any) -> None:
    assert layers.Lambda(halves, output_shape=given).compute_output_shape((None, 3)) == told


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_files_name_the_function(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{ending}"
    model = Sequential(
        [
            Input(shape=(3,)),
            layers.Lambda("tanh"),
            layers.Lambda(power, arguments={"exponent": 3.0}),
            layers.Lambda(halves, (1,)),
        ]
    )
    model.save(path)
    again = load_model(path, {"power": power, "halves": halves})
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(ModelFileError, match=r'custom_objects={"power": power}'):
        load_model(path, {"halves": halves})


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_code_is_not_saved(ending: str, tmp_path: Path) -> None:
    model = Sequential([Input(shape=(3,)), layers.Lambda(lambda x: x * 2)])
    with pytest.raises(UsageError, match=r"a file cannot name it; define it with def .*register_keras_serializable"):
        model.save(tmp_path / f"m{ending}")


@pytest.mark.parametrize(
    "function",
    [
        {"class_name": "__lambda__", "config": {"code": "4wAAAA==", "defaults": None, "closure": None}},
        ["4wAAAA==", None, None],
        "os.system",
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
    ],
)
def test_code_is_not_loaded(function: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    Sequential([Input(shape=(3,)), layers.Lambda("tanh")]).save(path)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][-1]["config"]["function"] = function
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    with pytest.raises(ModelFileError, match='layer "lambda'):
        load_model(path)


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"function": 3}, "give a function"),
        ({"function": layers.Dense}, "give a function"),
        ({"function": halves, "mask": True}, "no masks"),
        ({"function": "tahn"}, "tanh"),
    ],
)
def test_what_is_no_function(settings: dict[str, Any], about: str) -> None:
    with pytest.raises(UsageError, match=about):
        layers.Lambda(**settings)
