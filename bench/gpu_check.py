"""Proof and measurement on a machine with a GPU: `python -m bench.gpu_check --out DIR`.

Needs NumPy, CuPy and PyTorch (a build with CUDA) besides gpudl; nothing is fetched from a network. It takes less than
eight minutes: each section has so many seconds, and what there is no time for is named. The first three sections check
(kernels against float64, a step of each network against the CPU, training to a test accuracy); the others time
(convolutions beside cuDNN, whole steps, what a call costs). One more, `tiles`, is run only where it is asked for. Exit
status: 1 where a check failed, 2 where there is no GPU. DIR/gpu_check.json has all figures, DIR/gpu_check.txt the
tables that are printed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.gpu import report
from bench.gpu.running import Options, run_section, serve


def chosen_parts(section: str, options: Options, only: list[str]) -> list[list[str]]:
    """Return the parts of a section that are asked for, by process: all, or that in SECTION/PART, or what begins so."""
    wanted = [name.partition("/")[2] for name in only if name.partition("/")[0] == section]
    groups = import_module(f"bench.gpu.{section}").parts(options)
    if not only or "" in wanted:
        return groups
    every = [part for group in groups for part in group]
    kept = {part for name in wanted for part in ([name] if name in every else every) if part.startswith(name)}
    return [chosen for group in groups if (chosen := [part for part in group if part in kept])]


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--worker"]:
        return serve(given[1])
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where gpu_check.json and .txt go")
    parser.add_argument("--quick", action="store_true", help="fewer cases, small networks, one batch size")
    parser.add_argument("--only", metavar="SECTION", action="append", default=[], help="a section, or SECTION/PART")
    parser.add_argument("--cases", type=int, metavar="N", help="cases for each family of kernels and precision")
    parser.add_argument("--patience", type=float, default=1, metavar="F", help="as many times the seconds for all")
    parser.add_argument("--here", action="store_true", help="all in this process, none in one of its own")
    parser.add_argument("--rehearse", action="store_true", help="go through all sections on the CPU, timing nothing")
    asked = parser.parse_args(given)
    unknown = {name.partition("/")[0] for name in asked.only} - {*report.SECTIONS, *report.ON_DEMAND}
    if unknown:
        there = ", ".join((*report.SECTIONS, *report.ON_DEMAND))
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {there}")
    asked.out.mkdir(parents=True, exist_ok=True)
    options = Options(asked.quick, asked.rehearse, asked.cases)
    options.until = time.time() + 60
    [machine] = run_section("machine", [["machine"]], options, asked.here)
    found: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "bench.gpu_check", *given]),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": machine.get("facts", machine),
        "rehearsal": asked.rehearse,
        "sections": {},
    }
    if machine.get("no_gpu") or "error" in machine:
        print(f"there is no GPU to use: {machine.get('no_gpu') or machine['error']}", file=sys.stderr)
        return 2
    until = time.time()
    wanted = {name.partition("/")[0] for name in asked.only} or set(report.SECTIONS)
    for section in (*report.SECTIONS, *report.ON_DEMAND):
        if section not in wanted:
            continue
        start, patience = time.time(), asked.patience * (0.4 if asked.quick else 1)
        until += import_module(f"bench.gpu.{section}").SECONDS * patience  # what sections before left is there, too
        options.until = until
        print(f"{section} ...", file=sys.stderr, flush=True)
        parts = run_section(section, chosen_parts(section, options, asked.only), options, asked.here)
        found["sections"][section] = {"seconds": round(time.time() - start, 1), "parts": parts}
        (asked.out / "gpu_check.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = report.text(found)
    (asked.out / "gpu_check.txt").write_text(text, encoding="utf-8")
    print(text)
    results = {name: section["parts"] for name, section in found["sections"].items()}
    return 1 if report.failures_of(results, report.CHECKS) else 0


if __name__ == "__main__":
    sys.exit(main())
