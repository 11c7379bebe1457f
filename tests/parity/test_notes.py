"""A note is a Keras lesson: with only its imports changed it runs on Keras, and prints the same numbers."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import gpudl

pytestmark = pytest.mark.parity

NOTES = Path(__file__).parents[2] / "examples" / "notes"


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]


# Those in which nothing is drawn by lot: the two libraries draw different numbers from the same seed.
@pytest.mark.parametrize("name", ["05_optimizers", "06_images_as_arrays", "10_convolution"])
def test_note_on_keras(
    name: str, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    source = (NOTES / f"{name}.py").read_text(encoding="utf-8")
    for ours, theirs in (("import gpudl as keras", "import keras"), ("from gpudl import", "from keras import")):
        assert ours in source
        source = source.replace(ours, theirs)
    assert "gpudl" not in source
    lesson = tmp_path / "lesson.py"
    lesson.write_text(source, encoding="utf-8")
    monkeypatch.setattr(keras.datasets, "digits", gpudl.datasets.digits, raising=False)  # Keras has no such data
    monkeypatch.setattr(sys, "argv", ["lesson.py", "--out", str(tmp_path / "picture.png")])
    monkeypatch.syspath_prepend(str(NOTES))
    printed = []
    try:
        for file in (lesson, NOTES / f"{name}.py"):
            runpy.run_path(str(file), run_name="__main__")
            printed.append(capsys.readouterr().out)
    finally:
        sys.modules.pop("_plot", None)
        pyplot.close("all")
        pyplot.rcdefaults()
    on_keras, on_gpudl = map(numbers_in, printed)
    assert on_keras
    assert on_gpudl == pytest.approx(on_keras, rel=0.03), printed  # to the digits that are printed
