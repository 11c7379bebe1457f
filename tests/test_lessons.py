"""Every lesson runs with gpudl alone, once its import lines say so; tests/parity compares what comes out with Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpudl import datasets
from gpudl.errors import DataError

LESSONS = sorted((Path(__file__).parent / "lessons").glob("*.py"))


@pytest.mark.parametrize("lesson", [pytest.param(path, id=path.stem) for path in LESSONS])
def test_lesson(
    lesson: Path, run_lesson: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "datasets.mnist" in lesson.read_text():
        try:
            datasets.mnist.load_data()
        except DataError as error:
            pytest.skip(str(error))
    if "weights.h5" in lesson.read_text() or '.keras"' in lesson.read_text():
        pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    assert run_lesson(lesson, "gpudl")
