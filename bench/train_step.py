"""Time of one training step, gpudl beside PyTorch: `python -m bench.train_step`.

Needs the `parity` extra (PyTorch). Each library runs in a process of its own, as its users have it (gpudl has the C
library keep freed memory, which in one process would change PyTorch's times, too); the processes take turns on the same
cores, so that what else the machine does hits all alike. Each figure is the median over the turns. A step is forward,
loss, gradients and Adam.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

Step = Callable[[], Any]

# Each function imports its library itself: a process that times PyTorch must not have loaded gpudl.


def our_mlp(*sizes: int) -> Any:
    """A multi-layer perceptron with ReLU."""
    import gpudl
    from gpudl import layers

    model = gpudl.Sequential([gpudl.Input((sizes[0],))])
    for units in sizes[1:-1]:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(sizes[-1]))
    return model


def torch_mlp(*sizes: int) -> Any:
    """The same in PyTorch."""
    from torch import nn

    pairs = [(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*pairs))[:-1]


def our_cnn() -> Any:
    """Conv 32, pool, conv 64, pool, dense 128, dense 10, on 28x28x1."""
    import gpudl
    from gpudl import layers

    return gpudl.Sequential(
        [
            gpudl.Input((28, 28, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )


def torch_cnn() -> Any:
    """The same in PyTorch."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def our_step(model: Any, x: Any, y: Any) -> Step:
    """One step as `fit` takes it, metrics left out on both sides."""
    import gpudl
    from gpudl.backend.numpy.workers import single_threaded_blas

    model.compile("adam", gpudl.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.step_weights = model.trainable_weights

    entered = ExitStack()  # once, as `fit` enters both for all its steps
    entered.enter_context(single_threaded_blas)
    entered.enter_context(model.steady())

    def step(_: ExitStack = entered) -> None:
        model.train_step((x, y))

    return step


def torch_step(model: Any, x: Any, y: Any, channels_last: bool) -> Step:
    """The same step in PyTorch, as its tutorials write it."""
    import numpy as np
    import torch

    images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters())
    loss_of = torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()

    return step


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[], Any], int, tuple[int, ...]]] = {
    "MLP 64-64-10, batch 32": (lambda: our_mlp(64, 64, 10), lambda: torch_mlp(64, 64, 10), 32, (64,)),
    "MLP 784-256-128-10, batch 128": (
        lambda: our_mlp(784, 256, 128, 10),
        lambda: torch_mlp(784, 256, 128, 10),
        128,
        (784,),
    ),
    "CNN 32-64-128, 28x28, batch 128": (our_cnn, torch_cnn, 128, (28, 28, 1)),
}


def blas() -> str:
    """Which BLAS NumPy has, and the kernels it chose; OPENBLAS_CORETYPE in the environment overrules its choice."""
    from threadpoolctl import threadpool_info

    importlib.import_module("numpy")
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return ", ".join(f"{library['internal_api']} for {library.get('architecture', '?')}" for library in found)


def make_step(library: str, name: str) -> Step:
    """Make one library's step on drawn data; `library` is "gpudl", "torch" or "torch channels last"."""
    ours, theirs, batch, shape = NETWORKS[name]
    model = ours() if library == "gpudl" else theirs()
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *shape)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    return our_step(model, x, y) if library == "gpudl" else torch_step(model, x, y, library == "torch channels last")


def serve(library: str, seconds: float, pipe: Any) -> None:
    """In a process of its own: prepare the step of each network that is named, and take turns when told to."""
    step: Step = lambda: None  # noqa: E731
    count = 1
    while (order := pipe.recv()) is not None:
        if isinstance(order, str):
            step = make_step(library, order)
            for _ in range(10):
                step()
            began = time.perf_counter()
            for _ in range(5):
                step()
            count = max(1, int(5 * seconds / (time.perf_counter() - began)))
            pipe.send(count)
        else:
            times = []
            for _ in range(count):
                began = time.perf_counter()
                step()
                times.append(1e3 * (time.perf_counter() - began))
            pipe.send(times)


class Contestant:
    """One library in its process."""

    def __init__(self, library: str, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(library, seconds, theirs), daemon=True)
        self.process.start()

    def ask(self, order: Any) -> Any:
        self.pipe.send(order)
        return self.pipe.recv()


def medians(contestants: list[Contestant], network: str, turns: int) -> list[float]:
    """Median milliseconds of each contestant's step over its turns."""
    for contestant in contestants:
        contestant.ask(network)
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(turns):
        for contestant, found in zip(contestants, times, strict=True):
            found += contestant.ask(True)
    return [statistics.median(found) for found in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=10, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    title = f"{cores} cores, {platform.machine()}, NumPy {version('numpy')} ({blas()}), PyTorch {version('torch')}"
    table = Table("training step, ms", "gpudl", "PyTorch", "channels last", "PyTorch's best / gpudl", title=title)
    libraries = ("gpudl", "torch", "torch channels last")
    contestants = [Contestant(library, options.seconds) for library in libraries]
    figures = {}
    for name, (_, _, _, shape) in NETWORKS.items():
        found = medians(contestants if len(shape) == 3 else contestants[:2], name, options.turns)
        best = min(found[1:]) / found[0]
        table.add_row(name, *(f"{ms:.3f}" for ms in found), *["same"] * (3 - len(found)), f"{best:.2f}")
        figures[name] = {**dict(zip(libraries, found, strict=False)), "ratio": best}
    for contestant in contestants:
        contestant.pipe.send(None)
    Console().print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": title, "milliseconds": figures}, file, indent=2)


if __name__ == "__main__":
    main()
