"""Plugins made for a test: distributions on sys.path as `pip` leaves them, and single files."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpudl import registry
from gpudl.cli import main
from gpudl.plugins import manager

_count = itertools.count()


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, and what a person saw."""

    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder on sys.path, where distributions are put."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def distribution(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Put a distribution with one module onto sys.path; return the module's name."""
    before = set(sys.modules)

    def put(name: str, source: str, entry_points: str | None = None) -> str:
        module = f"plugin_module_{next(_count)}"
        (site / f"{module}.py").write_text(source)
        info = site / f"{name.replace('-', '_')}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
        lines = f"main = {module}" if entry_points is None else entry_points.format(module=module)
        (info / "entry_points.txt").write_text(f"[gpudl]\n{lines}\n")
        return module

    yield put
    for name in set(sys.modules) - before:
        if name.startswith(("plugin_module_", "gpudl_plugin_")):
            del sys.modules[name]


@pytest.fixture
def gpudl(here: Path) -> Callable[..., Outcome]:
    """Run a command in this process; no command may ever show a traceback."""

    def run(*arguments: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main([str(argument) for argument in arguments])
        finally:
            manager._manager = None  # plugins of one command are not those of the next
            registry.forget()
        outcome = Outcome(code, out.getvalue(), err.getvalue())
        assert "Traceback" not in outcome.out + outcome.err
        assert "This is a bug" not in outcome.err, outcome.err
        return outcome

    return run


@pytest.fixture
def gpudl_process(here: Path, site: Path) -> Callable[..., Outcome]:
    """Run a command in a process of its own."""

    def run(*arguments: str) -> Outcome:
        command = [sys.executable, "-c", "import sys; from gpudl.cli import main; sys.exit(main())", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
