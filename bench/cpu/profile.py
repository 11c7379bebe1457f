"""What the ops of training steps take, there and back: `python -m bench.cpu.profile NETWORK ...`.

The step is repeated as `fit` repeats it, with a clock around each op. What other threads do meanwhile, as the gradients
of large kernels, counts where it is waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bench import models
from bench.cpu import steps, whole
from bench.cpu.__main__ import machine
from bench.fit_step import fit_step

NETWORKS = dict(zip(("mlp64", "mlp784", "cnn", "vgg", "resnet"), steps.NETWORKS, strict=True)) | {"digits": ""}
"""Short names of the networks in steps.py; and the one that learns the digits."""

WAYS = "there", "back"

Key = tuple[str, tuple[int, ...], str]


class Profile(NamedTuple):
    """Medians, in milliseconds: of a whole step, of one with clocks around its ops, and of each op in it."""

    step: float
    clocked: float
    ops: dict[Key, float]
    """By op, shape of its first array, and "there" or "back"; ops alike are added up. The optimizer counts as one."""


def built(name: str) -> tuple[Any, int, tuple[int, ...]]:
    """Return a network, its batch in the benchmark, and the shape of a sample."""
    if name == "digits":
        return whole.digits_network(), 32, (8, 8, 1)
    maker, settings, batch, shape = steps.NETWORKS[NETWORKS[name]]
    return getattr(models, maker)(*settings), batch, shape


def step(network: str, batch: int) -> Callable[[], Any]:
    """Return a training step of a network with so large a batch, which stays entered: steps.py."""
    return step_and_model(network, batch)[0]


def step_and_model(network: str, batch: int) -> tuple[Callable[[], Any], Any]:
    """Return that step, and the network that takes it."""
    model, _, shape = built(network)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *shape)).astype(np.float32)
    return fit_step(model, x, rng.integers(0, 10, batch), steps.ENTERED, from_logits=network != "digits"), model


def profile(network: str, count: int, batch: int | None = None) -> Profile:
    """Take so many steps of a network without clocks, and as many with them."""
    model, usual, shape = built(network)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch or usual, *shape)).astype(np.float32)
    with ExitStack() as entered:
        step = fit_step(model, x, rng.integers(0, 10, len(x)), entered, from_logits=network != "digits")
        for _ in range(4):
            step()
        whole_step = _median(step, count)
        replay = next(iter(model._steady.training._known.values())).repeat.__self__
        times: list[dict[Key, float]] = []  # of each step

        def add(key: Key, began: float) -> None:
            times[-1][key] += 1e3 * (time.perf_counter() - began)

        def back(part: Any, key: Key) -> Any:
            def clocked(*gradients: Any) -> Any:
                began = time.perf_counter()
                found = part(*gradients)
                add(key, began)
                return found

            return None if part is None else clocked

        def there(op: Callable[..., Any]) -> Callable[..., Any]:
            def clocked(*arrays: Any, **settings: Any) -> Any:
                name, shape = op.__name__, np.shape(arrays[0]) if arrays else ()
                began = time.perf_counter()
                value, way_back = op(*arrays, **settings)
                add((name, shape, "there"), began)
                key = name, shape, "back"
                parts = isinstance(way_back, tuple)
                return value, tuple(back(part, key) for part in way_back) if parts else back(way_back, key)

            return clocked

        apply = model.optimizer.apply

        def clocked_apply(weights: Any) -> None:
            began = time.perf_counter()
            apply(weights)
            add(("optimizer", (), "there"), began)

        model.optimizer.apply = clocked_apply
        replay._steps = [each._replace(op=there(each.op)) for each in replay._steps]
        clocked = []
        for _ in range(count):
            times.append(defaultdict(float))
            clocked.append(_median(step, 1))
    ops = {key: statistics.median(each[key] for each in times) for key in times[0]}
    return Profile(whole_step, statistics.median(clocked), ops)


def _median(step: Callable[[], Any], count: int) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def rows_of(found: Profile) -> list[dict[str, Any]]:
    """Return the ops of a step with what they take both ways, the longest first."""
    rows: dict[tuple[str, tuple[int, ...]], dict[str, Any]] = {}
    for (name, shape, way), value in found.ops.items():
        rows.setdefault((name, shape), {"op": name, "of": shape})[way] = value
    return sorted(rows.values(), key=lambda row: -row.get("there", 0) - row.get("back", 0))


def table_of(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return what is printed of one network."""
    table = Table(title=title, box=box.MARKDOWN)
    for column in ("op", "of", "there, ms", "back, ms"):
        table.add_column(column, justify="right" if "ms" in column else "left")
    total = {way: sum(row.get(way, 0) for row in rows) for way in WAYS}
    for row in [*rows, {"op": "all", "of": (), **total}]:
        size = " x ".join(map(str, row["of"]))
        table.add_row(row["op"], size, *(f"{row[way]:.3f}" if way in row else "" for way in WAYS))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.profile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", choices=NETWORKS, nargs="+")
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed")
    parser.add_argument("--batch", type=int, help="samples of a batch, if not the benchmark's")
    parser.add_argument("--threads", type=int, default=2, help="threads that may be used")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    os.environ["GPUDL_NUM_THREADS"] = str(options.threads)
    written = []
    for network in options.networks:
        found = profile(network, options.steps, options.batch)
        rows = rows_of(found)
        title = f"{network}: a step {found.step:.3g} ms, with clocks {found.clocked:.3g}"
        Console(width=100).print(table_of(title, rows))
        written.append({"network": network, "step": found.step, "with clocks": found.clocked, "ops": rows})
    if options.out:
        facts = {"machine": machine(), "threads": options.threads, "unit": "ms", "networks": written}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
