"""Files that travel between gpudl and Keras: what one wrote the other reads, to the bit."""

from __future__ import annotations

import inspect
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpudl
from gpudl import registry
from gpudl.errors import UsageError
from gpudl.hookspecs import KINDS
from gpudl.models.keras_files.config import MODULES, configured, described
from gpudl.models.keras_files.models import configure, make
from gpudl.plugins import builtins
from gpudl.testing import check_close

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")]

EXAMPLES = 40

Plan = list[tuple[str, Any]]
"""Layers by class name and arguments; the arguments of a "Sequential" are a plan."""

activations = st.sampled_from(["relu", "sigmoid", "tanh", "linear", None])
initial = st.sampled_from(["glorot_uniform", "he_normal", "zeros"])
penalties = st.sampled_from([None, "l2", "l1"])


def _everywhere() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Layers for inputs of any number of axes."""
    return st.one_of(
        st.tuples(
            st.just("Dense"),
            st.fixed_dictionaries(
                {"units": st.integers(1, 4), "activation": activations, "use_bias": st.booleans()},
                optional={"kernel_initializer": initial, "kernel_regularizer": penalties, "trainable": st.booleans()},
            ),
        ),
        st.tuples(
            st.just("BatchNormalization"),
            st.fixed_dictionaries(
                {"center": st.booleans(), "scale": st.booleans()},
                optional={"momentum": st.just(0.9), "epsilon": st.just(0.01), "trainable": st.booleans()},
            ),
        ),
        st.tuples(st.just("Dropout"), st.fixed_dictionaries({"rate": st.sampled_from([0.0, 0.3])})),
        st.tuples(st.just("Activation"), st.fixed_dictionaries({"activation": st.sampled_from(["relu", "softmax"])})),
        st.tuples(st.just("Rescaling"), st.fixed_dictionaries({"scale": st.just(0.5), "offset": st.just(0.25)})),
    )


def _of_images() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    windows = {"pool_size": st.integers(1, 2), "padding": st.just("same")}
    return st.one_of(
        _everywhere(),
        st.tuples(
            st.just("Conv2D"),
            st.fixed_dictionaries(
                {
                    "filters": st.integers(1, 4),
                    "kernel_size": st.integers(1, 3) | st.tuples(st.integers(1, 3), st.integers(1, 2)),
                    "padding": st.just("same"),
                    "activation": activations,
                    "use_bias": st.booleans(),
                },
                optional={"strides": st.integers(1, 2), "kernel_constraint": st.sampled_from([None, "max_norm"])},
            ),
        ),
        st.tuples(st.just("MaxPooling2D"), st.fixed_dictionaries(windows, optional={"strides": st.just(1)})),
        st.tuples(st.just("AveragePooling2D"), st.fixed_dictionaries(windows)),
    )


def _in_one_another(layers: st.SearchStrategy[Any]) -> st.SearchStrategy[Plan]:
    """Some layers, some of them models of their own."""
    inner = st.tuples(st.just("Sequential"), st.lists(layers, min_size=1, max_size=3))
    return st.lists(layers | inner, max_size=4)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A network for images: layers of images, then rows, then a last layer; some named as lessons name them."""
    bridge = draw(st.sampled_from(["Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"]))
    rows = draw(_in_one_another(_everywhere()))
    if draw(st.booleans()):
        rows = [("Reshape", {"target_shape": (-1, 1)}), *rows, ("Flatten", {})]
    name = draw(st.sampled_from([None, "output", "dense_999"]))
    last = ("Dense", {"units": 3, "activation": "softmax", "name": name})
    return [*draw(_in_one_another(_of_images())), (bridge, {}), *rows, last]


def assemble(library: Any, plan: Plan, image: tuple[int, ...] | None = None, earlier: int = 0) -> Any:
    """Make the model of a plan in gpudl or Keras; `earlier` layers are made before, so that names count on."""
    for _ in range(earlier):
        library.layers.Dense(1)
        library.layers.Conv2D(1, 1)
    model = library.Sequential([] if image is None else [library.Input(shape=image)])
    for name, arguments in plan:
        if name == "Sequential":
            model.add(assemble(library, arguments))
        else:
            model.add(getattr(library.layers, name)(**arguments))
    return model


def values(model: Any, seed: int) -> list[np.ndarray]:
    """Random values for all weights, positive where a variance may be."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.1, 1, tuple(weight.shape)).astype(np.float32) for weight in model.weights]


def same(ours: Any, theirs: Any, x: np.ndarray) -> None:
    """The same weights to the bit, in the same order and equally trainable; the same predictions."""
    assert [weight.trainable for weight in ours.weights] == [weight.trainable for weight in theirs.weights]
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, np.asarray(other))
    check_close("predictions", ours.predict(x, verbose=0), np.asarray(theirs.predict(x, verbose=0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


draws = given(plan=plans(), seed=st.integers(0, 999), earlier=st.integers(0, 2), built_first=st.booleans())


def both(keras: Any, plan: Plan, seed: int, earlier: int, built_first: bool) -> tuple[Any, Any, np.ndarray]:
    """The same plan in both, with other weights and other names."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 5, 4, 2)).astype(np.float32)
    image = x.shape[1:] if built_first else None
    ours, theirs = assemble(gpudl, plan, image, earlier), assemble(keras, plan, image)
    if not built_first:
        ours.build((None, *x.shape[1:]))
        theirs.build((None, *x.shape[1:]))
    ours.set_weights(values(ours, seed))
    theirs.set_weights(values(theirs, seed + 1))
    return ours, theirs, x


@draws
@settings(max_examples=EXAMPLES)
def test_weights_from_keras(
    keras: Any, score: Callable[..., Any], folder: Path, plan: Plan, seed: int, earlier: int, built_first: bool
) -> None:
    with score("file", ".weights.h5 from Keras"):
        ours, theirs, x = both(keras, plan, seed, earlier, built_first)
        theirs.save_weights(folder / "theirs.weights.h5")
        ours.load_weights(folder / "theirs.weights.h5")
        same(ours, theirs, x)


@draws
@settings(max_examples=EXAMPLES)
def test_weights_to_keras(
    keras: Any, score: Callable[..., Any], folder: Path, plan: Plan, seed: int, earlier: int, built_first: bool
) -> None:
    with score("file", ".weights.h5 to Keras"):
        ours, theirs, x = both(keras, plan, seed, earlier, built_first)
        ours.save_weights(folder / "ours.weights.h5")
        theirs.load_weights(folder / "ours.weights.h5")
        same(ours, theirs, x)


@draws
@settings(max_examples=EXAMPLES)
def test_models_from_keras(
    keras: Any, score: Callable[..., Any], folder: Path, plan: Plan, seed: int, earlier: int, built_first: bool
) -> None:
    with score("file", ".keras from Keras"):
        _, theirs, x = both(keras, plan, seed, earlier, built_first)
        theirs.save(folder / "theirs.keras")
        ours = gpudl.models.load_model(folder / "theirs.keras")
        assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
        same(ours, theirs, x)


@draws
@settings(max_examples=EXAMPLES)
def test_models_to_keras(
    keras: Any, score: Callable[..., Any], folder: Path, plan: Plan, seed: int, earlier: int, built_first: bool
) -> None:
    with score("file", ".keras to Keras"):
        ours, _, x = both(keras, plan, seed, earlier, built_first)
        ours.save(folder / "ours.keras")
        theirs = keras.models.load_model(folder / "ours.keras")
        assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
        same(ours, theirs, x)
        again = gpudl.models.load_model(folder / "ours.keras")
        same(again, theirs, x)


# Functional models

Step = tuple[str, int, int]
"""What is made next, and of which two of the tensors there are."""

STEPS = (
    "dense", "shared", "normalized", "sequential", "model", "dropped", "add", "multiply", "maximum", "concatenate",
    "arithmetic", "sliced", "relu", "mean",
)  # fmt: skip


def graph(library: Any, steps: list[Step], inputs: int, outputs: str) -> Any:
    """A functional model in gpudl or Keras: every tensor in it has four numbers for each sample."""
    kit = library.layers
    shared, inner = kit.Dense(4, name="shared"), library.Input(shape=(4,))
    model = library.Model(inner, kit.Dense(4, activation="tanh")(kit.Dense(2)(inner)))
    tensors = [library.Input(shape=(4,), name=f"in_{i}") for i in range(inputs)]
    given = list(tensors)
    for what, i, j in steps:
        a, b = tensors[i % len(tensors)], tensors[j % len(tensors)]
        tensors.append(
            {
                "dense": lambda a, b: kit.Dense(4, activation="relu")(a),
                "shared": lambda a, b: shared(a),
                "normalized": lambda a, b: kit.BatchNormalization()(a),
                "sequential": lambda a, b: library.Sequential([kit.Dense(3), kit.Dropout(0.5), kit.Dense(4)])(a),
                "model": lambda a, b: model(a),
                "dropped": lambda a, b: kit.Dropout(0.5)(a, training=False),
                "add": lambda a, b: kit.Add()([a, b]),
                "multiply": lambda a, b: kit.Multiply()([a, b, a]),
                "maximum": lambda a, b: kit.Maximum()([b, a]),
                "concatenate": lambda a, b: kit.Dense(4)(kit.Concatenate()([a, b])),
                "arithmetic": lambda a, b: (1.5 - a) / 2.0 + b * b - 0.5,
                "sliced": lambda a, b: kit.Concatenate()([a[:, 1:3], b[:, ::2]]),
                "relu": lambda a, b: library.ops.relu(-a),
                "mean": lambda a, b: a - library.ops.mean(b, axis=1, keepdims=True),
            }[what](a, b)
        )
    total = kit.Add()([*tensors, given[0]])  # whatever was made is used
    last = kit.Dense(2, name="out")(total)
    ends = {"one": last, "list": [last, total], "dict": {"b": last, "a": tensors[-1]}}[outputs]
    return library.Model(given[0] if inputs == 1 else given, ends)


def flat(y: Any) -> list[np.ndarray]:
    parts = [y[name] for name in sorted(y)] if isinstance(y, dict) else y if isinstance(y, (list, tuple)) else [y]
    return [np.asarray(part) for part in parts]


@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(0, 9)), max_size=6),
    inputs=st.integers(1, 2),
    outputs=st.sampled_from(["one", "list", "dict"]),
    seed=st.integers(0, 999),
    to_keras=st.booleans(),
)
@settings(max_examples=EXAMPLES)
def test_functional_models(
    keras: Any, score: Callable[..., Any], folder: Path, steps: list[Step], inputs: int, outputs: str, seed: int,
    to_keras: bool,
) -> None:  # fmt: skip
    first, second = (gpudl, keras) if to_keras else (keras, gpudl)
    with score("file", f"functional .keras {'to' if to_keras else 'from'} Keras"):
        model, alike = graph(first, steps, inputs, outputs), graph(second, steps, inputs, outputs)
        rng = np.random.default_rng(seed)
        model.set_weights([rng.uniform(-0.5, 0.5, tuple(w.shape)).astype(np.float32) ** 2 for w in model.weights])
        model.save(folder / "graph.keras")
        other = second.models.load_model(folder / "graph.keras")
        assert [layer.name for layer in other.layers if "input" not in layer.name] == [
            layer.name for layer in model.layers if "input" not in layer.name
        ]
        model.save_weights(folder / "graph.weights.h5")
        alike.load_weights(folder / "graph.weights.h5")
        x = [rng.standard_normal((3, 4)).astype(np.float32) for _ in range(inputs)]
        x = x[0] if inputs == 1 else x
        expected = model.predict(x, verbose=0)
        for again in (other, alike):
            for mine, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
                np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
            found = again.predict(x, verbose=0)
            assert type(found) is type(expected) and (not isinstance(found, dict) or set(found) == set(expected))
            for one, two in zip(flat(expected), flat(found), strict=True):
                check_close("predictions", one, two, scale=max(1.0, float(np.abs(two).max())))


@pytest.mark.parametrize("to_keras", [True, False], ids=["to_keras", "from_keras"])
def test_several_losses(keras: Any, score: Callable[..., Any], tmp_path: Path, to_keras: bool) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((12, 4)).astype(np.float32), [rng.random((12, n)).astype(np.float32) for n in (2, 4)]
    first, second = (gpudl, keras) if to_keras else (keras, gpudl)
    with score("file", f"functional .keras {'to' if to_keras else 'from'} Keras"):
        model = graph(first, [("dense", 0, 0), ("normalized", 1, 0)], 1, "list")
        model.compile("adam", ["mse", first.losses.MeanSquaredError()], loss_weights=[0.5, 2.0], metrics=[["mse"], []])
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        model.save(tmp_path / "m.keras")
        other = second.models.load_model(tmp_path / "m.keras")
        logs = [m.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history for m in (model, other)]
        check_close("loss", np.asarray(logs[0]["loss"]), np.asarray(logs[1]["loss"]), 1e-4)


# Training goes on

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda library: library.optimizers.SGD(0.05),
    "SGD with momentum": lambda library: library.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "Adam": lambda library: library.optimizers.Adam(0.01),
    "Adam, amsgrad": lambda library: library.optimizers.Adam(0.01, amsgrad=True),
    "RMSprop": lambda library: library.optimizers.RMSprop(0.01),
    "RMSprop, all": lambda library: library.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "a schedule": lambda library: (
        library.optimizers.Adam(library.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5))
        if library is not gpudl
        else gpudl.optimizers.Adam(gpudl.schedules.ExponentialDecay(0.05, 2, 0.5))
    ),
}


def _compiled(library: Any, optimizer: str) -> Any:
    layers = [("Dense", {"units": 4, "activation": "tanh"}), ("BatchNormalization", {}), ("Dense", {"units": 3})]
    model = assemble(library, layers, (5,))
    model.compile(
        OPTIMIZERS[optimizer](library),
        library.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


@pytest.mark.parametrize("trained", [True, False], ids=["trained", "untrained"])
@pytest.mark.parametrize("to_keras", [True, False], ids=["to_keras", "from_keras"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on(
    keras: Any, score: Callable[..., Any], tmp_path: Path, optimizer: str, to_keras: bool, trained: bool
) -> None:
    gpudl.utils.set_random_seed(5)
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((24, 5)).astype(np.float32), rng.integers(0, 3, 24)
    first, second = (gpudl, keras) if to_keras else (keras, gpudl)
    with score("file", f".keras {'to' if to_keras else 'from'} Keras, training goes on"):
        model = _compiled(first, optimizer)
        if trained:
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
        with warnings.catch_warnings():
            if not trained:  # Keras itself finds no slots in what it saves before the first step
                warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            other = second.models.load_model(tmp_path / "model.keras")
        histories = [m.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history for m in (model, other)]
        for name in ("loss", "accuracy"):
            check_close(name, np.asarray(histories[0][name]), np.asarray(histories[1][name]), 1e-4)
        for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            check_close("weights", np.asarray(mine), np.asarray(theirs), 1e-4)


# Everything that both have

SETTINGS: dict[str, Any] = {
    "activation": "relu",
    "axes": 1,
    "boundaries": [10, 20],
    "decay_rate": 0.5,
    "decay_steps": 10,
    "factor": 0.25,
    "filters": 2,
    "first_decay_steps": 10,
    "height": 8,
    "height_factor": 0.25,
    "initial_learning_rate": 0.1,
    "kernel_size": 3,
    "num_classes": 3,
    "pool_size": 2,
    "precision": 0.5,
    "rate": 0.5,
    "recall": 0.5,
    "scale": 0.5,
    "sensitivity": 0.5,
    "shape": (4,),
    "specificity": 0.5,
    "target_class_ids": [0, 1],
    "target_shape": (4,),
    "units": 3,
    "values": [0.1, 0.05, 0.01],
    "width": 8,
    "width_factor": 0.25,
}
"""A value for every argument that has no default, by its name."""


def _in_both() -> list[Any]:
    found = []
    for kind in KINDS:
        named: list[tuple[str, Any]] = []
        getattr(builtins, f"register_{kind}")(lambda name, item, named=named: named.append((name, item)))
        if kind in MODULES and kind != "activations":
            classes = {item.__name__: item for _, item in named if inspect.isclass(item)}
            found += [(kind, name) for name in classes if name not in ("Sequential", "Accuracy")]
    return [pytest.param(kind, name, id=f"{kind}-{name}") for kind, name in found]


def _theirs(keras: Any, kind: str, name: str) -> Any:
    module = keras.optimizers.schedules if kind == "schedules" else getattr(keras, kind)
    if not hasattr(module, name):
        pytest.skip(f"Keras has no {kind} {name}")
    cls = getattr(module, name)
    needed = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    named = [p.name for p in needed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(argument not in SETTINGS for argument in named):
        pytest.skip(f"needs {', '.join(named)}")
    return cls(**({"shape": (4,)} if name == "InputLayer" else {argument: SETTINGS[argument] for argument in named}))


@pytest.mark.parametrize(("kind", "name"), _in_both())
def test_defaults_travel(keras: Any, score: Callable[..., Any], kind: str, name: str) -> None:
    """Each thing both have, made with as few arguments as it takes, in Keras, then gpudl, then Keras again."""
    theirs = _theirs(keras, kind, name)
    with score("file", f"configurations of {kind}"):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
        if kind == "layers":
            ours = make(config, "a model")
            back = configure(ours)
        else:
            ours = registry.resolve(kind, described(config, kind, name))
            back = configured(registry.describe(kind, ours), kind, name)
        assert type(ours).__name__ == name
        again = keras.saving.deserialize_keras_object(back)
        assert type(again) is type(theirs)
        before, after = (json.loads(json.dumps(x.get_config(), default=str)) for x in (theirs, again))
        unlike = {key: (value, after.get(key)) for key, value in before.items() if after.get(key) != value}
        unlike.pop("name", None)
        unlike.pop("activity_regularizer", None)
        for key in [key for key, (a, b) in unlike.items() if isinstance(a, float) and b == pytest.approx(a)]:
            del unlike[key]
        assert not unlike


def test_memory_files_of_keras(keras: Any, tmp_path: Path) -> None:
    """Half-precision numbers and Keras's older name for layers are understood."""
    h5py = pytest.importorskip("h5py")
    plan: Plan = [("Dense", {"units": 2}), ("Dense", {"units": 3})]
    theirs, ours = assemble(keras, plan, (4,)), assemble(gpudl, plan, (4,))
    theirs.save_weights(tmp_path / "new.weights.h5")
    content = io.BytesIO()
    with h5py.File(tmp_path / "new.weights.h5") as new, h5py.File(content, "w") as old:
        new.copy("layers", old, name="_layer_checkpoint_dependencies")
    (tmp_path / "old.weights.h5").write_bytes(content.getvalue())
    ours.load_weights(tmp_path / "old.weights.h5")
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, np.asarray(other))


def test_bfloat16(keras: Any, tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16")])
    theirs.save_weights(tmp_path / "half.weights.h5")
    ours = assemble(gpudl, [("Dense", {"units": 3})], (4,))
    ours.load_weights(tmp_path / "half.weights.h5")
    kernel = theirs.weights[0].value.detach().float().numpy()
    np.testing.assert_array_equal(ours.weights[0].numpy(), kernel)


# Layers that stand for activations

ACTIVATION_LAYERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "LeakyReLU": st.fixed_dictionaries({}, optional={"negative_slope": st.sampled_from([0.01, 0.2, 0.5])}),
    "ReLU": st.fixed_dictionaries(
        {},
        optional={
            "max_value": st.sampled_from([0.5, 1.0]),
            "negative_slope": st.sampled_from([0.0, 0.1]),
            "threshold": st.sampled_from([0.0, 0.2]),
        },
    ),
    "ELU": st.fixed_dictionaries({}, optional={"alpha": st.sampled_from([0.5, 1.0])}),
    "Softmax": st.just({}),
}


@settings(max_examples=40)
@given(data=st.data(), to_keras=st.booleans(), seed=st.integers(0, 99))
def test_layers_as_activations_travel(keras: Any, score: Any, data: st.DataObject, to_keras: bool, seed: int) -> None:
    name = data.draw(st.sampled_from(sorted(ACTIVATION_LAYERS)))
    arguments = data.draw(ACTIVATION_LAYERS[name])
    first, second = (gpudl, keras) if to_keras else (keras, gpudl)
    x = np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)
    with score("file", "layers as activations"), tempfile.TemporaryDirectory() as folder:
        layer = first.layers.Dense(3, activation=getattr(first.layers, name)(**arguments))
        model = first.Sequential([first.Input(shape=(4,)), layer])
        model.save(f"{folder}/m.keras")
        other = second.models.load_model(f"{folder}/m.keras", compile=False)
        expected = model.predict(x, verbose=0)
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)
        if to_keras:
            for again in (gpudl.models.load_model(f"{folder}/m.keras"), gpudl.models.clone_model(model)):
                again.set_weights(model.get_weights())
                np.testing.assert_array_equal(again.predict(x), expected)


def test_a_prelu_as_activation_is_refused_by_name(tmp_path: Path) -> None:
    model = gpudl.Sequential(
        [gpudl.Input(shape=(4,)), gpudl.layers.Dense(3, activation=gpudl.layers.PReLU())]  # pyright: ignore
    )
    with pytest.raises(UsageError, match="PReLU given as activation"):
        model.save(tmp_path / "m.keras")
