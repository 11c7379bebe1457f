"""`check_layer` finds what is wrong: each layer here breaks one promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpudl import layers, ops, random, registry
from gpudl.autograd import Tensor, differentiable
from gpudl.testing import check_layer


@differentiable
def scaled(x: Any, w: Any, *, wrong_x: float = 1.0, wrong_w: float = 1.0) -> Any:
    return x * w, lambda dy: (dy * w * wrong_x, (dy * x).reshape(-1, *w.shape).sum(axis=0) * wrong_w)


class Scale(layers.Layer):
    """The layer that all others here spoil: y = x * scale, a scale for each feature."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(tuple(input_shape[-1:]), "ones", name="scale")

    def call(self, x: Any) -> Any:
        return scaled(x, self.scale)


class WithoutBaseConstructor(Scale):
    def __init__(self, factor: float, note: str = "") -> None:
        self.factor, self.note = factor, note

    def call(self, x: Any) -> Any:
        return scaled(x, self.scale) * self.factor


class OfLayers(layers.Layer):
    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.first = layers.Dense(units, activation="tanh")
        self.others = [layers.Flatten(), layers.BatchNormalization()]

    def build(self, input_shape: Any) -> None:
        self.last = layers.Dense(2)

    def call(self, x: Any, training: bool = False) -> Any:
        y = self.first(x)
        for layer in self.others:
            y = layer(y)
        return self.last(layers.Dropout(0.3)(y, training=training))


class WrongShape(Scale):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 7)


class ClosedBatch(Scale):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return (3, *input_shape[1:])


class WrongInputGradient(Scale):
    def call(self, x: Any) -> Any:
        return scaled(x, self.scale, wrong_x=1.0001)


class WrongWeightGradient(Scale):
    def call(self, x: Any) -> Any:
        return scaled(x, self.scale, wrong_w=1.0001)


class WrongGradientInTraining(Scale):
    def call(self, x: Any, training: bool = False) -> Any:
        return scaled(x, self.scale, wrong_w=1.001 if training else 1.0)


class Unused(Scale):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.spare = self.add_weight((2,), "zeros", name="spare")


class ChangesItsInput(Scale):
    def call(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            x.data[0] += 1
        return scaled(x, self.scale)


class ChangesItsWeight(Scale):
    def call(self, x: Any) -> Any:
        y = scaled(x, self.scale)
        self.scale.data += 1e-3
        return y


class StateChangesOutsideTraining(Scale):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.calls = self.add_weight((), "zeros", trainable=False, name="calls")

    def call(self, x: Any) -> Any:
        self.calls.data += 1
        return scaled(x, self.scale)


class AlwaysDoublePrecision(Scale):
    def call(self, x: Any) -> Any:
        return scaled(x, self.scale) * np.ones(1)


class FewDigits(Scale):
    def call(self, x: Any) -> Any:
        large = np.float32(1e4) if self.scale.dtype == np.float32 else 0
        return (scaled(x, self.scale) + large) - large


class CutsTheTape(Scale):
    def call(self, x: Any) -> Any:
        return scaled(x.data if isinstance(x, Tensor) else x, self.scale)


class ForgetsSettings(Scale):
    def __init__(self, factor: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return scaled(x, self.scale) * self.factor

    @classmethod
    def from_config(cls, config: Any) -> Any:
        return cls(name=config["name"])


class AddsUpSettings(Scale):
    def __init__(self, factor: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def get_config(self) -> Any:
        return {**super().get_config(), "factor": self.factor + 1}


class TuplesInConfig(Scale):
    def get_config(self) -> Any:
        return {**super().get_config(), "trainable": (1,)}


class DrawsFromNumPy(Scale):
    def call(self, x: Any, training: bool = False) -> Any:
        y = scaled(x, self.scale)
        return y * np.random.default_rng().uniform(0.5, 1.5) if training else y


class DrawsFromItsKey(Scale):
    def call(self, x: Any, training: bool = False) -> Any:
        return ops.dropout(scaled(x, self.scale), rate=0.5, key=random.layer_key()) if training else x * self.scale


@pytest.mark.parametrize(
    ("layer_class", "settings"),
    [(Scale, {}), (WithoutBaseConstructor, {"factor": 2.5}), (OfLayers, {"units": 3}), (DrawsFromItsKey, {})],
)
def test_good_layers_pass(layer_class: Any, settings: dict[str, Any]) -> None:
    check_layer(layer_class, settings, (2, 3))
    check_layer(layer_class, settings, (4,), seed=1)


@pytest.mark.parametrize(
    ("layer_class", "settings", "about"),
    [
        (WrongShape, {}, r"compute_output_shape tells .*7"),
        (ClosedBatch, {}, "keep the batch open"),
        (WrongInputGradient, {}, "gradient of its input"),
        (WrongWeightGradient, {}, 'gradient of weight "scale".*training=False'),
        (WrongGradientInTraining, {}, 'gradient of weight "scale".*training=True'),
        (Unused, {}, 'weight "spare" got no gradient'),
        (ChangesItsInput, {}, "the input after a call"),
        (ChangesItsWeight, {}, 'weight "scale" after a call with training=False'),
        (StateChangesOutsideTraining, {}, 'weight "calls" after a call with training=False'),
        (AlwaysDoublePrecision, {}, "float32 in gave float64 out"),
        (FewDigits, {}, "float32 against float64"),
        (CutsTheTape, {}, "its input got no gradient"),
        (ForgetsSettings, {"factor": 2.0}, "other settings: factor"),
        (AddsUpSettings, {}, "other settings: factor"),
        (TuplesInConfig, {}, "does not survive JSON"),
        (DrawsFromNumPy, {}, "training=True"),
    ],
)
def test_broken_layers_are_found_and_named(layer_class: Any, settings: dict[str, Any], about: str) -> None:
    with pytest.raises(AssertionError, match=f"{layer_class.__name__} .*{about}"):
        check_layer(layer_class, settings, (4,))


def test_an_oracle_is_compared() -> None:
    check_layer(Scale, {}, (3,), oracle=lambda x, weights: x * weights[0])
    with pytest.raises(AssertionError, match="against the oracle"):
        check_layer(Scale, {}, (3,), oracle=lambda x, weights: x * weights[0] * (1 + 1e-9))


class LosesASettingInTheFile(Scale):
    """What `get_config` tells is right only while the layer lives: the file's copy has another factor."""

    made = 0

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        type(self).made += 1
        self.factor = 2.0 if type(self).made > 4 else 1.0

    def call(self, x: Any) -> Any:
        return scaled(x, self.scale) * self.factor


def test_registered_layers_go_through_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.table("layers")
    monkeypatch.setitem(registry._tables["layers"], "scale", Scale)
    monkeypatch.setitem(registry._owners, ("layers", "scale"), "a test")
    check_layer(Scale, {}, (3,))
    monkeypatch.setitem(registry._tables["layers"], "loses", LosesASettingInTheFile)
    monkeypatch.setitem(registry._owners, ("layers", "loses"), "a test")
    with pytest.raises(AssertionError, match="after saving and loading"):
        check_layer(LosesASettingInTheFile, {}, (3,))
