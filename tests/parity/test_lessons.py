"""The lessons run with Keras as they are, and with gpudl when only their import lines change.

Each leaves its numbers in `result`. What its key ends in says how they are compared: a "loss" may be a little worse
than Keras's, since the weights are drawn otherwise; an "accuracy" must reach the floor below; all else is the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl.errors import DataError

pytestmark = pytest.mark.parity

LESSONS = sorted((Path(__file__).parents[1] / "lessons").glob("*.py"))

# What must at least be reached: by the lesson, or by the lesson and the key.
FLOORS: dict[str, float] = {
    "augmentation": 0.85,
    "autoencoder": 0.75,
    "imbalanced": 0.75,
    "mnist_convnet": 0.88,
    "xor": 1.0,
}
FLOOR = 0.9


@pytest.mark.parametrize("lesson", [pytest.param(path, id=path.stem) for path in LESSONS])
def test_lesson(
    lesson: Path,
    run_lesson: Callable[..., dict[str, Any]],
    keras: Any,
    torch: Any,
    score: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "datasets.mnist" in lesson.read_text():
        try:
            gpudl.datasets.mnist.load_data()
        except DataError as error:
            pytest.skip(str(error))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", gpudl.datasets.mnist.load_data)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own are not ours to mend
        torch.manual_seed(0)
        theirs = run_lesson(lesson, "keras")
    monkeypatch.chdir(tmp_path / "ours")
    with score("lesson", lesson.stem):
        same_result(lesson.stem, run_lesson(lesson, "gpudl"), theirs)


def same_result(lesson: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    wrong = [key for key in theirs if not agrees(lesson, key, ours[key], theirs[key])]
    assert not wrong, "\n".join(f"{key}: {ours[key]} with gpudl, {theirs[key]} with Keras" for key in wrong)


def agrees(lesson: str, key: str, ours: Any, theirs: Any) -> bool:
    if key.endswith("loss"):
        return isinstance(ours, float) and np.isfinite(ours) and ours <= 1.3 * theirs + 0.05
    if key.endswith("accuracy") and not isinstance(theirs, bool):
        floor = FLOORS.get(lesson, FLOOR)
        return isinstance(ours, float) and min(ours, theirs) >= floor
    if isinstance(theirs, float) or (isinstance(theirs, list) and theirs and isinstance(theirs[0], float)):
        return ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    return ours == theirs
