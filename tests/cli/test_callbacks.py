"""Callbacks in an experiment file: what they write lands in the run folder."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpudl.experiment.run import HistoryFile

CALLBACKS = """
[[callbacks]]
type = "model_checkpoint"
filepath = "checkpoints/{epoch:02d}.safetensors"

[[callbacks]]
type = "csv_logger"
filename = "log.csv"

[[callbacks]]
type = "reduce_lr_on_plateau"
monitor = "loss"
patience = 1
min_delta = 100.0
factor = 0.5

[[callbacks]]
type = "early_stopping"
monitor = "loss"
min_delta = 100.0
patience = 2
restore_best_weights = true
verbose = 1

[optimizer]"""


@pytest.fixture
def file(write: Callable[..., str]) -> str:
    return write(("epochs = 1", "epochs = 9"), ("\n[optimizer]", CALLBACKS))


def test_paths_lie_in_the_run_folder(gpudl: Callable[..., Any], file: str, here: Path) -> None:
    outcome = gpudl("train", file, "--run-dir", "run")
    assert outcome.code == 0, outcome.err
    assert "early_stopping: epoch 3, loss " in outcome.out and "wait 2 of 2: stop" in outcome.out
    assert {p.name for p in here.iterdir()} == {"x.toml", "run"}
    assert [p.name for p in sorted((here / "run" / "checkpoints").iterdir())] == [
        f"0{n}.safetensors" for n in (1, 2, 3)
    ]
    assert len((here / "run" / "log.csv").read_text().splitlines()) == 4
    rows = list(csv.DictReader((here / "run" / "history.csv").read_text().splitlines()))
    assert [row["learning_rate"] for row in rows] == ["0.01", "0.01", "0.005"]

    metrics = json.loads((here / "run" / "metrics.json").read_text())
    assert metrics["epochs"] == 3
    assert metrics["train"]["loss"] == pytest.approx(float(rows[0]["loss"]), rel=1e-5), "of the epoch gone back to"
    assert f"loss {metrics['validation']['loss']:.4f}" in gpudl("evaluate", "run").out

    resolved = tomllib.loads((here / "run" / "experiment.toml").read_text())
    assert resolved["callbacks"][0]["filepath"] == "checkpoints/{epoch:02d}.safetensors"
    assert gpudl("train", "run/experiment.toml", "--run-dir", "second").code == 0
    assert (here / "second" / "log.csv").read_bytes() == (here / "run" / "log.csv").read_bytes()


def test_an_absolute_path_stays(gpudl: Callable[..., Any], file: str, here: Path) -> None:
    assert gpudl("train", file, "--set", f"callbacks[1].filename={here}/elsewhere.csv", "--run-dir", "run").code == 0
    assert (here / "elsewhere.csv").is_file() and not (here / "run" / "log.csv").exists()


def test_a_run_that_goes_on_decides_the_same(
    gpudl: Callable[..., Any], file: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    assert gpudl("train", file, "--run-dir", "whole").code == 0
    original, left = HistoryFile.on_epoch_end, [1]

    def interrupted(self: Any, epoch: int, logs: Any = None) -> None:
        original(self, epoch, logs)
        if epoch == 1 and left:
            left.pop()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(HistoryFile, "on_epoch_end", interrupted)
    assert gpudl("train", file, "--run-dir", "run").code == 75
    assert gpudl("train", "run").code == 0
    for name in ("log.csv", "history.csv"):
        assert (here / "run" / name).read_bytes() == (here / "whole" / name).read_bytes()
    found, expected = (json.loads((here / f / "metrics.json").read_text()) for f in ("run", "whole"))
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}


def test_what_is_wrong_is_said_with_its_line(gpudl: Callable[..., Any], file: str) -> None:
    for setting, said in (
        ('callbacks[3].mode="maxi"', '"auto" or "min" or "max"'),
        ('callbacks[0].filepath="x.h5"', ".safetensors or .keras"),
        ("callbacks[2].factor=2.0", "below 1"),
        ('callbacks[3].monitor="val_los"', 'did you mean "val_loss"'),
        ('callbacks[0].filepath="{epoc}.safetensors"', 'did you mean "epoch"'),
    ):
        outcome = gpudl("train", file, "--set", setting, "--run-dir", "run")
        assert outcome.code == 2 and said in outcome.err, (setting, outcome.err)
