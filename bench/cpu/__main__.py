"""gpudl beside PyTorch on the CPU: `python -m bench.cpu`.

Needs the `parity` extra (PyTorch, and Keras for --keras) and, for the memory, MNIST in $GPUDL_DATA_DIR. Each figure is
the median over the turns that the libraries take. A ratio is PyTorch's time, in the better of its memory formats where
there are images, divided by gpudl's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.commit import commit
from bench.cpu import calls, chart, steps, whole
from bench.cpu.contest import Contestant, medians

GOALS = {
    "step: MLP 64": 2.5, "step: MLP 784": 1.5, "step: CNN": 1.0, "step: VGG": 0.9, "step: ResNet": 0.8,
    "conv2d 3x3, forward": 0.9, "conv2d 1x1": 1.5, "conv2d depthwise": 1.0, "conv2d 3x3, both": 0.7, "max pooling": 1.0,
    "digits": 3.0, "memory": 2.0,
}  # fmt: skip
"""Ratios that are aimed at, by how the work's name begins and, behind a comma, what it ends with."""


def goal_of(name: str) -> float | None:
    """Return the ratio aimed at for this work."""
    for begin, goal in GOALS.items():
        first, _, second = begin.partition(", ")
        if name.startswith(first) and second in name:
            return goal
    return None


def machine() -> str:
    """Say what the figures were measured on."""
    from threadpoolctl import threadpool_info

    importlib.import_module("numpy")
    blas = [f"{each['internal_api']} for {each.get('architecture', '?')}" for each in threadpool_info()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    numba = f", numba {version('numba')}" if find_spec("numba") else ""
    torch = f", PyTorch {version('torch')}" if find_spec("torch") else ""
    libraries = f"NumPy {version('numpy')} ({', '.join(blas)}){numba}{torch}"
    try:
        gpudl = f", gpudl {commit()}"
    except (OSError, subprocess.SubprocessError):  # git or its folder is missing
        gpudl = ""
    return f"{cores} cores, {_processor()}, {libraries}{gpudl}"


def _processor() -> str:
    """What Linux calls the processor; elsewhere its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def row(name: str, unit: str, found: dict[str, float]) -> dict[str, Any]:
    """Return what is written of one piece of work."""
    theirs = {library: value for library, value in found.items() if library.startswith("torch")}
    return {
        "work": name,
        "unit": unit,
        **found,
        "ratio": min(theirs.values()) / found["gpudl"],
        "goal": goal_of(name),
    }


DEFAULT_FORMAT = {"CNN 32-64-128, 28x28x1, batch 128": 1.5}
"""Ratios that are aimed at against PyTorch's default memory format, where people will not think of another."""


def in_default_format(of_both: dict[str, Any], goal: float) -> dict[str, Any]:
    """Return the row of the same times, compared with PyTorch's default memory format."""
    kept = {name: value for name, value in of_both.items() if name != "torch channels last"}
    changed = {"work": f"{kept['work']}, default format", "ratio": kept["torch"] / kept["gpudl"], "goal": goal}
    return {**kept, **changed}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=30, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a turn")
    parser.add_argument("--threads", type=int, default=2, help="threads that each may use")
    parser.add_argument("--only", metavar="WORD", nargs="+", help="only the work whose name has one of these in it")
    parser.add_argument("--keras", action="store_true", help="also Keras on its PyTorch backend, for training steps")
    parser.add_argument("--out", metavar="DIR", type=Path, help="write cpu.json and cpu.svg there")
    options = parser.parse_args()
    os.environ["GPUDL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options.threads)

    def wanted(name: str) -> bool:
        return options.only is None or any(word.lower() in name.lower() for word in options.only)

    libraries = ["gpudl", "torch", "torch channels last", *(["keras"] if options.keras else [])]
    contestants = [Contestant(library, options.seconds) for library in libraries]
    rows = []
    for module, prefix, names in ((steps, "step: ", list(steps.NETWORKS)), (calls, "", calls.names())):
        for name in names:
            if wanted(prefix + name):
                taking_part = [each for each in contestants if module.takes_part(each.library, name)]
                found = medians(taking_part, module.__name__, name, options.turns)
                rows.append(row(prefix + name, "ms", found))
                if name in DEFAULT_FORMAT:
                    rows.append(in_default_format(rows[-1], DEFAULT_FORMAT[name]))
    for contestant in contestants:
        contestant.pipe.send(None)
    if wanted("digits, from the shell prompt"):
        rows.append(row("digits, from the shell prompt", "s", whole.digits(3)))
    if wanted("memory, MNIST CNN") and os.environ.get("GPUDL_DATA_DIR"):
        rows.append(row("memory, MNIST CNN", "MB", whole.memory()))
    title = f"{machine()}, {options.threads} threads each"
    table = Table(title=title, box=box.MARKDOWN)
    for position, column in enumerate(["work", *libraries, "ratio", "goal"]):
        table.add_column(column, justify="right" if position else "left")
    for each in rows:
        times = [f"{each[library]:.4g} {each['unit']}" if library in each else "" for library in libraries]
        table.add_row(
            each["work"], *times, f"{each['ratio']:.2f}", "" if each["goal"] is None else f"{each['goal']:.1f}"
        )
    Console(width=150).print(table)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "cpu.json").write_text(json.dumps({"machine": title, "rows": rows}, indent=2) + "\n")
        bars: list[chart.Row] = [(each["work"], each["ratio"], each["goal"]) for each in rows]
        picture = chart.svg(f"PyTorch's time / gpudl's, {options.threads} threads each", bars)
        (options.out / "cpu.svg").write_text(picture)


if __name__ == "__main__":
    main()
