"""`gpudl evaluate`, `gpudl predict`, `gpudl summary`: what they print, and what they refuse."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import cli
from gpudl.datasets import Digits
from gpudl.models import load_model

Run = Callable[..., Any]


def test_evaluate_repeats_the_numbers_of_the_run(gpudl: Run, trained: Path) -> None:
    outcome = gpudl("evaluate", trained)
    assert (outcome.code, outcome.err) == (0, "")
    metrics = json.loads((trained / "metrics.json").read_text())
    assert outcome.out.splitlines() == [
        f"{part:<11}loss {metrics[part]['loss']:.4f}  accuracy {metrics[part]['accuracy']:.4f}"
        for part in ("validation", "test")
    ]
    assert gpudl("evaluate", trained / "model.safetensors").out == outcome.out


def test_predict_prints_the_likeliest_class(gpudl: Run, model: str, here: Path) -> None:
    x = Digits().load().x_test
    assert x is not None
    np.save(here / "x.npy", x[:7])
    outcome = gpudl("predict", model, "x.npy")
    assert (outcome.code, outcome.err) == (0, "")
    p = load_model(model).predict(x[:7])
    lines = [line.split("\t") for line in outcome.out.splitlines()]
    assert lines[0] == ["sample", "class", "probability"]
    assert lines[1:] == [[str(i), str(row.argmax()), f"{row.max():.4f}"] for i, row in enumerate(p)]


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (3, 8, 8), (8, 8, 1), (8, 8)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool"])
def test_samples_with_or_without_batch_and_channel(gpudl: Run, model: str, here: Path, shape: Any, dtype: str) -> None:
    np.save(here / "x.npy", np.ones(shape, dtype))
    outcome = gpudl("predict", model, "x.npy")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == (4 if shape[0] == 3 else 2)


@pytest.mark.parametrize("arrays", [{"x": 2}, {"x": 2, "y": 5}, {"x_test": 2, "x_train": 5}, {"anything": 2}])
def test_npz(gpudl: Run, model: str, here: Path, arrays: dict[str, int]) -> None:
    np.savez(here / "x.npz", **{name: np.ones((n, 8, 8)) for name, n in arrays.items()})
    outcome = gpudl("predict", model, "x.npz")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 3


def test_outputs_into_a_file(gpudl: Run, model: str, here: Path) -> None:
    x = np.arange(128.0).reshape(2, 8, 8, 1)
    np.save(here / "x.npy", x)
    outcome = gpudl("predict", model, "x.npy", "--out", "new/y.npy")
    assert outcome.code == 0
    assert "new/y.npy" in outcome.out
    np.testing.assert_array_equal(np.load(here / "new" / "y.npy"), load_model(model).predict(x))


def test_outputs_that_are_no_probabilities(gpudl: Run, here: Path, text: str) -> None:
    scores = text.replace('"softmax"', '"linear"').replace(
        'loss = "sparse_categorical_crossentropy"',
        'loss = { type = "sparse_categorical_crossentropy", from_logits = true }',
    )
    (here / "x.toml").write_text(scores)
    assert gpudl("train", "x.toml", "--run-dir", "out").code == 0
    np.save(here / "x.npy", np.ones((2, 8, 8)))
    lines = gpudl("predict", "out", "x.npy").out.splitlines()
    assert lines[0] == "sample\toutput"
    assert [len(line.split("\t")) for line in lines[1:]] == [11, 11]


@pytest.mark.parametrize("of", ["file", "run", "model"])
def test_summary(gpudl: Run, trained: Path, model: str, here: Path, text: str, of: str) -> None:
    (here / "x.toml").write_text(text)
    outcome = gpudl("summary", {"file": "x.toml", "run": trained, "model": model}[of])
    assert outcome.code == 0
    for part in ("flatten Flatten", "dense_1 Dense", "(N, 10)", "610"):  # 64 * 8 + 8 + 8 * 10 + 10
        assert part in outcome.out


# What is refused


SAMPLES = {
    "shape": (np.zeros((3, 7, 8)), "holds an array of shape (3, 7, 8), but the model takes samples of shape (8, 8, 1)"),
    "scalar": (np.zeros(()), "holds an array of shape ()"),
    "channels": (np.zeros((3, 8, 8, 3)), "holds an array of shape (3, 8, 8, 3)"),
    "no samples": (np.zeros((0, 8, 8, 1)), "holds no samples, but an empty array of shape (0, 8, 8, 1)"),
    "text": (np.array([["a"] * 8] * 8), "holds values of type <U1, expected numbers"),
    "complex": (np.zeros((8, 8), complex), "holds values of type complex128, expected numbers"),
    "objects": (np.full((8, 8), {}), "holds Python objects, expected numbers"),
    "NaN": (np.where(np.arange(64).reshape(8, 8) == 3, np.nan, 1.0), "1 of 64 values are NaN or infinite"),
    "infinity": (np.full((8, 8), np.inf), "64 of 64 values are NaN or infinite"),
}


@pytest.mark.parametrize("case", SAMPLES)
@pytest.mark.parametrize("end", ["npy", "npz"])
def test_samples_that_cannot_be_used(gpudl: Run, model: str, here: Path, case: str, end: str) -> None:
    array, expected = SAMPLES[case]
    if end == "npy":
        np.save(here / "x.npy", array)
    else:
        np.savez(here / "x.npz", x=array)
    outcome = gpudl("predict", model, f"x.{end}")
    assert outcome.code == 3
    assert f"x.{end}: {expected}" in outcome.err
    assert outcome.out == ""


def test_files_that_hold_no_samples(gpudl: Run, model: str, here: Path) -> None:
    np.save(here / "whole.npy", np.zeros((9, 8, 8)))
    whole = (here / "whole.npy").read_bytes()
    np.savez(here / "several.npz", a=np.zeros(3), b=np.zeros(3))
    zipped = (here / "several.npz").read_bytes()
    for name, content, expected in (
        ("text.npy", b"hello", "not a .npy or .npz file"),
        ("empty.npy", b"", "not a .npy or .npz file"),
        ("pickle.npy", b"\x80\x04K\x01.", "not a .npy or .npz file"),
        ("cut.npy", whole[:-5], "not a whole .npy or .npz file"),
        ("header.npy", whole[:30], "not a whole .npy or .npz file"),
        ("cut.npz", zipped[:-30], "not a whole .npy or .npz file"),
        ("several.npz", zipped, "holds a, b; call the array of samples x"),
    ):
        (here / name).write_bytes(content)
        outcome = gpudl("predict", model, name)
        assert outcome.code == 3
        assert f"{name}: {expected}" in outcome.err
        assert "pickle" not in outcome.err.removeprefix("error: pickle.npy")
    outcome = gpudl("predict", model, "whole.np")
    assert (outcome.code, 'whole.np: there is no such file; did you mean "whole.npy"?' in outcome.err) == (3, True)
    outcome = gpudl("predict", model, ".")
    assert (outcome.code, ".: is a folder" in outcome.err) == (3, True)


@pytest.mark.parametrize("command", [["evaluate"], ["predict"], ["summary"]])
def test_model_files_that_are_damaged(gpudl: Run, trained: Path, model: str, here: Path, command: list[str]) -> None:
    whole = (here / model).read_bytes()
    shutil.copy(trained / "experiment.toml", here)
    np.save(here / "x.npy", np.ones((8, 8)))
    flipped = bytearray(whole)
    flipped[-3] ^= 0x10
    for name, content, expected in (
        ("cut", whole[:-7], "not a whole safetensors file"),
        ("empty", b"", "not a whole safetensors file"),
        ("text", b"hello, this is no model", "not a whole safetensors file"),
        ("flipped", bytes(flipped), "is damaged: its SHA-256 is not the one written down"),
    ):
        (here / f"{name}.safetensors").write_bytes(content)
        outcome = gpudl(*command, f"{name}.safetensors", *(["x.npy"] if command == ["predict"] else []))
        assert outcome.code == 4
        assert f"{name}.safetensors: " in outcome.err
        assert expected in outcome.err
    outcome = gpudl(*command, "none.safetensors", *(["x.npy"] if command == ["predict"] else []))
    assert outcome.code == 4
    assert "none.safetensors: there is no such model file; there is " in outcome.err


def test_model_of_another_program(gpudl: Run, here: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, here / "other.safetensors")
    outcome = gpudl("summary", "other.safetensors")
    assert outcome.code == 4
    assert "other.safetensors: a safetensors file, but not a model saved by gpudl" in outcome.err


def test_evaluate_a_model_without_its_experiment(gpudl: Run, model: str) -> None:
    outcome = gpudl("evaluate", model)
    assert outcome.code == 2
    assert f"{model}: no experiment.toml lies beside the model" in outcome.err
    assert "give the run folder" in outcome.err


def test_evaluate_with_a_broken_experiment(gpudl: Run, trained: Path, here: Path) -> None:
    shutil.copytree(trained, here / "run")
    (here / "run" / "experiment.toml").write_text("units = ")
    outcome = gpudl("evaluate", "run")
    assert (outcome.code, "run/experiment.toml: not valid TOML" in outcome.err) == (2, True)


def test_full_disk_leaves_the_old_file(gpudl: Run, model: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(here / "x.npy", np.ones((8, 8)))
    (here / "y.npy").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpudl.files.os.fsync", full)
    outcome = gpudl("predict", model, "x.npy", "--out", "y.npy")
    assert outcome.code == 5
    assert "y.npy: cannot write " in outcome.err
    assert "no space is left on the disk; the file that was there is unchanged" in outcome.err
    assert (here / "y.npy").read_bytes() == b"old"
    assert {p.name for p in here.iterdir()} == {"x.npy", "y.npy", model}


def test_output_into_a_place_that_is_no_folder(gpudl: Run, model: str, here: Path) -> None:
    np.save(here / "x.npy", np.ones((8, 8)))
    outcome = gpudl("predict", model, "x.npy", "--out", "x.npy/y.npy")
    assert (outcome.code, "x.npy/y.npy: cannot write" in outcome.err) == (5, True)


def test_the_shells_program_returns_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(cli.gc, "freeze", lambda: frozen.append(True))
    for arguments, code in ((["--version"], 0), (["trian"], 2)):
        monkeypatch.setattr(sys, "argv", ["gpudl", *arguments])
        assert cli.program() == code
    assert len(frozen) == 2, "in a process that goes on, things would never be given back"
    cli.main(["--version"])
    assert len(frozen) == 2
