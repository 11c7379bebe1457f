"""Weights alone in files, and Keras's formats: what fits comes back to the bit, what does not is told by name."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Model, Sequential, layers, load_model, ops, optimizers, registry, saving, schedules
from gpudl.errors import GpudlError, ModelFileError, TrainingError, UsageError

h5py = pytest.importorskip("h5py")

X = np.random.default_rng(0).standard_normal((12, 5, 5, 2)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 12)


def make(units: int = 3, **last: Any) -> Sequential:
    """A model whose layers have counted names: other ones at every call."""
    return Sequential(
        [
            layers.Input(shape=(5, 5, 2)),
            layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Flatten(),
            Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Dense(4, use_bias=False)]),
            layers.Dense(units, activation="softmax", **last),
        ]
    )


def randomized(model: Sequential, seed: int = 7) -> Sequential:
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.weights])
    return model


def equal(one: Sequential, other: Sequential) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.fixture(params=[".weights.h5", ".safetensors", ".keras"])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


def write(model: Sequential, path: Path) -> Path:
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


# What fits


def test_weights_come_back(suffix: str, tmp_path: Path) -> None:
    first, second = randomized(make()), randomized(make(), 8)
    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    second.load_weights(write(first, tmp_path / f"w{suffix}"))
    assert equal(first, second)
    np.testing.assert_array_equal(first.predict(X, verbose=0), second.predict(X, verbose=0))


def test_weights_out_of_a_whole_model(tmp_path: Path) -> None:
    first, second = randomized(make()), make()
    first.save(tmp_path / "whole.safetensors")
    second.load_weights(tmp_path / "whole.safetensors")
    assert equal(first, second)


def test_layers_kept_as_attributes(tmp_path: Path) -> None:
    class Two(layers.Layer):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self._hidden = layers.Dense(3)
            self.several = [layers.Dense(3), layers.Dense(3), [layers.Dense(3)]]
            self.again = self.several[1]

        def call(self, x: Any) -> Any:
            for layer in (self._hidden, *self.several[:2], self.several[2][0], self.again):
                x = layer(x)
            return x

    def of_two() -> Sequential:
        model = Sequential([Two(), layers.Dense(2)])
        model.build((None, 3))
        return model

    first, second = of_two(), of_two()
    first.save_weights(tmp_path / "two.weights.h5")
    second.load_weights(tmp_path / "two.weights.h5")
    assert equal(first, second)
    with h5py.File(tmp_path / "two.weights.h5") as file:
        found = [name for name in _names(file) if name.endswith("vars/0")]
    assert found == [
        "layers/dense/vars/0",
        "layers/two/_hidden/vars/0",
        "layers/two/again/vars/0",
        "layers/two/several/container/dense/vars/0",
        "layers/two/several/dense/vars/0",
    ]


def _names(file: Any) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return sorted(names)


def test_whole_models_come_back(tmp_path: Path) -> None:
    model = randomized(make())
    model.layers[0].trainable = False
    model.class_names = ("a", "b", "c")
    model.compile(
        optimizers.Adam(schedules.ExponentialDecay(0.1, 5, 0.5)), "sparse_categorical_crossentropy", metrics=["acc"]
    )
    model.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    model.save(tmp_path / "best.keras")
    again = load_model(tmp_path / "best.keras")
    assert equal(model, again)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [w.trainable for w in again.weights] == [w.trainable for w in model.weights]
    assert again.class_names == ("a", "b", "c")
    assert again.optimizer.learning_rate == model._need_optimizer().learning_rate != 0.1
    assert [metric.name for metric in again.metrics] == ["loss", "acc"]
    for name, slot in model._need_optimizer().state()["arrays"].items():
        np.testing.assert_allclose(again.optimizer.state()["arrays"][name], slot, rtol=1e-6)
    assert again.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)
    assert saving.load_keras(tmp_path / "best.keras", compile=False).optimizer is None
    assert again.layers[0].kernel_regularizer.l2 == 0.01


def test_a_changed_learning_rate_comes_back(tmp_path: Path) -> None:
    model = make()
    model.compile("sgd", "mse")
    assert model.optimizer is not None
    model.optimizer.learning_rate = 0.125
    model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").optimizer.learning_rate == 0.125


def test_a_loss_without_a_name_is_left_out(tmp_path: Path) -> None:
    model = make()
    model.compile("sgd", lambda y_true, y_pred: y_pred)
    model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").loss is None


# What does not fit


def test_shapes_that_do_not_fit_are_named(suffix: str, tmp_path: Path) -> None:
    first, second = randomized(make()), randomized(make(units=5), 8)
    path = write(first, tmp_path / f"w{suffix}")
    before = second.get_weights()
    names = [layer.name for layer in (second.layers[-1], first.layers[-1])]
    with pytest.raises(UsageError) as caught:
        second.load_weights(path)
    message = str(caught.value)
    assert f"{names[0]}" in message and f"{names[1]}" in message
    assert "kernel" in message and "(4, 5)" in message and "(4, 3)" in message and "and 1 more" in message
    assert all(np.array_equal(a, b) for a, b in zip(before, second.get_weights(), strict=True))
    with pytest.warns(UserWarning, match="left as they were"):
        second.load_weights(path, skip_mismatch=True)
    for i, (a, b) in enumerate(zip(first.get_weights(), second.get_weights(), strict=True)):
        if i < len(before) - 2:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(b, before[i])


def test_a_layer_more_or_less_is_named(suffix: str, tmp_path: Path) -> None:
    small, large = make(), make()
    large.add(layers.Dense(2, name="extra"))
    write(large, tmp_path / f"large{suffix}")
    write(small, tmp_path / f"small{suffix}")
    with pytest.raises(UsageError, match="extra"):
        small.load_weights(tmp_path / f"large{suffix}")
    with pytest.raises(UsageError, match="extra"):
        large.load_weights(tmp_path / f"small{suffix}")
    with pytest.warns(UserWarning, match="extra"):
        small.load_weights(tmp_path / f"large{suffix}", skip_mismatch=True)
    assert np.array_equal(small.get_weights()[-1], large.get_weights()[-3])


def test_a_weight_more_or_less_is_named(tmp_path: Path) -> None:
    make().save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(UsageError, match=r"has 1 weights \(kernel\), but the file's .* has 2"):
        make(use_bias=False).load_weights(tmp_path / "w.weights.h5")


def test_unbuilt_models(tmp_path: Path) -> None:
    model = Sequential([layers.Dense(2)])
    for suffix in (".weights.h5", ".safetensors"):
        with pytest.raises(UsageError, match="not built"):
            model.save_weights(tmp_path / f"w{suffix}")
    with pytest.raises(UsageError, match="not built"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(UsageError, match="not built"):
        model.load_weights(tmp_path / "w.weights.h5")
    assert not list(tmp_path.iterdir())


# Names of files


@pytest.mark.parametrize("name", ["w.h5", "w.hdf5", "w", "w.keras", "w.npz"])
def test_other_names_of_weights_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\*\.weights\.h5 or \*\.safetensors"):
        make().save_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "about"), [("m.h5", ".keras"), ("m.hdf5", ".keras"), ("m.weights.h5", "save_weights")]
)
def test_other_names_of_models_are_refused(name: str, about: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=about):
        make().save(tmp_path / name)


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    model = make()
    model.save_weights(tmp_path / "w.safetensors")
    model.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ModelFileError, match="weights alone"):
        load_model(tmp_path / "w.safetensors")
    with pytest.raises(ModelFileError, match="weights alone"):
        load_model(tmp_path / "w.weights.h5")
    for name in ("none.keras", "none.weights.h5", "none.safetensors"):
        with pytest.raises(ModelFileError, match="there is no such"):
            model.load_weights(tmp_path / name)
    with pytest.raises(ModelFileError, match="there is no such"):
        load_model(tmp_path / "none.keras")


def test_overwriting_can_be_off(suffix: str, tmp_path: Path) -> None:
    path = write(make(), tmp_path / f"w{suffix}")
    save = make().save if suffix == ".keras" else make().save_weights
    before = path.read_bytes()
    with pytest.raises(UsageError, match="already"):
        save(path, overwrite=False)
    assert path.read_bytes() == before
    save(path)
    assert path.read_bytes() != before


def test_a_full_disk_leaves_the_old_file(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(make(), tmp_path / f"w{suffix}")
    before = path.read_bytes()

    def fail(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TrainingError, match="unchanged"):
        write(make(), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    model.save_weights(tmp_path / "w.weights.h5")
    model.save(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (
        lambda: model.save_weights(tmp_path / "v.weights.h5"),
        lambda: model.load_weights(tmp_path / "w.weights.h5"),
        lambda: model.save(tmp_path / "n.keras"),
        lambda: load_model(tmp_path / "m.keras"),
    ):
        with pytest.raises(GpudlError, match=r'pip install "gpudl\[hdf5\]"'):
            call()
    model.save_weights(tmp_path / "v.safetensors")


# What is damaged


def outcome(path: Path, model: Sequential) -> str:
    """Load a damaged file: it is refused, or all is as it was saved."""
    again = make()
    try:
        if path.suffix == ".keras":
            again = load_model(path)
        again.load_weights(path)
    except (ModelFileError, UsageError):
        return "refused"
    assert equal(model, again), "damaged and not noticed"
    return "the same"


def test_one_flipped_byte_anywhere(suffix: str, tmp_path: Path) -> None:
    model = randomized(make())
    path = write(model, tmp_path / f"w{suffix}")
    content = path.read_bytes()
    ends = []
    for position in range(0, len(content), max(1, len(content) // 120)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        ends.append(outcome(path, model))
    assert ends.count("refused") > 20


def test_cut_off_anywhere(suffix: str, tmp_path: Path) -> None:
    model = randomized(make())
    path = write(model, tmp_path / f"w{suffix}")
    content = path.read_bytes()
    for length in [*range(0, len(content), max(1, len(content) // 60)), len(content) - 1]:
        path.write_bytes(content[:length])
        assert outcome(path, model) == "refused", length


def test_a_number_changed_in_a_weights_file(tmp_path: Path) -> None:
    """HDF5 itself would not notice."""
    model = randomized(make())
    path = write(model, tmp_path / "w.weights.h5")
    with h5py.File(path, "r+") as file:
        file["layers/dense/vars/0"][1, 2] += 1
    with pytest.raises(ModelFileError, match=r"layers/dense/vars/0.*damaged"):
        model.load_weights(path)


def _without_a_group(file: Any) -> None:
    del file["layers/conv2d"]


def _soft_link(file: Any) -> None:
    file["layers/dense/more"] = h5py.SoftLink("/layers/conv2d")


def _external_link(file: Any) -> None:
    del file["layers/conv2d"]
    file["layers/conv2d"] = h5py.ExternalLink("/etc/passwd", "/")


def _virtual(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars"].create_virtual_dataset("1", h5py.VirtualLayout((3,), "f4"))


def _external(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars"].create_dataset("1", (3,), "f4", external=[("/etc/passwd", 0, 12)])


def _bomb(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars"].create_dataset("1", (1 << 40,), "f4", chunks=(1 << 20,))


def _text(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars/1"] = "three numbers"


def _gap(file: Any) -> None:
    file.move("layers/dense/vars/1", "layers/dense/vars/5")


def _group_for_array(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file.create_group("layers/dense/vars/1")


def _circle(file: Any) -> None:
    file["layers/dense/round"] = file["layers"]


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (_without_a_group, 'no weights for Conv2D "'),
        (_soft_link, "link"),
        (_external_link, "link"),
        (_virtual, "no array of this file"),
        (_external, "no array of this file"),
        (_bomb, "claims"),
        (_text, "not numbers"),
        (_gap, "not 0, 1"),
        (_group_for_array, "no array of this file"),
    ],
)
def test_strange_weights_files_are_refused(change: Callable[[Any], None], about: str, tmp_path: Path) -> None:
    model = make()
    path = write(model, tmp_path / "w.weights.h5")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises((ModelFileError, UsageError), match=about):
        model.load_weights(path)


def test_circles_in_a_file_do_no_harm(tmp_path: Path) -> None:
    model = randomized(make())
    path = write(model, tmp_path / "w.weights.h5")
    with h5py.File(path, "r+") as file:
        _circle(file)
    assert outcome(path, model) == "the same"


@pytest.mark.parametrize(
    "content", [b"", b"weights", b"PK\x03\x04" + b"\x00" * 50, b"\x89HDF\r\n\x1a\n" + b"\x00" * 99]
)
def test_foreign_files_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        make().load_weights(path)
    with pytest.raises(ModelFileError):
        load_model(path)


def test_files_of_keras_2_are_refused_by_name(tmp_path: Path) -> None:
    for name, fill in (
        ("w.h5", lambda file: file.attrs.__setitem__("layer_names", ["dense"])),
        ("m.hdf5", lambda file: file.create_group("model_weights")),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            fill(file)
        with pytest.raises(ModelFileError, match="Keras 2"):
            make().load_weights(tmp_path / name)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["table"] = np.zeros(3)
    with pytest.raises(ModelFileError, match="not one of Keras's"):
        make().load_weights(tmp_path / "t.h5")


# Configurations


def archive(model: Model, path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A .keras file of a model whose configuration was changed; whole otherwise."""
    model.save(path)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    path.write_bytes(content.getvalue())
    return path


def last(config: dict[str, Any]) -> dict[str, Any]:
    return config["config"]["layers"][-1]


def _custom(config: dict[str, Any]) -> None:
    last(config).update(module="my.code", class_name="Mine", registered_name="my>Mine")


def _lambda_layer(config: dict[str, Any]) -> None:
    last(config).update(class_name="Lambda", config={"name": "doubled", "function": {"class_name": "__lambda__"}})


def _lambda(config: dict[str, Any]) -> None:
    last(config)["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": ["aa", None, None]}}


def _function(config: dict[str, Any]) -> None:
    last(config)["config"]["activation"] = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (lambda c: last(c)["config"].update(lora_rank=4), r'layer "out": gpudl does not have Dense\(lora_rank=4\)'),
        (lambda c: last(c)["config"].update(quantization_config={"a": 1}), r"Dense\(quantization_config="),
        (lambda c: last(c).update(class_name="Hologram"), 'layer "out": gpudl does not have the layer Hologram'),
        (_custom, 'layer "out": "my>Mine" is nothing of Keras'),
        (_lambda_layer, 'layer "doubled": a Lambda holds Python code'),
        (_lambda, 'layer "out": a Lambda holds Python code'),
        (_function, 'layer "out": "system" is nothing of Keras'),
        (lambda c: last(c)["config"].update(activation="os.system"), 'layer "out".*os.system'),
        (lambda c: last(c)["config"].update(units=0), 'layer "out".*units=0'),
        (lambda c: last(c)["config"].update(units="many"), 'layer "out".*units'),
        (lambda c: last(c)["config"].update(units=10**15), "."),
        (lambda c: last(c)["config"].update(units=7), 'kernel of Dense "out" has shape'),
        (lambda c: last(c)["config"].update(dtype="bfloat16"), "dtype must be"),
        (lambda c: last(c).update(config=None), "damaged"),
        (lambda c: last(c).update(registered_name="gpudl>nowhere"), 'no plugin that is installed has .* "nowhere"'),
        (lambda c: c["config"].update(layers=None), "does not say which layers"),
        (lambda c: c["config"]["layers"].pop(), "a layer too many"),
        (lambda c: c["config"]["layers"][0]["config"].pop("batch_shape"), "shape its input"),
        (lambda c: c.update(class_name="Dense"), "."),
        (lambda c: c.clear(), "damaged"),
    ],
)  # fmt: skip
def test_what_gpudl_does_not_have_is_refused_by_name(
    change: Callable[[dict[str, Any]], Any], about: str, tmp_path: Path
) -> None:
    path = archive(make(name="out"), tmp_path / "m.keras", change)
    with pytest.raises(ModelFileError, match=about) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: last(c)["config"].update(lora_rank=None, quantization_config=None, autocast=True),
        lambda c: c["config"]["layers"].pop(0),
        lambda c: last(c).update(build_config={"input_shape": [None, 4]}),
        lambda c: last(c)["config"].update(dtype={"class_name": "DTypePolicy", "config": {"name": "float32"}}),
    ],
)
def test_what_is_keras_s_default_is_no_matter(change: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    model = randomized(make(name="out"))
    assert equal(load_model(archive(model, tmp_path / "m.keras", change)), model)


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (lambda c: c["compile_config"].update(loss="no_such_loss"), "no_such_loss"),
        (lambda c: c["compile_config"].update(loss=None), "loss"),
        (lambda c: c["compile_config"].update(metrics=["no_such_metric"]), "no_such_metric"),
        (lambda c: c["compile_config"]["optimizer"].update(class_name="Newton"), "Newton"),
        (lambda c: c["compile_config"]["optimizer"]["config"].update(secret=4), r"SGD\(secret=4\)"),
        (lambda c: c.update(compile_config=[1]), "."),
    ],
)
def test_what_cannot_be_compiled_is_told(change: Callable[[dict[str, Any]], Any], about: str, tmp_path: Path) -> None:
    model = randomized(make())
    model.compile("sgd", "mse")
    path = archive(model, tmp_path / "m.keras", change)
    with pytest.warns(UserWarning, match=f"not compiled: .*{about}"):
        again = load_model(path)
    assert again.loss is None and again.optimizer is None and equal(again, model)


def test_an_optimizer_s_state_that_does_not_fit_is_told(tmp_path: Path) -> None:
    model = randomized(make())
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)

    def rename(config: dict[str, Any]) -> None:
        config["compile_config"]["optimizer"].update(class_name="SGD", config={"learning_rate": 0.1})

    with pytest.warns(UserWarning, match="its state is not restored: it has"):
        again = load_model(archive(model, tmp_path / "m.keras", rename))
    assert again.optimizer.iterations == 0


# The zip


def test_only_the_known_members_are_read(tmp_path: Path) -> None:
    model = randomized(make())
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a") as file:
        file.writestr("../../escaped.py", "raise SystemExit")
        file.writestr("assets/layer/__init__.py", "raise SystemExit")
    assert equal(load_model(tmp_path / "m.keras"), model)
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_absurd_members_are_refused(tmp_path: Path) -> None:
    make().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}

    def put(names: list[str], large: str | None = None) -> Path:
        with zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.writestr(name, b"\x00" * (80 << 20) if name == large else members[name])
        return tmp_path / "x.keras"

    everything = list(members)
    for large in ("config.json", "model.weights.h5"):
        with pytest.raises(ModelFileError, match=f"{large} claims"):
            load_model(put(everything, large))
    with pytest.raises(ModelFileError, match="has no model"):
        load_model(put(everything[:-1]))
    with pytest.raises(ModelFileError, match="twice"):
        load_model(put([*everything, "config.json"]))


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    make().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    members["config.json"] = b'{"config":' * 100_000
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(tmp_path / "m.keras")


# Plugins


class Twice(layers.Layer):
    """x * factor."""

    def __init__(self, factor: float = 2.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor


def test_what_plugins_bring_is_written_under_its_registered_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Sequential([layers.Input(shape=(3,)), Twice(3.0), layers.Dense(2)])
    with monkeypatch.context() as installed:
        installed.setitem(registry.table("layers"), "twice", Twice)
        installed.setitem(registry._owners, ("layers", "twice"), "a plugin")
        model.save(tmp_path / "m.keras")
        again = load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(again.predict(X[0, 0, :, :1].T[:, :3]), model.predict(X[0, 0, :, :1].T[:, :3]))
    with zipfile.ZipFile(tmp_path / "m.keras") as whole:
        config = json.loads(whole.read("config.json"))
    assert config["config"]["layers"][1]["registered_name"] == "gpudl>twice"
    with pytest.raises(ModelFileError, match=r'layer "twice.*no plugin that is installed has the layer "twice"'):
        load_model(tmp_path / "m.keras")


# Functional models


def graph() -> Model:
    a, b = Input(shape=(4,), name="a"), Input(shape=(4,), name="b")
    dense = layers.Dense(4, name="twice")
    x = layers.Add(name="sum")([dense(a), dense(b * 2.0)])
    return Model([a, b], {"left": layers.Dense(2, name="left")(x), "right": ops.softmax(x[:, 1:3])}, name="forked")


def test_functional_models_come_back(tmp_path: Path) -> None:
    model = graph()
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    assert isinstance(again, Model) and again.name == "forked"
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    x = [X[:, 0, :2].reshape(12, 4), X[:, 1, :2].reshape(12, 4)]
    one, two = model.predict(x, verbose=0), again.predict(x, verbose=0)
    assert set(one) == set(two) == {"left", "right"}
    assert all(np.array_equal(one[name], two[name]) for name in one)


def entry(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


def history(config: dict[str, Any], name: str) -> dict[str, Any]:
    return entry(config, name)["inbound_nodes"][0]["args"][0]


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (lambda c: entry(c, "multiply").update(class_name="Einsum"), 'layer "multiply": gpudl does not read the op'),
        (lambda c: entry(c, "left").update(class_name="Hologram"), 'layer "left": gpudl does not have'),
        (lambda c: entry(c, "twice").update(inbound_nodes=[[["a", 0, 0, {}]]]), "older versions"),
        (lambda c: entry(c, "twice").update(inbound_nodes=[]), "takes what nothing in the model makes"),
        (lambda c: history(c, "left")["config"].update(keras_history=["nobody", 0, 0]), '"nobody"'),
        (lambda c: history(c, "left")["config"].update(keras_history=["left", 0, 0]), "takes what nothing"),
        (lambda c: history(c, "left")["config"].update(keras_history=["sum", 0, 7]), "."),
        (lambda c: history(c, "left").update(class_name="__lambda__"), "called on a __lambda__"),
        (lambda c: c["config"].update(output_layers=None), "what comes out"),
        (lambda c: c["config"].update(input_layers=[["a", 0, 0]]), "."),
        (lambda c: c["config"].update(layers=[1]), "which layers"),
    ],
)
def test_graphs_that_are_wrong_are_refused(change: Callable[[dict[str, Any]], Any], about: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=about):
        load_model(archive(graph(), tmp_path / "m.keras", change))


def test_ops_that_keras_has_not_are_refused(tmp_path: Path) -> None:
    a = Input(shape=(4,))
    model = Model(a, ops.dense(a, np.ones((4, 2), np.float32)))
    with pytest.raises(UsageError, match=r"the op dense.*safetensors"):
        model.save(tmp_path / "m.keras")


def test_models_with_a_call_of_their_own(tmp_path: Path) -> None:
    class Own(Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(3), layers.Dense(2)

        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            return self.second(self.first(inputs))

    first, second = Own(), Own()
    for model in (first, second):
        model(np.zeros((1, 4), np.float32))
    first.save_weights(tmp_path / "w.weights.h5")
    second.load_weights(tmp_path / "w.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    first.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras", {"Own": Own})
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
