"""Model files: what is saved comes back; what is damaged or strange is refused with one kind of error."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpudl import Sequential, layers, load_model, losses, metrics, optimizers, random
from gpudl.errors import GpudlError, ModelFileError, TrainingError, UsageError
from gpudl.models.saving import read_file, save_model

X = np.random.default_rng(0).standard_normal((12, 5, 5, 2)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 12)


def make() -> Sequential:
    random.set_random_seed(4)
    model = Sequential(
        [
            layers.Input(shape=(5, 5, 2)),
            layers.Conv2D(2, 3, activation="relu", kernel_initializer="he_normal"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(3, activation="softmax", kernel_regularizer="l2"),
        ],
        name="small",
    )
    model.compile(optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["acc"])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def model() -> Sequential:
    return make()


@pytest.fixture(scope="module")
def content(model: Sequential, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return path.read_bytes()


def header_of(content: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def signed(header: dict[str, Any]) -> dict[str, str]:
    """Metadata whose SHA-256 is right, so that what it says is what is refused."""
    rest = {name: value for name, value in header.items() if name != "header_sha256"}
    header["header_sha256"] = hashlib.sha256(json.dumps(rest).encode()).hexdigest()
    return {"gpudl": json.dumps(header)}


def changed(content: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another gpudl header, otherwise whole."""
    (length,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + length])
    inner = json.loads(outer["__metadata__"]["gpudl"])
    change(inner)
    outer["__metadata__"] = signed(inner)
    text = json.dumps(outer).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def test_everything_comes_back(model: Sequential, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_config() == model.get_config()
    assert loaded.name == "small" and [layer.name for layer in loaded.layers] == [la.name for la in model.layers]
    assert loaded.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y, return_dict=True)
    assert list(loaded.evaluate(X, Y, return_dict=True)) == ["acc", "loss"]
    assert loaded.optimizer.get_config() == model.optimizer.get_config()  # pyright: ignore[reportOptionalMemberAccess]
    mine, its = make(), load_model(path)
    for each in (mine, its):
        random.set_random_seed(6)
        each.fit(X, Y, epochs=1, verbose=0)
    for a, b in zip(mine.get_weights(), its.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_compile(content: bytes, tmp_path: Path, model: Sequential) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    loaded = load_model(path, compile=False)
    assert loaded.optimizer is None and loaded.loss is None
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_what_was_never_compiled_is_not_compiled_after(tmp_path: Path) -> None:
    model = Sequential([layers.Input(shape=(3,)), layers.Dense(2)])
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.loss is None and loaded.optimizer is None


def test_a_loss_without_a_name_is_left_out(tmp_path: Path) -> None:
    model = Sequential([layers.Input(shape=(3,)), layers.Dense(2)])
    model.compile("sgd", lambda y, p: (p - y) * (p - y))
    model.fit(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32), verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.loss is None
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_objects_with_settings_come_back(tmp_path: Path) -> None:
    model = Sequential([layers.Input(shape=(3,)), layers.Dense(2), layers.Activation("tanh")])
    model.compile(
        optimizers.SGD(0.125, momentum=0.5, nesterov=True),
        losses.BinaryCrossentropy(from_logits=True),
        metrics=[metrics.BinaryAccuracy(name="right", threshold=0.25)],
    )
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert (loaded.optimizer.learning_rate, loaded.optimizer.momentum, loaded.optimizer.nesterov) == (0.125, 0.5, True)
    assert loaded.loss.from_logits is True
    assert (loaded.metrics[1].name, loaded.metrics[1].threshold) == ("right", 0.25)


def test_models_in_models(tmp_path: Path) -> None:
    inner = Sequential([layers.Dense(4, activation="relu"), layers.BatchNormalization()], name="inner")
    model = Sequential([layers.Input(shape=(3,)), inner, layers.Dense(2)])
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.get_layer("inner").layers[1].name == inner.layers[1].name


def test_trainable_comes_back(tmp_path: Path) -> None:
    model = Sequential([layers.Input(shape=(3,)), layers.Dense(4, trainable=False), layers.Dense(2)])
    model.layers[1].trainable = False
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert [layer.trainable for layer in loaded.layers] == [False, False]
    model.layers[0].trainable = True
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32), verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert [layer.trainable for layer in loaded.layers] == [True, False]
    loaded.fit(np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32), verbose=0)
    assert loaded.optimizer.iterations == 2


def outcome(path: Path, model: Sequential) -> str:
    """ "refused", or "the same"; every other end of loading fails."""
    try:
        loaded = load_model(path)
    except ModelFileError as error:
        assert str(path) in str(error)
        return "refused"
    assert loaded.get_config() == model.get_config()
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    return "the same"


def test_one_flipped_byte_anywhere(model: Sequential, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    (length,) = struct.unpack("<Q", content[:8])
    positions = [*range(8), *range(8, 8 + length, 3), *range(8 + length, len(content), 41), len(content) - 1]
    ends = {"refused": 0, "the same": 0}
    in_numbers = set()
    for position in positions:
        for mask in (0x01, 0x80) if position % 2 else (0x20,):
            damaged = bytearray(content)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            try:
                end = outcome(path, model)
            except AssertionError as error:
                where = content[max(0, position - 30) : position + 30]
                raise AssertionError(f"byte {position} ^ {mask:#x} near {where!r}: {error}") from error
            ends[end] += 1
            if position >= 8 + length:
                in_numbers.add(end)
    assert in_numbers == {"refused"}
    assert ends["refused"] > len(positions) / 2


def test_cut_off_anywhere(model: Sequential, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for length in [*range(20), *range(20, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        assert outcome(path, model) == "refused"


@pytest.mark.parametrize(
    "strange",
    [
        b"",
        b"\x00" * 8,
        b"not a model",
        b"\x89HDF\r\n\x1a\n" + b"\x00" * 100,
        b"PK\x03\x04" + b"\x00" * 50,
        b"\xff" * 99,
    ],
)
def test_other_files_are_refused(strange: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(strange)
    with pytest.raises(ModelFileError, match=r"not a whole (safetensors|\.keras) file|an HDF5 file"):
        load_model(path)


def test_anothers_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"w": np.zeros((2, 3), np.float32)}, path)
    with pytest.raises(ModelFileError, match="not a model saved by gpudl"):
        load_model(path)
    save_file({"w": np.zeros((2, 3), np.float32)}, path, {"gpudl": "yes"})
    with pytest.raises(ModelFileError, match="metadata is damaged"):
        load_model(path)
    save_file({"w": np.zeros((2, 3), np.float32)}, path, {"gpudl": "[1, 2]"})
    with pytest.raises(ModelFileError, match="metadata is damaged"):
        load_model(path)


def test_a_missing_file_names_what_is_there(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"no such model file; there is best\.safetensors"):
        load_model(tmp_path / "bets.safetensors")
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path)


def set_in(header: dict[str, Any], value: Any, *path: Any) -> None:
    for key in path[:-1]:
        header = header[key]
    if value is KeyError:
        del header[path[-1]]
    else:
        header[path[-1]] = value


@pytest.mark.parametrize(
    ("value", "path", "about"),
    [
        (2, ("format",), "format 2"),
        ("1", ("format",), "format 1"),
        ("no_such_layer", ("architecture", "layers", 1, "type"), 'unknown layer "no_such_layer"'),
        ("dens", ("architecture", "layers", 5, "type"), 'did you mean "dense"'),
        ("gpudl.layers.Dense", ("architecture", "layers", 5, "type"), 'unknown layer "gpudl.layers.Dense"'),
        ("os.system", ("architecture", "layers", 5, "type"), 'unknown layer "os.system"'),
        ("builtins:eval", ("architecture", "type"), "unknown layer"),
        ("/tmp/layer.py", ("architecture", "layers", 5, "type"), "unknown layer"),
        (["dense"], ("architecture", "layers", 5, "type"), "architecture is damaged"),
        ("dense", ("architecture", "type"), "architecture is damaged|Dense"),
        ("os.system", ("architecture", "layers", 5, "activation"), 'unknown activation "os.system"'),
        ({"type": "os.system"}, ("architecture", "layers", 5, "kernel_initializer"), "unknown initializer"),
        ("os.system", ("compiled", "loss"), "unknown loss"),
        ({"type": "os.system"}, ("compiled", "optimizer"), "unknown optimizer"),
        ({"type": "os.system", "called": "x"}, ("compiled", "metrics", 0), "unknown metric"),
        (4, ("architecture", "layers", 5, "units"), "shape"),
        (0, ("architecture", "layers", 5, "units"), "units=0"),
        (10**15, ("architecture", "layers", 1, "filters"), "."),
        ("many", ("architecture", "layers", 1, "filters"), "filters"),
        (KeyError, ("architecture", "layers", 5, "units"), "units"),
        (True, ("architecture", "layers", 5, "no_such_argument"), "no_such_argument"),
        ([], ("architecture", "layers"), "."),
        (None, ("architecture", "layers"), "architecture is damaged"),
        (KeyError, ("architecture",), "damaged"),
        (KeyError, ("sha256",), "damaged"),
        ({}, ("sha256",), "SHA-256"),
        (KeyError, ("optimizer",), "damaged"),
        ("x", ("optimizer", "iterations"), "."),
    ],
    ids=str,
)
def test_a_strange_header_is_refused(
    value: Any, path: tuple[Any, ...], about: str, content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(changed(content, lambda header: set_in(header, value, *path)))
    with pytest.raises(ModelFileError, match=about):
        load_model(file)


def test_a_tensor_more_or_less_is_refused(content: bytes, tmp_path: Path, model: Sequential) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    header, tensors = read_file(path)
    name = next(name for name in tensors if name.startswith("weights/") and name.endswith("/kernel"))
    text = signed(header)
    save_file({n: t for n, t in tensors.items() if n != name}, path, text)
    with pytest.raises(ModelFileError, match=f'"{name}" is missing'):
        load_model(path)
    save_file({**tensors, "weights/more": np.zeros(3)}, path, text)
    with pytest.raises(ModelFileError, match='"weights/more" is damaged'):
        load_model(path)
    for other in (tensors[name] + 1, tensors[name].view(np.int32), tensors[name].reshape(-1)):
        save_file({**tensors, name: other}, path, text)
        with pytest.raises(ModelFileError, match=f'"{name}" is damaged'):
            load_model(path)
    save_file({**tensors, name: tensors[name] + 1}, path, text)
    with pytest.raises(ModelFileError, match=f'"{name}" is damaged'):
        load_model(path)


def test_the_header_tells_where_it_came_from(content: bytes, tmp_path: Path, model: Sequential) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    header, tensors = read_file(path)
    assert header["provenance"]["numpy"] == np.__version__
    assert header["provenance"]["plugins"] == []
    assert set(header["sha256"]) == set(tensors)
    first, last = model.layers[0].name, model.layers[-1].name
    assert {f"weights/{first}/kernel", f"weights/{last}/bias", "optimizer/0/momentum"} <= set(tensors)


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "about"), [(errno.ENOSPC, "no space is left"), (errno.EDQUOT, "[Qq]uota"), (errno.EIO, "cannot write")]
)
def test_a_full_disk_leaves_the_old_file(
    failing: str, code: int, about: str, content: bytes, model: Sequential, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        if failing == "write":
            import tempfile

            real = tempfile.NamedTemporaryFile

            def opened(*arguments: Any, **settings: Any) -> Any:
                file = real(*arguments, **settings)
                broken.setattr(file, "write", fail, raising=False)
                return file

            broken.setattr(tempfile, "NamedTemporaryFile", opened)
        else:
            broken.setattr(os, failing, fail)
        other = make()
        with pytest.raises(TrainingError, match=about) as caught:
            other.save(path)
        assert "unchanged" in str(caught.value)
        with pytest.raises(TrainingError) as caught:
            other.save(tmp_path / "new.safetensors")
        assert "unchanged" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    assert outcome(path, model) == "the same"


def test_a_model_without_weights_yet_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not built"):
        Sequential([layers.Dense(3)]).save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_saving_makes_folders_and_overwrites(model: Sequential, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "model.safetensors"
    save_model(model, path)
    first = path.read_bytes()
    save_model(model, path)
    assert path.read_bytes() == first, "the same model gives the same file"
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_a_damaged_file_is_no_other_error_of_gpudl() -> None:
    assert issubclass(ModelFileError, GpudlError) and ModelFileError.exit_code == 4
    assert TrainingError.exit_code == 5
