"""The course notes run, draw their pictures, and print numbers that hold what the pictures claim."""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTES = sorted((EXAMPLES / "notes").glob("[0-9]*.py"))
SLOW = {"12_cnn", "13_dropout", "17_global_average_pooling", "18_l1_l2"}
"""Those that may take longer than six seconds; GPUDL_SLOW=1 runs them too (`GPUDL_SLOW=1 pytest tests/examples`)."""

Numbers = list[float]

# What each note claims, of the numbers in the line that it prints, in their order. Bounds leave room for other
# processors, whose sums round differently.
CLAIMS: dict[str, Callable[[Numbers], bool]] = {
    "01_perceptron": lambda n: n[0] < 0.7 and n[1] > 0.93,
    "02_gradient_descent": lambda n: n[0] == 8 and max(n[1], n[2]) < 0.25 and n[3] > 1,
    "03_overfitting": lambda n: n[3] > 0.99 and n[1] > n[4] + 0.1 and n[5] > 3 * n[2],
    "04_activations": lambda n: n == [0.25, 1, 1, 0.25],
    "05_optimizers": lambda n: n[0] == 60 and n[1] > 3 * max(n[2:]),
    "06_images_as_arrays": lambda n: n[:5] == [8, 8, 8, 8, 3] and n[-1] == 3 * n[-2],
    "07_functional_api": lambda n: n[0] < 1e-5 and n[1] > 0.85 and n[2] > 0.94,
    "08_validation": lambda n: n[0] > 0.99 and min(n[1:3]) > 0.93 and n[3] > 0.9 and max(n[4:]) < 0.2,
    "09_callbacks": lambda n: n[1] < n[-2] < 100 and len(n) > 4 and n[-1] > 0.94,
    "10_convolution": lambda n: [n[i] for i in (3, 4, 6, 7, 9, 10, 12, 13)] == [6, 6, 8, 8, 3, 3, 4, 4],
    "11_pooling": lambda n: n[0] == n[2] > n[5] and n[1] == n[6] < n[3] and (n[4], n[7]) == (16, 64),
    "12_cnn": lambda n: n[0] > 0.96,
    "13_dropout": lambda n: n[2] < n[0] - 0.05 and n[3] > n[1] + 0.04,
    "14_initialization": lambda n: n[2] > 2.2 and n[1] < 1e-8 and n[3] < 0.1 and 0.3 < n[5] < 2 and n[6] < 0.1 < n[4],
    "15_batch_normalization": lambda n: n[0] < 0.3 and n[1] > 0.93 and n[3] < n[2] / 5,
    "16_batch_size": lambda n: n[1] > n[5] > n[9] and n[2] > n[6] > n[10] and n[3] > n[11] < n[7],
    "17_global_average_pooling": lambda n: n[0] > 30 * n[4] and n[5] > 0.94 and n[6] > n[2] + 0.15 and n[7] > 0.9,
    "18_l1_l2": lambda n: n[3] > 0.5 > 3 * n[0] and max(n[5], n[8], n[11]) < n[2] - 0.03 and max(n[7], n[10]) < n[1],
}


def run(note: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a note as `python note.py arguments` does, in this process."""
    monkeypatch.setattr(sys, "argv", [str(note), *arguments])
    monkeypatch.syspath_prepend(str(note.parent))
    monkeypatch.delitem(sys.modules, "_plot", raising=False)
    try:
        runpy.run_path(str(note), run_name="__main__")
    finally:
        sys.modules.pop("_plot", None)


def numbers_in(line: str) -> Numbers:
    return [float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", line)]


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height, from the header of a PNG file."""
    header = picture.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(header[16:20]), int.from_bytes(header[20:24])


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_note(note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    if note.stem in SLOW and not os.environ.get("GPUDL_SLOW"):
        pytest.skip("takes longer than six seconds; GPUDL_SLOW=1 runs it")
    try:
        run(note, ["--out", str(tmp_path / "picture.png")], monkeypatch)
    finally:
        pyplot.close("all")
        pyplot.rcdefaults()
    [line] = capsys.readouterr().out.splitlines()
    assert CLAIMS[note.stem](numbers_in(line)), line
    assert size_of(tmp_path / "picture.png") == (900, 500)


def test_every_note_is_shown() -> None:
    """The page of examples shows each note's picture and the command that makes it, in the notes' order."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [note.stem for note in NOTES] == sorted(CLAIMS)
    assert re.findall(r"\]\(notes/images/(\w+)\.png\)", page) == [note.stem for note in NOTES]
    assert re.findall(r"python examples/notes/(\w+)\.py", page) == [note.stem for note in NOTES]
    for note in NOTES:
        picture = EXAMPLES / "notes" / "images" / f"{note.stem}.png"
        assert size_of(picture) == (900, 500)
        assert picture.stat().st_size < 80_000


def test_without_matplotlib_a_note_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match="pip install matplotlib"):
        run(NOTES[0], [], monkeypatch)
