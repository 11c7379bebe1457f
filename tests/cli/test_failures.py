"""Training that fails or is interrupted: exit codes 5 and 75, nothing lost, and a resume that is equal to the bit."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpudl.backend import devices
from gpudl.experiment import run as experiment_run

Run = Callable[..., Any]
Write = Callable[..., str]

COMMAND = [sys.executable, "-c", "import sys; from gpudl.cli import main; sys.exit(main())"]


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_what_the_environment_says_is_no_fault_of_the_file(
    gpudl: Run, write: Write, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GPUDL_NUM_THREADS", "two")
    outcome = gpudl("train", write(), *options)
    assert outcome.code == 2
    assert outcome.err == "error: GPUDL_NUM_THREADS=two must be an integer of at least 1\n"


def test_the_environment_chooses_where_the_file_does_not(
    gpudl: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_current", None)
    monkeypatch.setattr(devices, "_chosen", "gqu")  # as GPUDL_DEVICE was when gpudl was imported
    outcome = gpudl("train", write())
    assert outcome.code == 2
    assert outcome.err == 'error: device "gqu" is unknown; use "auto", "cpu" or "cuda"\n'
    assert gpudl("train", write(), "--device", "cpu").code == 0


def test_divergence(gpudl: Run, write: Write, here: Path) -> None:
    name = write(('"adam"', '"sgd"'), ("0.01", "1e9"), ("epochs = 1", "epochs = 3"), ('"relu"', '"linear"'))
    outcome = gpudl("train", name, "--run-dir", "out")
    assert outcome.code == 5
    assert "training diverged: " in outcome.err
    assert "in epoch 1; lower optimizer.learning_rate (now 1e+09)" in outcome.err
    assert "what was recorded is in out" in outcome.err
    assert "Warning" not in outcome.err
    assert files(here / "out") == {"experiment.toml", "history.csv"}
    [row] = list(csv.DictReader((here / "out" / "history.csv").read_text().splitlines()))
    assert not math.isfinite(float(row["loss"]))


def test_divergence_in_the_last_step(gpudl: Run, write: Write) -> None:
    """Its loss is still finite, that of the validation part is not."""
    name = write(
        ('"adam"', '"sgd"'), ("0.01", "1e38"), ('"relu"', '"linear"'), ("batch_size = 128", "batch_size = 5000")
    )
    outcome = gpudl("train", name)
    assert outcome.code == 5
    assert "training diverged: val_loss became nan in epoch 1" in outcome.err


@pytest.mark.parametrize("during", ["fit", "evaluate", "load_data"])
def test_out_of_memory(gpudl: Run, write: Write, monkeypatch: pytest.MonkeyPatch, during: str) -> None:
    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise MemoryError("Unable to allocate 45.5 PiB")

    if during == "load_data":
        monkeypatch.setattr(experiment_run, "load_data", refuse)
    else:
        monkeypatch.setattr(f"gpudl.models.Model.{during}", refuse)
    outcome = gpudl("train", write())
    assert outcome.code == 5
    assert "out of memory" in outcome.err
    assert "data.batch_size" in outcome.err


def test_layer_larger_than_memory(gpudl: Run, write: Write) -> None:
    outcome = gpudl("train", write(("units = 8", f"units = {10**15}")))
    assert outcome.code == 5
    assert "out of memory: Unable to allocate" in outcome.err


def test_full_disk_while_the_model_is_saved(
    gpudl: Run, write: Write, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """history.csv has been written by then, and stays."""
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("model.safetensors"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr("gpudl.files.os.replace", full)
    outcome = gpudl("train", write(), "--run-dir", "out")
    assert outcome.code == 5
    assert "out/model.safetensors: cannot write " in outcome.err
    assert "no space is left on the disk; free some space or choose another folder" in outcome.err
    assert files(here / "out") == {"experiment.toml", "history.csv"}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_files_that_may_not_grow(write: Write, here: Path) -> None:
    """A real limit on the size of files, in a process of its own: the small files are written, the model is not."""
    limited = (
        "import resource, signal, sys; from gpudl.cli import main; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); sys.exit(main())"
    )
    command = [sys.executable, "-c", limited, "train", write(), "--run-dir", "out"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 5
    assert "out/model.safetensors: cannot write" in process.stderr
    assert "Traceback" not in process.stderr
    assert files(here / "out") == {"experiment.toml", "history.csv"}


# Ctrl-C

INTERRUPT = """\
import signal
from gpudl.callbacks import Callback
from gpudl.hookspecs import hookimpl

class InterruptAt(Callback):
    '''Press Ctrl-C after a step, or in the validation that follows it; and remember how many steps were seen.'''

    def __init__(self, step: int, validation: bool = False, twice: bool = False) -> None:
        self.step, self.validation, self.twice = step, validation, twice
        self.seen = 0

    def state(self):
        return {"seen": self.seen}

    def load_state(self, state):
        self.seen = state["seen"]

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        assert self.seen == self.model.training_state.step
        if self.seen == self.step and not self.validation:
            self.press()

    def on_test_batch_end(self, batch, logs=None):
        if self.seen == self.step and self.validation and batch == 0:
            self.press()

    def press(self):
        signal.raise_signal(signal.SIGINT)
        if self.twice:
            signal.raise_signal(signal.SIGINT)

@hookimpl
def register_callbacks(register):
    register("interrupt_at", InterruptAt)
"""

# 1,294 samples for training make 11 steps an epoch.
LONG = ("epochs = 1", "epochs = 3")
SCHEDULE = ("0.01", '{ type = "cosine_decay", initial_learning_rate = 0.01, decay_steps = 30 }')


def with_interrupt(write: Write, here: Path, settings: str, name: str = "x.toml") -> str:
    (here / "interrupt.py").write_text(INTERRUPT)
    end = (SCHEDULE[0], f'{SCHEDULE[1]}\n\n[[callbacks]]\ntype = "interrupt_at"\n{settings}')
    return write(LONG, end, name=name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("step = 1", "stopped in epoch 1 after batch 1"),
        ("step = 7", "stopped in epoch 1 after batch 7"),
        ("step = 11", "stopped in epoch 1 after batch 11"),  # the last of the epoch: its validation is still to come
        ("step = 16", "stopped in epoch 2 after batch 5"),
        ("step = 11\nvalidation = true", "stopped in epoch 2 after batch 1"),
        ("step = 33", "stopped in epoch 3 after batch 11"),
    ],
)
def test_resumed_run_equals_one_that_was_never_stopped(
    gpudl: Run, write: Write, here: Path, same_run: Callable[..., None], settings: str, message: str
) -> None:
    whole = gpudl("train", with_interrupt(write, here, "step = 1000"), "--run-dir", "whole", "--plugin", "interrupt.py")
    assert whole.code == 0, whole.err
    name = with_interrupt(write, here, settings)
    stopped = gpudl("train", name, "--run-dir", "stopped", "--plugin", "interrupt.py")
    assert stopped.code == 75
    assert stopped.err.startswith(f"interrupted: {message}; all of it is saved; to go on:\n  gpudl train stopped")
    assert "stopped/checkpoints/interrupted.safetensors" in files(here)
    assert "stopped/model.safetensors" not in files(here)
    resumed = gpudl("train", "stopped", "--plugin", "interrupt.py")
    assert (resumed.code, resumed.err) == (0, "")
    same_run(here / "whole", here / "stopped")
    assert files(here / "stopped") == files(here / "whole")
    again = gpudl("train", "stopped", "--plugin", "interrupt.py")
    assert (again.code, "it has ended" in again.err) == (2, True)


def test_run_stopped_several_times(gpudl: Run, write: Write, here: Path, same_run: Callable[..., None]) -> None:
    blocks = '\n\n[[callbacks]]\ntype = "interrupt_at"\n'.join(f"step = {step}" for step in (3, 4, 20))
    whole = gpudl("train", with_interrupt(write, here, "step = 1000"), "--run-dir", "whole", "--plugin", "interrupt.py")
    assert whole.code == 0
    codes = [gpudl("train", with_interrupt(write, here, blocks), "--run-dir", "out", "--plugin", "interrupt.py").code]
    codes += [gpudl("train", "out", "--plugin", "interrupt.py").code for _ in range(3)]
    assert codes == [75, 75, 75, 0]
    same_run(here / "whole", here / "out")


def test_what_an_interrupted_run_is_good_for(gpudl: Run, write: Write, here: Path) -> None:
    name = with_interrupt(write, here, "step = 7")
    assert gpudl("train", name, "--run-dir", "out", "--plugin", "interrupt.py").code == 75
    for command in (["evaluate", "out"], ["summary", "out"], ["predict", "out", "x.npy"]):
        outcome = gpudl(*command)
        assert outcome.code == 2
        assert "out: this run was interrupted; finish it with: gpudl train out" in outcome.err
    outcome = gpudl("train", "out")
    assert outcome.code == 2
    assert 'unknown callback "interrupt_at"' in outcome.err
    outcome = gpudl("train", name, "--run-dir", "out", "--plugin", "interrupt.py")
    assert (outcome.code, "holds another run" in outcome.err) == (2, True)


def test_damaged_checkpoint(gpudl: Run, write: Write, here: Path, trained: Path) -> None:
    name = with_interrupt(write, here, "step = 7")
    assert gpudl("train", name, "--run-dir", "out", "--plugin", "interrupt.py").code == 75
    checkpoint = here / "out" / "checkpoints" / "interrupted.safetensors"
    whole = checkpoint.read_bytes()
    for content, expected in (
        (whole[:-9], "not a whole safetensors file"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "is damaged: its SHA-256"),
        ((trained / "model.safetensors").read_bytes(), "a model, but not one of an interrupted run"),
    ):
        checkpoint.write_bytes(content)
        outcome = gpudl("train", "out", "--plugin", "interrupt.py")
        assert outcome.code == 4
        assert "interrupted.safetensors: " in outcome.err
        assert expected in outcome.err
        assert checkpoint.read_bytes() == content
    checkpoint.write_bytes(whole)
    assert gpudl("train", "out", "--plugin", "interrupt.py").code == 0


def test_second_press_stops_at_once(gpudl: Run, write: Write, here: Path) -> None:
    name = with_interrupt(write, here, "step = 7\ntwice = true")
    before = signal.getsignal(signal.SIGINT)  # to ignore it, where a shell began this in the background
    outcome = gpudl("train", name, "--run-dir", "out", "--plugin", "interrupt.py")
    assert outcome.code == 130
    assert outcome.err == "interrupted: stopped at once; nothing is saved of the epoch under way\n"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX")
def test_ctrl_c_in_a_process_of_its_own(gpudl: Run, write: Write, here: Path, same_run: Callable[..., None]) -> None:
    name = write(("epochs = 1", "epochs = 150"))
    process = subprocess.Popen(
        [*COMMAND, "train", name, "--run-dir", "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch   1/150  loss ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "interrupted: stopped in epoch " in err
    assert "Traceback" not in out + err
    done = (here / "out" / "history.csv").read_text().splitlines()
    assert 1 < len(done) < 151
    resumed = subprocess.run([*COMMAND, "train", "out"], capture_output=True, text=True, timeout=60)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert gpudl("train", name, "--run-dir", "whole").code == 0
    same_run(here / "whole", here / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break as on POSIX")
def test_reader_that_has_seen_enough(trained: Path) -> None:
    process = subprocess.Popen([*COMMAND, "summary", trained], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()
        assert process.stderr.read() == b""
