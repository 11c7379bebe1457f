"""What PyTorch's operators take of its training step, in both memory formats: `python -m bench.cpu.torch_profile cnn`.

By torch.profiler, which takes a few hundredths of the step itself. Each format has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cpu import steps
from bench.cpu.__main__ import machine

FORMATS = {"torch": "default format", "torch channels last": "channels last"}
WARM_UP, LEAST = 5, 0.01
"""Steps that are not counted; part of a step from which on an operator is listed."""


def profiled(library: str, name: str, count: int) -> dict[str, Any]:
    """Return milliseconds of a step, and of each operator in it, without those that it calls."""
    from torch.profiler import ProfilerActivity, profile

    step = steps.make(library, name)
    for _ in range(WARM_UP):
        step()
    began = time.perf_counter()
    for _ in range(count):
        step()
    taken = 1e3 * (time.perf_counter() - began) / count
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(count):
            step()
    operators = {each.key: each.self_cpu_time_total / 1e3 / count for each in found.key_averages()}
    listed = {key: value for key, value in operators.items() if value >= LEAST * taken}
    return {"step": taken, "operators": dict(sorted(listed.items(), key=lambda item: -item[1]))}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cpu.torch_profile", description=(__doc__ or "").splitlines()[0]
    )
    networks = {maker: name for name, (maker, _, _, _) in steps.NETWORKS.items() if maker != "mlp"}
    parser.add_argument("network", choices=networks)
    parser.add_argument("--steps", type=int, default=100, help="steps that are timed")
    parser.add_argument("--threads", type=int, default=2, help="threads that may be used")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    name = networks[options.network]
    found = {}
    for library, words in FORMATS.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[words] = pool.apply(profiled, (library, name, options.steps))
    console = Console(width=120)
    for words, figures in found.items():
        table = Table(title=f"{name}, {words}: a step {figures['step']:.3g} ms", box=box.MARKDOWN)
        table.add_column("operator")
        table.add_column("ms", justify="right")
        for operator, value in figures["operators"].items():
            table.add_row(operator, f"{value:.2f}")
        console.print(table)
    if options.out:
        written = {"machine": machine(), "work": name, "unit": "ms", **found}
        options.out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
