"""How reasons are timed: work in processes of its own, some of which run at the same time, all of it in several turns.

A time is the median of a turn, the quickest one's: what else the machine does can only add to it. NumPy alone is asked,
also where numba is installed.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

Call = Callable[[], Any]

PATIENCE = 120
"""Seconds that one process waits for another to be ready."""


@dataclass(frozen=True)
class Job:
    """A call to be timed in a process of its own: what makes it, from what, and the threads it may use."""

    make: Callable[..., Call]
    arguments: tuple[Any, ...]
    threads: int = 2
    of_gpudl: bool = True
    """A process that times PyTorch must not have loaded gpudl, which changes how the C library frees memory."""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    work: str
    what: str
    value: float
    unit: str


def _serve(job: Job, seconds: float, ready: Any, pipe: Any) -> None:
    os.environ["GPUDL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(job.threads)
    if job.of_gpudl:
        from gpudl.backend.numpy import loops

        loops.LARGE = sys.maxsize  # no work is so large that numba is asked
    call = job.make(*job.arguments)
    for _ in range(5):
        call()
    times = []
    ready.wait(PATIENCE)
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or len(times) < 3:
        call()
        times.append(1e3 * (time.perf_counter() - began))
    pipe.send(statistics.median(times))


_quickest: dict[Any, float] = {}
"""What each work took in the quickest of all turns so far."""


def quickest(work: Any, taken: float) -> float:
    """Return the least that the work has taken in any turn, this one included."""
    _quickest[work] = min(taken, _quickest.get(work, taken))
    return _quickest[work]


def milliseconds(seconds: float, *jobs: Job) -> float:
    """Return the median milliseconds of a call; of several jobs, which run at the same time, the mean of theirs.

    It is that of the quickest turn so far.
    """
    return quickest(jobs, _milliseconds_now(seconds, *jobs))


def _milliseconds_now(seconds: float, *jobs: Job) -> float:
    context = multiprocessing.get_context("spawn")
    ready, pipes, processes = context.Barrier(len(jobs)), [], []
    for job in jobs:
        ours, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=_serve, args=(job, seconds, ready, theirs), daemon=True))
        processes[-1].start()
        theirs.close()  # so that the end of the process is the end of the pipe
        pipes.append(ours)
    found = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return statistics.mean(found)


THEIRS = "torch channels last"
"""PyTorch in its better memory format."""


def of_pytorch(seconds: float, work: str, make: Callable[..., Call], arguments: tuple[Any, ...]) -> list[Figure]:
    """What PyTorch takes, where it is installed."""
    if find_spec("torch") is None:
        return []
    taken = milliseconds(seconds, Job(make, arguments, of_gpudl=False))
    return [Figure(work, "PyTorch, channels last", taken, "ms")]
