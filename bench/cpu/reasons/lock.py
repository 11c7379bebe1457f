"""The interpreter's lock: what calls of NumPy take beside those of another thread, and what it takes to wake one."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Any

from bench.cpu.calls import draw
from bench.cpu.reasons.timing import Call, Figure, Job, milliseconds

LENGTHS, VIEWS, REPEATED = (1 << 15, 1 << 16, 1 << 17, 1 << 18), 10, 64
"""Numbers that a call of NumPy goes over; views that Python makes before each; and how many calls in a row."""


def calls_in_a_row(numbers: int, pieces: int) -> Call:
    """Products in place, with a microsecond of Python before each; threads share the pieces, which are alike."""
    import numpy as np

    from gpudl.backend.numpy.workers import SMALL, blocks, run

    arrays = draw(*[(numbers,)] * pieces)
    ones = [np.ones_like(x) for x in arrays]

    def work(share: Any) -> None:
        for piece, _ in share:
            x, y = arrays[piece], ones[piece]
            for _ in range(REPEATED):
                for _ in range(VIEWS):
                    x[:numbers]
                np.multiply(x, y, out=x)

    return lambda: run(work, blocks(pieces, 1), SMALL)


BUSY = 3e-4
"""Seconds between two calls of the other thread, in which it falls asleep."""


def other_thread_and_back() -> Call:
    """Compute for a while, wake another thread, and be woken by it: as where work begins and ends that is shared."""
    there: SimpleQueue[None] = SimpleQueue()
    back: SimpleQueue[None] = SimpleQueue()

    def answer() -> None:
        while True:
            there.get()
            back.put(None)

    threading.Thread(target=answer, daemon=True).start()

    def call() -> None:
        end = time.perf_counter() + BUSY
        while time.perf_counter() < end:
            pass
        there.put(None)
        back.get()

    return call


def of_waking(seconds: float) -> list[Figure]:
    """What it takes until a thread that waits for work has begun."""
    taken = (1e3 * milliseconds(seconds, Job(other_thread_and_back, ())) - 1e6 * BUSY) / 2
    return [Figure("threads", "to wake another", taken, "us")]


def of_the_lock(seconds: float) -> list[Figure]:
    """What calls of NumPy take beside those of another thread, and beside those of another process."""
    found = []
    for numbers in LENGTHS:
        one = Job(calls_in_a_row, (numbers, 1), threads=1)
        for what, jobs in (
            ("alone", (one,)),
            ("beside those of another thread", (Job(calls_in_a_row, (numbers, 2)),)),
            ("beside those of another process", (one, one)),
        ):
            taken = 1e3 * milliseconds(seconds, *jobs) / REPEATED
            found.append(Figure(f"a call of NumPy over {numbers:,} numbers", what, taken, "us"))
    return found
