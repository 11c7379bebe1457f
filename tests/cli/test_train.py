"""`gpudl train` on a sound file: what is printed, and what the run folder holds."""

from __future__ import annotations

import csv
import dataclasses
import json
import tomllib
import weakref
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from gpudl.experiment import run

Run = Callable[..., Any]
Write = Callable[..., str]


def test_run_folder(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", write(("epochs = 1", "epochs = 2")))
    assert (outcome.code, outcome.err) == (0, "")
    [folder] = (here / "runs" / "tiny").iterdir()
    assert f"gpudl evaluate {folder.relative_to(here)}" in outcome.out
    files = {p.name for p in folder.iterdir()}
    assert {"experiment.toml", "history.csv", "metrics.json", "model.safetensors"} <= files
    assert not [name for name in files if name.startswith(".")]

    rows = list(csv.reader((folder / "history.csv").read_text().splitlines()))
    assert rows[0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [row[0] for row in rows[1:]] == ["1", "2"]

    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() == {"train", "validation", "test", "epochs", "steps", "seconds", "device", "versions"}
    for part in ("train", "validation", "test"):
        assert metrics[part].keys() == {"loss", "accuracy"}
    assert float(rows[2][2]) == pytest.approx(metrics["train"]["loss"], rel=1e-5)
    assert float(rows[2][3]) == pytest.approx(metrics["validation"]["accuracy"], rel=1e-5)
    # 1,438 digits for training, of which a tenth is set aside: 1,294 make 11 batches of 128.
    assert (metrics["epochs"], metrics["steps"], metrics["device"]) == (2, 22, "cpu")
    assert metrics["versions"]["gpudl"] == version("gpudl")
    assert 0 < metrics["seconds"] < 600


def test_resolved_experiment_has_every_default_and_gives_the_same_numbers(
    gpudl: Run, write: Write, here: Path, same_run: Callable[..., None]
) -> None:
    assert gpudl("train", write(), "--run-dir", "first").code == 0
    resolved = tomllib.loads((here / "first" / "experiment.toml").read_text())
    assert resolved["run"] == {"name": "tiny", "seed": 3, "device": "auto"}
    assert resolved["data"]["shuffle"] is True
    assert resolved["data"]["test_fraction"] == 0.2
    assert resolved["model"]["layers"][1]["kernel_initializer"] == "glorot_uniform"
    assert resolved["optimizer"]["beta_2"] == 0.999
    assert resolved["callbacks"] == []
    assert gpudl("train", "first/experiment.toml", "--run-dir", "second").code == 0
    same_run(here / "first", here / "second")
    again = tomllib.loads((here / "second" / "experiment.toml").read_text())
    assert again == resolved


def test_resolved_building_blocks_in_tables(
    gpudl: Run, write: Write, here: Path, same_run: Callable[..., None]
) -> None:
    name = write(
        ("units = 8", 'units = 8\nkernel_initializer = { type = "random_normal", stddev = 0.1 }'),
        (
            "learning_rate = 0.01",
            'learning_rate = { type = "cosine_decay", initial_learning_rate = 0.01, decay_steps = 9 }',
        ),
        ('"accuracy"]', '"accuracy", "sparse_categorical_accuracy"]'),
    )
    assert gpudl("train", name, "--run-dir", "first").code == 0
    resolved = tomllib.loads((here / "first" / "experiment.toml").read_text())
    assert resolved["model"]["layers"][1]["kernel_initializer"] == {
        "type": "random_normal",
        "mean": 0.0,
        "stddev": 0.1,
    }
    assert resolved["optimizer"]["learning_rate"]["alpha"] == 0.0
    assert gpudl("train", "first/experiment.toml", "--run-dir", "second").code == 0
    same_run(here / "first", here / "second")


def test_names_as_keras_writes_them(gpudl: Run, write: Write, here: Path, same_run: Callable[..., None]) -> None:
    assert gpudl("train", write(), "--run-dir", "first").code == 0
    name = write(
        ('"flatten"', '"Flatten"'),
        ('"adam"', '"Adam"'),
        ('"sparse_categorical_crossentropy"', '"SparseCategoricalCrossentropy"'),
    )
    assert gpudl("train", name, "--run-dir", "second").code == 0
    same_run(here / "first", here / "second")


def test_options_change_the_experiment(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl(
        "train",
        write(),
        "--epochs",
        2,
        "--device",
        "cpu",
        "--run-dir",
        "out",
        "--set",
        "model.layers[1].units=5",
        "--set",
        "model.layers.2.rate=0.5",
        "--set",
        "optimizer.type=sgd",
        "--set",
        "training.metrics=[]",
        "--set",
        "run.name=other",
        "--set",
        "model.name = long",
    )
    assert outcome.code == 0, outcome.err
    resolved = tomllib.loads((here / "out" / "experiment.toml").read_text())
    assert resolved["training"] == {"epochs": 2, "loss": "sparse_categorical_crossentropy", "metrics": []}
    assert resolved["model"]["layers"][1]["units"] == 5
    assert resolved["model"]["layers"][2]["rate"] == 0.5
    assert (resolved["run"]["device"], resolved["run"]["name"]) == ("cpu", "other")
    assert resolved["optimizer"] == {
        "type": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.0,
        "nesterov": False,
    }


def test_dry_run_shows_the_network_and_writes_nothing(gpudl: Run, write: Write, here: Path) -> None:
    outcome = gpudl("train", write(), "--dry-run")
    assert outcome.code == 0
    assert "(N, 8)" in outcome.out
    assert "nothing is wrong" in outcome.out
    assert {p.name for p in here.iterdir()} == {"x.toml"}


def test_without_a_validation_part(gpudl: Run, write: Write, here: Path) -> None:
    assert gpudl("train", write(("validation_split = 0.1", "validation_split = 0")), "--run-dir", "out").code == 0
    metrics = json.loads((here / "out" / "metrics.json").read_text())
    assert metrics["validation"] == {}
    assert gpudl("evaluate", "out").out.startswith("test ")


def test_two_runs_within_a_second_have_folders_of_their_own(gpudl: Run, write: Write, here: Path) -> None:
    name = write()
    for _ in range(3):
        assert gpudl("train", name).code == 0
    assert len(list((here / "runs" / "tiny").iterdir())) == 3


def test_file_with_a_byte_order_mark_and_windows_line_ends(gpudl: Run, text: str, here: Path) -> None:
    (here / "x.toml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert gpudl("train", "x.toml", "--dry-run").code == 0


def test_given_names_and_those_chosen_do_not_meet(gpudl: Run, write: Write) -> None:
    name = write(
        ("units = 8", 'units = 8\nname = "dense"'),
        ("rate = 0.25", 'rate = 0.25\n\n[[model.layers]]\ntype = "dense"\nunits = 7'),
    )
    outcome = gpudl("train", name, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "dense_1 Dense" in outcome.out
    assert "dense_2 Dense" in outcome.out


def test_version(gpudl: Run) -> None:
    outcome = gpudl("--version")
    assert (outcome.code, outcome.out) == (0, f"gpudl {version('gpudl')}\n")


def test_lists(gpudl: Run, quiet_environment: None) -> None:
    plugins = gpudl("plugins", "list")
    assert plugins.code == 0
    assert "batch_normalization" in plugins.out.replace("\n", "")
    data = gpudl("data", "list")
    assert data.code == 0
    for name in ("digits", "mnist", "fashion_mnist", "csv", "npz"):
        assert f"│ {name} " in data.out


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["train", "--help"], ["plugins", "list", "-h"]])
def test_help(gpudl: Run, arguments: list[str]) -> None:
    outcome = gpudl(*arguments)
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: ")
    if arguments == ["--help"]:
        for command in ("train", "evaluate", "predict", "summary", "plugins", "data"):
            assert f"\n  {command} " in outcome.out


def test_the_data_are_not_held_twice(gpudl: Run, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are put in order before training; what they were before is let go of."""
    load, train = run.load_data, run._run
    as_loaded: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def loaded(experiment: Any) -> Any:
        data = load(experiment)
        data = dataclasses.replace(data, x_train=data.x_train.copy())
        as_loaded.append(weakref.ref(data.x_train))
        return data

    def trained(*arguments: Any) -> Any:
        alive.append(as_loaded[0]() is not None)
        return train(*arguments)

    monkeypatch.setattr(run, "load_data", loaded)
    monkeypatch.setattr(run, "_run", trained)
    assert gpudl("train", write()).code == 0
    assert alive == [False]
