"""Where the time of two threads goes in a step or a call: `python -m bench.cpu.shares WORK ...`.

The thread that calls works alone, or shares work with the other one, which sleeps meanwhile or has not yet ended what
was begun before, such as a kernel's gradient. Each piece of work is timed by the clock, and by what the processor gave
to it: the difference is waiting, for the interpreter's lock most of all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cpu import threads
from bench.cpu.__main__ import machine
from bench.cpu.steps import ENTERED
from gpudl.backend.numpy import workers

WARM_UP = 5


class Shares(NamedTuple):
    """Of a step or a call: milliseconds, and how often work was shared."""

    whole: float
    alone: float
    """Of the caller, outside of what is shared: Python, and work too small to be shared."""
    sharing: float
    """Of the caller, within shared work."""
    sharing_computing: float
    """Of that, on the processor."""
    ending: float
    """Of the caller, from its own last piece to the other's."""
    other: float
    """Of the other thread, within shared work."""
    other_computing: float
    works: float


class _Clock:
    """Times of shared work, by what the pool's functions are entered and left."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.times: defaultdict[str, float] = defaultdict(float)
        self.works = 0

    def watch(self, method: Callable[..., Any], count: int) -> Callable[..., Any]:
        """Of what the caller does from handing out to the end of shared work."""

        def watched(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.times["outer"] += time.perf_counter() - began
                self.works += count

        return watched

    def watch_pieces(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Of what each thread does of the pieces."""

        def watched(job: Any) -> Any:
            who = "caller" if threading.current_thread() is threading.main_thread() else "other"
            began, on = time.perf_counter(), time.thread_time()
            try:
                return method(job)
            finally:
                self.times[who] += time.perf_counter() - began
                self.times[f"{who} on"] += time.thread_time() - on

        return watched


@contextmanager
def _watched(clock: _Clock) -> Iterator[None]:
    pool, job = workers._Pool, workers._Job
    before = pool.begin, pool.finish, job.join_in
    pool.begin, pool.finish = clock.watch(pool.begin, 1), clock.watch(pool.finish, 0)
    job.join_in = clock.watch_pieces(job.join_in)
    try:
        yield
    finally:
        pool.begin, pool.finish, job.join_in = before


def shares(call: Callable[[], Any], count: int) -> Shares:
    """Return the medians of so many calls, which two threads make."""
    clock, found = _Clock(), []
    with ExitStack() as entered:
        entered.enter_context(_watched(clock))
        for _ in range(WARM_UP):
            call()
        for _ in range(count):
            clock.clear()
            began = time.perf_counter()
            call()
            whole, times = time.perf_counter() - began, clock.times
            parts = (
                whole, whole - times["outer"], times["caller"], times["caller on"], times["outer"] - times["caller"],
                times["other"], times["other on"],
            )  # fmt: skip
            found.append([*(1e3 * each for each in parts), clock.works])
    return Shares._make(map(statistics.median, zip(*found, strict=True)))


def table_of(found: dict[str, Shares]) -> Table:
    """Return what is printed."""
    table = Table(title=machine(), box=box.MARKDOWN)
    for column in ("ms", *found):
        table.add_column(column, justify="left" if column == "ms" else "right")
    lines = {
        "whole": lambda each: each.whole,
        "the caller alone": lambda each: each.alone,
        "the caller at shared work": lambda each: each.sharing,
        "of which it waits": lambda each: each.sharing - each.sharing_computing,
        "the caller hands out, and waits for the end": lambda each: each.ending,
        "the other at shared work": lambda each: each.other,
        "of which it waits ": lambda each: each.other - each.other_computing,
        "the other without work": lambda each: each.whole - each.other,
    }
    for words, of in lines.items():
        table.add_row(words, *(f"{of(each):.3g}" for each in found.values()))
    table.add_row("works that are shared", *(f"{each.works:.0f}" for each in found.values()))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.shares", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("works", choices=[*threads.NETWORKS, *threads.CALLS], nargs="+")
    parser.add_argument("--count", type=int, default=60, help="how often each is made")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    os.environ["GPUDL_NUM_THREADS"] = "2"
    found = {}
    for work in options.works:
        with ENTERED:
            found[work] = shares(threads.make(work, 1), options.count)
    Console(width=140).print(table_of(found))
    if options.out:
        facts = {"machine": machine(), "works": {work: each._asdict() for work, each in found.items()}}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
