"""The plugin as its users meet it: installed, found by its entry point, named in an experiment file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

gpudl_swish = pytest.importorskip("gpudl_swish", reason="needs: pip install ./plugins/gpudl-swish")

from gpudl import layers, registry  # noqa: E402
from gpudl.cli import main  # noqa: E402
from gpudl.testing import check_layer, check_op  # noqa: E402


def test_activation_and_gradient() -> None:
    x = np.random.default_rng(0).normal(size=(4, 5)) * 3
    check_op(gpudl_swish.e_swish, (x,), oracle=lambda x: 1.5 * x / (1 + np.exp(-x)))


def test_layer() -> None:
    check_layer(gpudl_swish.Swish, {"beta": 0.5}, (3, 4))


def test_found_by_name() -> None:
    assert layers.Dense(3, activation="e_swish").activation is gpudl_swish.e_swish
    assert isinstance(registry.resolve("layers", {"type": "swish", "beta": 2.0}), gpudl_swish.Swish)


def test_example_trains(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "custom_layer.toml"
    assert main(["train", str(example), "--epochs", "3", "--run-dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["accuracy"] > 0.8
