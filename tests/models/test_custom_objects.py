"""A program's own classes and functions go through files by name: registered by a decorator, or lent."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Model, Sequential, layers, load_model, losses, metrics, models, ops, registry, saving, utils
from gpudl.errors import ModelFileError, PluginError, UsageError
from gpudl.initializers import Initializer
from gpudl.models.saving import read_file

X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((6, 2)).astype(np.float32)

both = pytest.mark.parametrize("ending", [".safetensors", ".keras"])


@pytest.fixture(autouse=True)
def _own_names() -> Iterator[None]:
    """Forget at the end what a test has registered."""
    before = dict(registry._entered)
    yield
    registry._entered.clear()
    registry._entered.update(before)
    registry.forget()


class Scaled(layers.Layer):
    """A dense layer with settings of several kinds."""

    def __init__(self, units: int, activation: Any = None, kernel_initializer: Any = "ones", **settings: Any) -> None:
        super().__init__(**settings)
        self.units, self.kernel_initializer = units, kernel_initializer
        self.activation = layers.Activation(activation)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((input_shape[-1], self.units), self.kernel_initializer, name="kernel")

    def call(self, x: Any) -> Any:
        return self.activation(ops.matmul(x, self.kernel))


class OldManners(layers.Layer):
    """As lessons write them: with a get_config of its own."""

    def __init__(self, units: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")

    def call(self, inputs: Any) -> Any:
        return ops.matmul(inputs, self.w)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"units": self.units})
        return config


class Offset(Initializer):
    def __init__(self, value: float = 0.5) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: str = "float32") -> np.ndarray:
        return np.full(shape, self.value, dtype)


class Cubic(losses.Loss):
    def __init__(self, power: float = 3.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.power = power

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.abs(y_pred - y_true) ** self.power, axis=-1)


class Largest(metrics.Metric):
    def __init__(self, name: str = "largest", **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.so_far = self.add_variable((), name="so_far")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.so_far.assign(max(float(self.so_far.item()), float(np.max(y_pred))))

    def result(self) -> Any:
        return self.so_far


class Two(Model):
    """A model with a call of its own."""

    def __init__(self, units: int = 4, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units
        self.hidden = layers.Dense(units, activation="relu")
        self.out = Scaled(2, "tanh")

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return self.out(self.hidden(inputs))


def bent(x: Any) -> Any:
    return ops.maximum(x, x * 0.125)


def quartic(y_true: Any, y_pred: Any) -> Any:
    return ops.mean((y_pred - y_true) ** 4, axis=-1)


def shrink(weight: Any) -> Any:
    return ops.sum(ops.abs(weight)) * 0.5


OWN = {item.__name__: item for item in (Scaled, OldManners, Offset, Cubic, Largest, Two, bent, quartic, shrink)}


def network(loss: Any = None) -> Sequential:
    model = Sequential(
        [
            Input(shape=(3,)),
            Scaled(4, bent, Offset(0.25), name="first"),
            OldManners(3),
            layers.Dense(2, activation=bent, kernel_regularizer=shrink),  # pyright: ignore[reportArgumentType]
        ]
    )
    model.compile("adam", loss or Cubic(2.5), metrics=[Largest(), quartic])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def same(again: Any, model: Any, ending: str) -> None:
    assert [type(layer).__name__ for layer in again.layers] == [type(layer).__name__ for layer in model.layers]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y, return_dict=True)
    for one in (again, model):  # the optimizer goes on where it stood
        one.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    for mine, other in zip(again.get_weights(), model.get_weights(), strict=True):
        if ending == ".keras":  # Adam's moments are stored in Keras's scale, so that they come back rounded
            np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_array_equal(mine, other)


@both
@pytest.mark.parametrize("loss", [Cubic(2.5), quartic], ids=["class", "function"])
def test_what_is_lent_comes_back(ending: str, loss: Any, tmp_path: Path) -> None:
    model = network(loss)
    model.save(tmp_path / f"m{ending}")
    same(load_model(tmp_path / f"m{ending}", custom_objects=OWN), model, ending)
    with saving.custom_object_scope(OWN):
        same(load_model(tmp_path / f"m{ending}"), load_model(tmp_path / f"m{ending}"), ending)
    assert not registry.custom_objects.get(), "what is lent is lent for the call only"


@both
def test_what_is_registered_comes_back_by_itself(ending: str, tmp_path: Path) -> None:
    for item in OWN.values():
        assert saving.register_keras_serializable("lesson")(item) is item
    model = network(quartic)
    model.save(tmp_path / f"m{ending}")
    same(load_model(tmp_path / f"m{ending}"), model, ending)
    assert registry.lookup("layers", "scaled") is Scaled
    assert layers.Dense(2, activation="bent").activation is bent


@both
@pytest.mark.parametrize("registered", [False, True])
def test_a_model_with_a_call_of_its_own(ending: str, registered: bool, tmp_path: Path) -> None:
    if registered:
        for item in (Two, Scaled):
            saving.register_keras_serializable()(item)
    model = Two(5)
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / f"m{ending}")
    again = load_model(tmp_path / f"m{ending}", None if registered else OWN)
    assert isinstance(again, Two) and again.units == 5
    same(again, model, ending)


@both
def test_files_name_no_module(ending: str, tmp_path: Path) -> None:
    network().save(tmp_path / f"m{ending}")
    if ending == ".keras":
        with zipfile.ZipFile(tmp_path / "m.keras") as whole:
            text = whole.read("config.json").decode()
    else:
        text = json.dumps(read_file(tmp_path / "m.safetensors")[0])
    assert "test_custom_objects" not in text and __name__ not in text


@both
@pytest.mark.parametrize("missing", ["Scaled", "OldManners", "Offset", "bent", "shrink"])
def test_what_is_not_lent_is_asked_for(ending: str, missing: str, tmp_path: Path) -> None:
    network().save(tmp_path / f"m{ending}")
    with pytest.raises(ModelFileError, match=rf'custom_objects={{"{missing}": {missing}}}'):
        load_model(tmp_path / f"m{ending}", {name: item for name, item in OWN.items() if name != missing})


@both
@pytest.mark.parametrize("missing", ["Cubic", "Largest", "quartic"])
def test_without_the_loss_the_model_is_loaded_but_not_compiled(ending: str, missing: str, tmp_path: Path) -> None:
    model = network()
    model.save(tmp_path / f"m{ending}")
    lent = {name: item for name, item in OWN.items() if name != missing}
    with pytest.warns(UserWarning, match=f'not compiled: .*"{missing}": {missing}'):
        again = load_model(tmp_path / f"m{ending}", lent)
    assert not again.compiled
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert not load_model(tmp_path / f"m{ending}", lent, compile=False).compiled


@both
def test_a_name_lent_for_something_else_is_refused(ending: str, tmp_path: Path) -> None:
    network().save(tmp_path / f"m{ending}")
    for wrong in (bent, Cubic, 3):
        with pytest.raises(ModelFileError, match=r'custom_objects: "Scaled" is .* but the file has a layer'):
            load_model(tmp_path / f"m{ending}", {**OWN, "Scaled": wrong})


def test_an_own_class_named_as_one_of_gpudl_is_not_taken_for_it(tmp_path: Path) -> None:
    own = type("Dropout", (OldManners,), {})
    model = Sequential([Input(shape=(3,)), own(2)])
    for path in (tmp_path / "m.safetensors", tmp_path / "m.keras"):
        model.save(path)
        with pytest.raises(ModelFileError, match=r'"Dropout".*custom_objects={"Dropout": Dropout}'):
            load_model(path)
        assert type(load_model(path, {"Dropout": own}).layers[-1]) is own
    Sequential([Input(shape=(3,)), layers.Dropout(0.5)]).save(tmp_path / "n.safetensors")
    assert type(load_model(tmp_path / "n.safetensors", {"Dropout": own}).layers[-1]) is layers.Dropout


def test_a_function_without_a_name_is_refused_at_saving(tmp_path: Path) -> None:
    model = Sequential([Input(shape=(3,)), layers.Dense(2, activation=lambda x: x)])
    for path in (tmp_path / "m.safetensors", tmp_path / "m.keras"):
        with pytest.raises(UsageError, match=r"register_keras_serializable.*hook register_activations of a plugin"):
            model.save(path)
    assert not list(tmp_path.iterdir())


def test_a_cell_may_run_again(tmp_path: Path) -> None:
    cell = """
@register(package="mine")
class Half(layers.Layer):
    def call(self, x):
        return x * 0.5
"""
    namespace: dict[str, Any] = {
        "register": saving.register_keras_serializable, "layers": layers, "__name__": "__main__"
    }  # fmt: skip
    exec(cell, namespace)
    older = Sequential([Input(shape=(3,)), namespace["Half"]()])
    exec(cell, namespace)
    assert registry.lookup("layers", "half") is namespace["Half"]
    older.save(tmp_path / "m.safetensors")
    assert type(load_model(tmp_path / "m.safetensors").layers[-1]) is namespace["Half"]
    registry.forget()
    assert registry.lookup("layers", "half") is namespace["Half"], "plugins are looked for anew, the program stays"


def test_taken_names_are_errors_that_name_both() -> None:
    own = type("Dense", (layers.Layer,), {})
    with pytest.raises(PluginError, match=r'"dense", of .*\.Dense, is taken by gpudl\.layers.* of gpudl.*"MyDense"'):
        saving.register_keras_serializable()(own)
    saving.register_keras_serializable("p")(Scaled)
    other = type("Scaled", (layers.Layer,), {"__module__": "elsewhere"})
    with pytest.raises(PluginError, match=r"of elsewhere\.Scaled, is taken by .*_objects\.Scaled of p>Scaled"):
        saving.register_keras_serializable("q")(other)
    saving.register_keras_serializable("q", name="Other")(other)
    assert registry.lookup("layers", "other") is other


def test_registered_names_and_objects() -> None:
    assert saving.get_registered_name(Scaled) == "Scaled"
    saving.register_keras_serializable("p", name="Thing")(Scaled)
    assert saving.get_registered_name(Scaled) == utils.get_registered_name(Scaled) == "p>Thing"
    assert saving.get_registered_object("p>Thing") is Scaled
    assert saving.get_registered_object("Thing") is None
    with saving.custom_object_scope({"Thing": Two}), saving.CustomObjectScope({"bent": bent}):
        assert saving.get_registered_object("Thing") is Two
        assert layers.Dense(1, activation="bent").activation is bent


@pytest.mark.parametrize(
    ("wrong", "about"),
    [(type("Bare", (), {}), "Bare is of no kind"), (3, "neither a class nor a function")],
)
def test_what_no_file_holds_is_not_registered(wrong: Any, about: str) -> None:
    with pytest.raises(UsageError, match=about):
        saving.register_keras_serializable()(wrong)


def test_without_parentheses_the_decorator_says_so() -> None:
    with pytest.raises(UsageError, match=r"@register_keras_serializable\(\)"):
        saving.register_keras_serializable(Scaled)  # pyright: ignore[reportArgumentType]


def test_code_of_files_is_never_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="never runs code"):
        load_model(tmp_path / "m.keras", safe_mode=False)
    with pytest.raises(UsageError, match="must be a dict"):
        load_model(tmp_path / "m.keras", [Scaled])  # pyright: ignore[reportArgumentType]


def test_text_of_an_architecture() -> None:
    model = network()
    again = models.model_from_json(model.to_json(), custom_objects=OWN)
    assert again.to_json() == model.to_json()


class Shifted(layers.Layer):
    def call(self, x: Any) -> Any:
        return x + 1.0


def test_models_of_ones_own_layers_are_cloned_and_made_again() -> None:
    x = Input((3,))
    functional = Model(x, layers.Dense(2)(Shifted()(x)))
    nested = Model(x, layers.Dense(2)(Sequential([Input((3,)), Shifted()])(x)))
    assert isinstance(models.clone_model(nested).layers[1].layers[0], Shifted)
    for model in (functional, Sequential([Input((3,)), Shifted(), layers.Dense(2)])):
        again = models.clone_model(model)
        assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
        made = type(model).from_config(model.get_config(), custom_objects={"Shifted": Shifted})
        made.set_weights(model.get_weights())
        np.testing.assert_array_equal(made.predict(X, verbose=0), model.predict(X, verbose=0))
    assert [w.path for w in functional.weights] == [f"{functional.layers[2].name}/{n}" for n in ("kernel", "bias")]
