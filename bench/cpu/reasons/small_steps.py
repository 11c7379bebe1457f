"""Small steps: what there is of them whatever the batch, and of a run besides its steps."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from bench.cpu import whole
from bench.cpu.reasons.products import products_of_mlp
from bench.cpu.reasons.timing import Figure, Job, milliseconds, quickest

SIZES = 16, 24, 32
"""Batches through whose times a line is laid."""


def of_small_steps(seconds: float) -> list[Figure]:
    """What there is of a small step whatever its batch, what products take of it, and of a run besides its steps."""
    from bench.cpu.profile import step  # loads gpudl, which a process that times PyTorch must not

    found = []
    for work, network in (("step: MLP 64-64-10", "mlp64"), ("digits", "digits")):
        times = [milliseconds(seconds, Job(step, (network, size), threads=1)) for size in SIZES]
        found += [Figure(work, f"batch {size}", each, "ms") for size, each in zip(SIZES, times, strict=True)]
        slope, none = statistics.linear_regression(SIZES, times)
        found.append(Figure(work, "batch of none, by the line through these", none, "ms"))
        found.append(Figure(work, "each further sample", 1e3 * slope, "us"))
    for epochs in (1, whole.EPOCHS):
        found.append(Figure("digits", f"from the shell prompt, epochs: {epochs}", _run_of_digits(epochs), "s"))
    found.append(Figure("digits", "import of NumPy, Typer and Pydantic", _imports(), "s"))
    work = "step: MLP 784-256-128-10"
    found.append(Figure(work, "its eight products", milliseconds(seconds, Job(products_of_mlp, ())), "ms"))
    return [*found, Figure(work, "batch 128", milliseconds(seconds, Job(step, ("mlp784", 128))), "ms")]


def _imports() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import numpy, typer, pydantic"], check=True)
    return quickest("imports", time.perf_counter() - began)


def _run_of_digits(epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return quickest(epochs, whole.run(whole.commands("digits", folder, epochs)["gpudl"])[0])
