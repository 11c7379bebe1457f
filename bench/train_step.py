"""Time of one training step, gpudl beside PyTorch: `python -m bench.train_step`.

Needs the `parity` extra (PyTorch). Both run in this process on the same cores, in turns, so that what else the
machine does hits both alike; each figure is the median over the turns. A step is forward, loss, gradients and Adam.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import gpudl
from gpudl import layers
from gpudl.backend.numpy.workers import thread_count
from gpudl.batches import Batch
from gpudl.models.training import RunningLogs, train_step

Step = Callable[[], Any]


def mlp(*sizes: int) -> tuple[gpudl.Sequential, nn.Module]:
    """A multi-layer perceptron with ReLU, in both libraries."""
    ours = gpudl.Sequential([gpudl.Input((sizes[0],))])
    theirs: list[nn.Module] = []
    for i, (fan_in, units) in enumerate(itertools.pairwise(sizes)):
        last = i == len(sizes) - 2
        ours.add(layers.Dense(units, activation=None if last else "relu"))
        theirs += [nn.Linear(fan_in, units)] if last else [nn.Linear(fan_in, units), nn.ReLU()]
    return ours, nn.Sequential(*theirs)


def cnn() -> tuple[gpudl.Sequential, nn.Module]:
    """Conv 32, pool, conv 64, pool, dense 128, dense 10, on 28x28x1."""
    ours = gpudl.Sequential(
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
    theirs = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    return ours, theirs


def our_step(model: gpudl.Sequential, x: np.ndarray, y: np.ndarray) -> Step:
    """One step as `fit` takes it, metrics left out on both sides."""
    model.compile("adam", gpudl.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.step_weights = model.trainable_weights
    logs = RunningLogs([])
    batch = Batch(x, y, None)
    return lambda: train_step(model, batch, logs)


def torch_step(model: nn.Module, x: np.ndarray, y: np.ndarray, channels_last: bool) -> Step:
    """The same step in PyTorch, as its tutorials write it."""
    images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters())
    loss_of = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()

    return step


def medians(steps: list[Step], turns: int, seconds: float) -> list[float]:
    """Median milliseconds of each step over `turns` turns of about `seconds` for each."""
    counts = []
    for step in steps:
        for _ in range(3):
            step()
        began = time.perf_counter()
        step()
        counts.append(max(1, int(seconds / (time.perf_counter() - began))))
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(turns):
        for step, count, found in zip(steps, counts, times, strict=True):
            for _ in range(count):
                began = time.perf_counter()
                step()
                found.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(found) for found in times]


NETWORKS: dict[str, tuple[Callable[[], tuple[Any, Any]], int, tuple[int, ...]]] = {
    "MLP 64-64-10, batch 32": (lambda: mlp(64, 64, 10), 32, (64,)),
    "MLP 784-256-128-10, batch 128": (lambda: mlp(784, 256, 128, 10), 128, (784,)),
    "CNN 32-64-128, 28x28, batch 128": (cnn, 128, (28, 28, 1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=10, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    title = f"{thread_count()} threads, NumPy {np.__version__}, PyTorch {torch.__version__}, {platform.machine()}"
    table = Table("training step, ms", "gpudl", "PyTorch", "channels last", "PyTorch's best / gpudl", title=title)
    figures = {}
    for name, (make, batch, shape) in NETWORKS.items():
        x = rng.normal(size=(batch, *shape)).astype(np.float32)
        y = rng.integers(0, 10, batch)
        ours, theirs = make()
        steps = [our_step(ours, x, y), torch_step(theirs, x, y, False)]
        if len(shape) == 3:
            steps.append(torch_step(make()[1], x, y, True))
        found = medians(steps, options.turns, options.seconds)
        best = min(found[1:]) / found[0]
        written = [f"{ms:.3f}" for ms in found] + ["same"] * (3 - len(found))
        table.add_row(name, *written, f"{best:.2f}")
        figures[name] = {"gpudl": found[0], "torch": found[1], "torch_channels_last": found[-1], "ratio": best}
    Console().print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": title, "milliseconds": figures}, file, indent=2)


if __name__ == "__main__":
    main()
