"""The example for users of CuPy runs without it, and its adjoints agree."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "cupy_conv2d.py"


def test_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    noise, edges, adjoints = capsys.readouterr().out.splitlines()
    before, after = (float(n) for n in re.findall(r"\d\.\d+", noise))
    assert noise.startswith("numpy") and after < before / 2
    assert "(1, 62, 62, 2)" in edges
    there, *back = (float(n) for n in re.findall(r"-?\d+\.\d+", adjoints))
    assert back == pytest.approx([there, there], rel=1e-3)
