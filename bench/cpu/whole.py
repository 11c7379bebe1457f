"""Whole runs from the shell: seconds from the prompt to trained digits, and peak memory of an epoch of MNIST."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EPOCHS = 12


def run(command: list[str]) -> tuple[float, float]:
    """Run a command -> seconds, and the MB of memory that it needed at most."""
    began = time.perf_counter()
    written = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command, cwd=ROOT, env=written, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said}")
    return time.perf_counter() - began, used.ru_maxrss * (1024 if sys.platform != "darwin" else 1) / 1e6


def commands(what: str, folder: str, epochs: int) -> dict[str, list[str]]:
    """Return what trains "digits" or "mnist" from the shell, and saves it into the folder."""
    ours = [f"examples/{what}_cnn.toml", "--epochs", str(epochs), "--run-dir", f"{folder}/run", "--device", "cpu"]
    return {
        "gpudl": [str(Path(sys.executable).with_name("gpudl")), "train", *ours],
        "torch": [sys.executable, "-m", "bench.cpu.torch_script", what, str(epochs), f"{folder}/model.pt"],
    }


def digits_network() -> Any:
    """The network of digits_cnn.toml."""
    from gpudl.experiment.experiment import read

    return read(str(ROOT / "examples" / "digits_cnn.toml")).model((8, 8, 1))


def digits(turns: int) -> dict[str, float]:
    """Return median seconds from the shell prompt to 12 epochs, an evaluation and a saved model.

    A first run of each, which compiles Python's files, is not counted.
    """
    times: dict[str, list[float]] = {"gpudl": [], "torch": []}
    for _ in range(turns + 1):
        for library in times:
            with tempfile.TemporaryDirectory() as folder:
                times[library].append(run(commands("digits", folder, EPOCHS)[library])[0])
    return {library: statistics.median(found[1:]) for library, found in times.items()}


def memory() -> dict[str, float]:
    """Return the peak memory in MB of the process that trains the MNIST CNN for an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        return {library: run(command)[1] for library, command in commands("mnist", folder, 1).items()}
