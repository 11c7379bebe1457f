"""How sections are run: in processes of their own, since a kernel that reads wild takes its process with it.

A section is a module with SECONDS, AT_ONCE (processes), `parts(options)`, the names of its parts grouped by process,
and `run(part, options)`, which returns what JSON can hold: {"rows": [...], "failures": [...]} or {"skipped": why}. It
may have `weight(part)`, by which its parts share the time; what one leaves is for those that follow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOST = 3
"""Exit status of a process whose device answers no more: what it has not done goes to another."""

Result = dict[str, Any]


@dataclass
class Options:
    """What the command line says, and until when the part at hand may take."""

    quick: bool = False
    rehearse: bool = False
    """On the CPU: shows that the program runs. Nothing is timed there."""
    cases: int | None = None
    until: float = float("inf")
    end: float = float("inf")
    """Of the section."""

    def left(self) -> float:
        return self.until - time.time()


def run_part(section: str, part: str, options: Options) -> Result:
    """Run one part here; what it raises becomes its result."""
    began = time.time()
    try:
        found: Result = import_module(f"bench.gpu.{section}").run(part, options)
    except Exception as error:
        found = {"error": "".join(traceback.format_exception(error))}
    return {"part": part, "seconds": round(time.time() - began, 2), **found}


def run_parts(section: str, parts: list[str], options: Options, tell: Callable[[Result], Any]) -> bool:
    """Run parts one after the other, each within its share of the time; whether the device outlived them."""
    weight = getattr(import_module(f"bench.gpu.{section}"), "weight", lambda part: 1)
    end = options.end = options.until
    for number, part in enumerate(parts):
        share = weight(part) / sum(map(weight, parts[number:]))
        options.until = time.time() + share * (end - time.time())
        tell(run_part(section, part, options))
        if is_lost():
            return False
    return True


def is_lost() -> bool:
    """Whether the device does nothing any more for this process, as after a wild read."""
    try:
        if "cupy" in sys.modules:
            import_module("cupy").cuda.Device().synchronize()
    except Exception:
        return True
    return False


def in_processes(section: str, parts: list[str], options: Options) -> list[Result]:
    """Run parts in a process, and what it leaves undone in another."""
    done: list[Result] = []
    waiting = list(parts)
    while waiting:
        if options.left() < 1:
            return [*done, *({"part": part, "skipped": "no time left"} for part in waiting)]
        with tempfile.TemporaryDirectory() as folder:
            lines, log = Path(folder) / "lines", Path(folder) / "log"
            order = json.dumps({"section": section, "parts": waiting, "options": asdict(options), "lines": str(lines)})
            command = [sys.executable, "-m", "bench.gpu_check", "--worker", order]
            paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
            if import_module(f"bench.gpu.{section}").AT_ONCE > 1:  # beside others
                environment |= {"GPUDL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            with open(log, "wb") as output:
                grace = options.left() + 30
                try:
                    status = subprocess.run(
                        command, cwd=ROOT, env=environment, stdout=output, stderr=output, timeout=grace
                    ).returncode
                    ended = f"its process ended with status {status}"
                except subprocess.TimeoutExpired:
                    status, ended = None, f"its process did not end within {grace:.0f} seconds, and was stopped"
            fresh = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
            said = log.read_text(errors="replace")[-2000:]
        done += fresh
        waiting = waiting[len(fresh) :]
        if waiting and status != LOST:
            done.append({"part": waiting.pop(0), "error": f"{ended}; it said:\n{said}"})
    return done


def serve(order: str) -> int:
    """What a process does that `in_processes` has started."""
    task = json.loads(order)
    with open(task["lines"], "a", encoding="utf-8") as file:

        def tell(result: Result) -> None:
            file.write(json.dumps(result) + "\n")
            file.flush()

        return 0 if run_parts(task["section"], task["parts"], Options(**task["options"]), tell) else LOST


def run_section(section: str, groups: list[list[str]], options: Options, here: bool) -> list[Result]:
    """Run all parts of a section, each group in a process of its own, or all of them in this one."""
    found: list[Result] = []
    if here:
        run_parts(section, [part for group in groups for part in group], options, found.append)
        return found
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, import_module(f"bench.gpu.{section}").AT_ONCE)

    def run(number: int) -> list[Result]:
        rounds = -(-(len(groups) - number) // workers)  # groups that wait for a place need time, too
        return in_processes(section, groups[number], replace(options, until=time.time() + options.left() / rounds))

    with ThreadPoolExecutor(workers) as pool:
        for results in pool.map(run, range(len(groups))):
            found += results
    return found
