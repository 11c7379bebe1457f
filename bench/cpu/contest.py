"""Libraries that take turns on the same cores, each in a process of its own.

gpudl has the C library keep freed memory, which in one process would change PyTorch's times, too. What else the machine
does hits all alike.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from importlib import import_module
from typing import Any


def serve(library: str, seconds: float, pipe: Any) -> None:
    """In a process of its own: prepare what (module, name) says, and take turns when told to; None ends it."""
    order = pipe.recv()
    while order is not None:
        module, name = order
        call = import_module(module).make(library, name)
        for _ in range(5):
            call()
        began = time.perf_counter()
        for _ in range(3):
            call()
        count = max(1, int(3 * seconds / (time.perf_counter() - began)))
        pipe.send(count)
        while (order := pipe.recv()) == "turn":
            times = []
            call()  # the caches are full of the others' numbers
            for _ in range(count):
                began = time.perf_counter()
                call()
                times.append(1e3 * (time.perf_counter() - began))
            pipe.send(times)


class Contestant:
    """One library in its process."""

    def __init__(self, library: str, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.library = library
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(library, seconds, theirs), daemon=True)
        self.process.start()

    def ask(self, order: Any) -> Any:
        self.pipe.send(order)
        return self.pipe.recv()


def medians(contestants: list[Contestant], module: str, name: str, turns: int) -> dict[str, float]:
    """Return the median milliseconds of each contestant's call over its turns."""
    for contestant in contestants:
        contestant.ask((module, name))
    times: dict[str, list[float]] = {contestant.library: [] for contestant in contestants}
    for _ in range(turns):
        for contestant in contestants:
            times[contestant.library] += contestant.ask("turn")
    return {library: statistics.median(found) for library, found in times.items()}
