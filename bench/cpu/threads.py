"""What two threads make of a training step, and what two processes do: `python -m bench.cpu.threads NETWORK ...`.

Two processes of one thread each, with half of the batch, share nothing, not even what a step learns: they show what
the two cores could do. Where Python is built without the interpreter's lock (`python3.13t`), two threads run with it
and without: the difference is what they wait for it.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cpu import reasons
from bench.cpu.__main__ import machine
from bench.cpu.profile import NETWORKS, built
from bench.cpu.turns import Way, can_be_without_lock, table_of, take_turns
from gpudl.backend.numpy import batch_norm


def step(network: str, batch: int, finer: int = 1) -> Callable[[], Any]:
    """Return a training step, with batch normalization cut into blocks so many times smaller."""
    batch_norm.BLOCK //= finer
    return reasons.step(network, batch)


def ways(network: str) -> list[Way]:
    """Return what is compared, two threads first."""
    batch = built(network)[1]
    whole, half = (network, batch), (network, batch // 2)
    found = [
        Way("two threads", step, whole),
        Way("two threads, batch normalization in quarter blocks", step, (*whole, 4)),
        Way("one thread", step, whole, threads=1),
        Way("half the batch, one thread", step, half, threads=1),
        Way("half the batch, one thread, two processes at once", step, half, processes=2, threads=1),
    ]
    if can_be_without_lock():
        found.append(Way("two threads without the lock", step, whole, lock=False))
        found.append(Way("one thread without the lock", step, whole, threads=1, lock=False))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.threads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", choices=NETWORKS, nargs="+")
    parser.add_argument("--turns", type=int, default=40, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    title, written = f"Python {platform.python_version()}, {machine()}", []
    for network in options.networks:
        rows = take_turns(ways(network), options.turns, options.seconds)
        Console(width=140).print(table_of(f"{network}: {title}", rows))
        written.append({"network": network, "rows": rows})
    if options.out:
        facts = {"machine": title, "unit": "ms", "turns": options.turns, "networks": written}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
