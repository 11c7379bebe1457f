"""Names and settings under which Keras's programs ask for them."""

from __future__ import annotations

import numpy as np
import pytest

import gpudl
from gpudl import layers, naming
from gpudl.autograd import Parameter
from gpudl.errors import UsageError


def test_names_are_numbered_from_the_beginning_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_counts", naming._counts.copy())
    gpudl.utils.clear_session()
    assert [layers.Dense(1).name, layers.Dense(1).name] == ["dense", "dense_1"]
    gpudl.backend.clear_session()
    assert layers.Dense(1).name == "dense"


def test_what_is_fixed() -> None:
    for part in (gpudl.config, gpudl.backend):
        assert (part.floatx(), part.epsilon(), part.image_data_format()) == ("float32", 1e-7, "channels_last")
        part.set_floatx("float32")
        part.set_image_data_format("channels_last")
        with pytest.raises(UsageError, match='dtype="float64"'):
            part.set_floatx("float64")
        with pytest.raises(UsageError, match='data_format="channels_first"'):
            part.set_image_data_format("channels_first")
    assert gpudl.version() == gpudl.__version__
    assert gpudl.Layer is layers.Layer


def test_weights_and_rates_are_changed_in_place() -> None:
    weight = Parameter(np.array([1.0, 2.0], "float32"))
    data = weight.data
    weight.assign_add([1.0, 1.0])
    weight.assign_sub(Parameter(np.array([0.5, 0.0])))
    np.testing.assert_array_equal(data, [1.5, 3.0])
    with pytest.raises(UsageError, match="has shape"):
        weight.assign_add(np.ones((3, 2)))
    optimizer = gpudl.optimizers.Adam(0.5)
    optimizer.learning_rate.assign(0.25)
    assert optimizer.learning_rate == 0.25 and optimizer.learning_rate.numpy().dtype == np.float32
    assert optimizer.get_config()["learning_rate"] == 0.25


def test_architecture_as_text() -> None:
    model = gpudl.Sequential([gpudl.Input((4,)), layers.Dense(3, activation="relu", name="a"), layers.Dropout(0.5)])
    again = gpudl.models.model_from_json(model.to_json(indent=2))
    assert again.to_json() == model.to_json()
    assert [w.shape for w in again.weights] == [(4, 3), (3,)]
    with pytest.raises(gpudl.errors.ModelFileError, match="is no JSON"):
        gpudl.models.model_from_json("{")
    with pytest.raises(gpudl.errors.ModelFileError):
        gpudl.models.model_from_json('{"class_name": "Dense", "config": {"units": 3}}')
