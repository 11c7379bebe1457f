"""The command line, run in this process; what property tests use lives for the session."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gpudl import registry
from gpudl.cli import main
from gpudl.plugins import manager

EXPERIMENT = """\
[run]
name = "tiny"
seed = 3

[data]
dataset = "digits"
batch_size = 128
validation_split = 0.1

[[model.layers]]
type = "flatten"

[[model.layers]]
type = "dense"
units = 8
activation = "relu"

[[model.layers]]
type = "dropout"
rate = 0.25

[[model.layers]]
type = "dense"
units = 10
activation = "softmax"

[training]
epochs = 1
loss = "sparse_categorical_crossentropy"
metrics = ["accuracy"]

[optimizer]
type = "adam"
learning_rate = 0.01
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, and what a person saw."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """The lines on stderr, the label in front of the first one taken away."""
        return self.err.removeprefix("error: ").splitlines()


@pytest.fixture(scope="session")
def text() -> str:
    """A valid experiment file."""
    return EXPERIMENT


@pytest.fixture(scope="session")
def gpudl() -> Callable[..., Outcome]:
    """Run a command; no command may ever show a traceback."""

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
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(here: Path, text: str) -> Callable[..., str]:
    """Write the valid experiment to a file of the current folder, some passages replaced; return the file's name."""

    def to_file(*changes: tuple[str, str], name: str = "x.toml") -> str:
        changed = text
        for old, new in changes:
            assert changed.count(old) == 1, f"{old!r} occurs {changed.count(old)} times"
            changed = changed.replace(old, new)
        (here / name).write_text(changed)
        return name

    return to_file


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, gpudl: Callable[..., Outcome], text: str) -> Path:
    """The folder of a finished run. Copy it before changing anything in it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "x.toml").write_text(text)
    outcome = gpudl("train", folder / "x.toml", "--run-dir", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture
def model(trained: Path, here: Path) -> str:
    """The model file of a finished run, alone in the current folder; takes samples of shape (8, 8, 1)."""
    (here / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    return "model.safetensors"


@pytest.fixture
def same_run() -> Callable[[Path, Path], None]:
    """Compare two runs to the bit: every tensor of the model file, optimizer included, and history.csv."""
    from gpudl.models.saving import read_file

    def compare(one: Path, other: Path) -> None:
        assert (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
        (header, tensors), (other_header, other_tensors) = (read_file(f / "model.safetensors") for f in (one, other))
        assert header["sha256"] == other_header["sha256"]
        assert tensors.keys() == other_tensors.keys()
        for name, array in tensors.items():
            np.testing.assert_array_equal(array, other_tensors[name], strict=True)

    return compare


@pytest.fixture
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without data sets of its own."""
    monkeypatch.delenv("GPUDL_DATA_DIR", raising=False)
    yield
