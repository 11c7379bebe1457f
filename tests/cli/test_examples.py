"""The examples reach the accuracy they promise."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpudl.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
BESIDE = Path(__file__).parents[3] / "shared" / "data"


def accuracy_of(example: str, folder: Path) -> float:
    assert main(["train", str(EXAMPLES / example), "--run-dir", str(folder / "run")]) == 0
    return json.loads((folder / "run" / "metrics.json").read_text())["test"]["accuracy"]


def test_digits(tmp_path: Path) -> None:
    assert accuracy_of("digits_cnn.toml", tmp_path) >= 0.98


def test_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ.get("GPUDL_DATA_DIR") or BESIDE)
    if not (folder / "mnist").is_dir():
        pytest.skip("needs MNIST in GPUDL_DATA_DIR")
    monkeypatch.setenv("GPUDL_DATA_DIR", str(folder))
    assert accuracy_of("mnist_cnn.toml", tmp_path) >= 0.985
