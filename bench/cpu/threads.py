"""What two threads make of a step or a call, and what two processes do: `python -m bench.cpu.threads WORK ...`.

Two processes of one thread each, with half of the batch, share nothing, not even what a step learns: they show what
the two cores could do. Two threads that do the same share the interpreter's lock alone. Where Python is built without
that (`python3.13t`), two threads run with it and without: the difference is what they wait for it.
"""

from __future__ import annotations

import argparse
import json
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console

from bench.cpu import calls
from bench.cpu.__main__ import machine
from bench.cpu.profile import NETWORKS, built, step
from bench.cpu.turns import Way, can_be_without_lock, table_of, take_turns
from gpudl.backend.numpy import batch_norm, pool_planes

CALLS: dict[str, tuple[int, int, int, int]] = {
    "depthwise": calls.CONVOLUTIONS["depthwise 3x3, 64, 56x56, batch 32"].x,
    "pooling": calls.POOLING["2x2, 32, 28x28, batch 128"],
    "pooling64": calls.POOLING["2x2, 64, 16x16, batch 128"],
}
"""Calls by themselves, 3x3 forward and 2x2 forward and gradient, and the images that they are given."""


def make(work: str, share: int, finer: int = 1) -> Callable[[], Any]:
    """Return a training step or a call with so many times smaller a batch, and so many times smaller blocks, those of
    batch normalization or of pooling."""
    cut = pool_planes if work.startswith("pooling") else batch_norm
    cut.BLOCK //= finer
    if work not in CALLS:
        return step(work, built(work)[1] // share)
    batch, height, width, channels = CALLS[work]
    shape = batch // share, height, width, channels
    if work.startswith("pooling"):
        return calls.our_pooling("gpudl", shape)
    return calls.our_convolution("gpudl", calls.Layer(shape, channels, 3, depthwise=True), calls.FORWARD)


def beside_each_other(work: str, count: int) -> Callable[[], Any]:
    """Return what makes so many steps or calls at once, each with its part of the batch and in a thread of its own."""
    first, *others = (make(work, count) for _ in range(count))
    orders: list[SimpleQueue[bool]] = [SimpleQueue() for _ in others]
    done: SimpleQueue[bool] = SimpleQueue()

    def serve(call: Callable[[], Any], order: SimpleQueue[bool]) -> None:
        while order.get():
            call()
            done.put(True)

    for call, order in zip(others, orders, strict=True):
        threading.Thread(target=serve, args=(call, order), daemon=True).start()

    def all_at_once() -> None:
        for order in orders:
            order.put(True)
        first()
        for _ in others:
            done.get()

    return all_at_once


def ways(work: str) -> list[Way]:
    """Return what is compared, two threads first."""
    found = [
        Way("two threads", make, (work, 1)),
        Way("one thread", make, (work, 1), threads=1),
        Way("half the batch, one thread", make, (work, 2), threads=1),
        Way("half the batch, one thread, two processes at once", make, (work, 2), processes=2, threads=1),
        Way("half the batch, one thread, two of one process at once", beside_each_other, (work, 2), threads=1),
    ]
    if work not in CALLS:
        found.append(Way("two threads, batch normalization in quarter blocks", make, (work, 1, 4)))
    if work.startswith("pooling"):
        found.append(Way("two threads, half blocks", make, (work, 1, 2)))
        found.append(Way("one thread, half blocks", make, (work, 1, 2), threads=1))
    if can_be_without_lock():
        found.append(Way("two threads without the lock", make, (work, 1), lock=False))
        found.append(Way("one thread without the lock", make, (work, 1), threads=1, lock=False))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.threads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("works", choices=[*NETWORKS, *CALLS], nargs="+")
    parser.add_argument("--turns", type=int, default=40, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    title, written = f"Python {platform.python_version()}, {machine()}", []
    for work in options.works:
        rows = take_turns(ways(work), options.turns, options.seconds)
        Console(width=140).print(table_of(f"{work}: {title}", rows))
        written.append({"work": work, "rows": rows})
    if options.out:
        facts = {"machine": title, "unit": "ms", "turns": options.turns, "works": written}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
