"""Ways to make the same step or call, in turns: each in processes of its own, and compared turn by turn.

What else the machine does changes from second to second, and hits two turns beside each other alike: a ratio of two
such turns says more than that of the medians of both.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from bench.cpu.steps import ENTERED

LOCK = "PYTHON_GIL"
"""The variable that gives a Python that is built without the interpreter's lock one all the same."""

WARM_UP = 5


@dataclass(frozen=True)
class Way:
    """How something is made: by how many processes at once, with how many threads each."""

    name: str
    make: Callable[..., Callable[[], Any]]
    arguments: tuple[Any, ...]
    processes: int = 1
    threads: int = 2
    lock: bool = True
    source: str | None = None
    """The folder that gpudl is imported from, if not the one it is imported from here."""
    of_gpudl: bool = True
    """A process that times PyTorch must not have loaded gpudl, which changes how the C library frees memory."""


class Turn(NamedTuple):
    """Milliseconds of a call by the clock; of the processor, by the thread that calls, and by all others; how often its
    process met a page that was not mapped, and how often one of its threads was laid to rest."""

    wall: float
    caller: float
    others: float
    faults: float = 0
    rests: float = 0


def can_be_without_lock() -> bool:
    """Whether this Python can run without the interpreter's lock."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def serve(pipe: Any, way: Way, seconds: float) -> None:
    """In a process of its own: take turns when told to; None ends it."""
    if way.source:
        sys.path.insert(0, way.source)
    if way.of_gpudl:
        importlib.import_module("gpudl")
    call = way.make(*way.arguments)
    for _ in range(WARM_UP):
        call()
    began = time.perf_counter()
    call()
    count = max(1, round(seconds / (time.perf_counter() - began)))
    pipe.send(sys.modules["gpudl"].__file__ if way.of_gpudl else "")
    while pipe.recv():
        call()  # the caches are full of the others' numbers
        before = resource.getrusage(resource.RUSAGE_SELF)
        began, caller, all_threads = time.perf_counter(), time.thread_time(), time.process_time()
        for _ in range(count):
            call()
        wall, caller = time.perf_counter() - began, time.thread_time() - caller
        others = time.process_time() - all_threads - caller
        after = resource.getrusage(resource.RUSAGE_SELF)
        counted = after.ru_minflt - before.ru_minflt, after.ru_nvcsw - before.ru_nvcsw
        pipe.send(Turn(*(1e3 * each / count for each in (wall, caller, others)), *(each / count for each in counted)))
    ENTERED.close()


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Team:
    """The processes of one way."""

    def __init__(self, way: Way, seconds: float) -> None:
        context, self.pipes = multiprocessing.get_context("spawn"), []
        lock = {LOCK: str(int(way.lock))} if can_be_without_lock() else {}
        with environment(GPUDL_NUM_THREADS=str(way.threads), **lock):
            for _ in range(way.processes):
                ours, theirs = context.Pipe()
                context.Process(target=serve, args=(theirs, way, seconds), daemon=True).start()
                theirs.close()  # so that the end of the process is the end of the pipe
                self.pipes.append(ours)
        used = {pipe.recv() for pipe in self.pipes}
        if way.source and not all(file.startswith(way.source) for file in used):
            raise RuntimeError(f"gpudl was imported from {used.pop()}, not from {way.source}")

    def turn(self) -> Turn:
        """Return the means of what the processes take, all at once."""
        for pipe in self.pipes:
            pipe.send(True)
        found = [pipe.recv() for pipe in self.pipes]
        return Turn(*map(statistics.mean, zip(*found, strict=True)))

    def end(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)


def take_turns(ways: Sequence[Way], turns: int, seconds: float) -> list[dict[str, Any]]:
    """Return, of each way, medians of its turns, and of their ratios to those of the first way beside them."""
    teams = [Team(way, seconds) for way in ways]
    found: list[list[Turn]] = [[] for _ in ways]
    for _ in range(turns):
        for team, of_team in zip(teams, found, strict=True):
            of_team.append(team.turn())
    for team in teams:
        team.end()
    return [row(way.name, of_way, found[0]) for way, of_way in zip(ways, found, strict=True)]


def row(name: str, turns: list[Turn], first: list[Turn]) -> dict[str, Any]:
    """Return what is written of one way."""
    ratios = sorted(turn.wall / beside.wall for turn, beside in zip(turns, first, strict=True))
    quarter = len(ratios) // 4
    medians = {
        name: statistics.median(times) for name, times in zip(Turn._fields, zip(*turns, strict=True), strict=True)
    }
    return {
        "way": name,
        **medians,
        "quickest": min(turn.wall for turn in turns),
        "ratio": statistics.median(ratios),
        "half of the ratios": [ratios[quarter], ratios[-1 - quarter]],
    }


def table_of(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return what is printed of rows."""
    table = Table(title=title, box=box.MARKDOWN)
    table.add_column("way")
    for column in ("ms", "quickest", "caller", "others", "faults", "rests", "to the first", "half lie in"):
        table.add_column(column, justify="right")
    for each in rows:
        times = (f"{abs(each[name]):.3g}" for name in ("wall", "quickest", "caller"))
        low, high = each["half of the ratios"]
        others = f"{each['others']:.3g}" if each["others"] > 1e-3 else ""
        counted = (f"{each[name]:.3g}" for name in ("faults", "rests"))
        table.add_row(each["way"], *times, others, *counted, f"{each['ratio']:.2f}", f"{low:.2f} to {high:.2f}")
    return table
