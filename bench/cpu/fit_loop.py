"""What `fit` adds to a training step of a small MLP: `python -m bench.cpu.fit_loop`, in a terminal for the live bar.

Microseconds by the quicker half of many epochs of 1,000 steps: the loop, accuracy, and the bar, less the same steps by
hand on batches cut before. What an epoch costs besides, a line in the terminal, is shared out among its steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import gpudl
from bench import models
from bench.cpu.__main__ import machine
from gpudl.backend.numpy.workers import single_threaded_blas

STEPS, BATCH, EPOCHS, TURNS = 1000, 32, 8, 5


class Clock(gpudl.callbacks.Callback):
    """Microseconds of a step in each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found.append(1e6 * (time.perf_counter() - self._began) / STEPS)


def _model(metrics: list[str]) -> Any:
    model = models.mlp(64, 64, 10)
    loss = gpudl.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(gpudl.optimizers.Adam(1e-6), loss, metrics=metrics)
    return model


def _by_hand(x: np.ndarray, y: np.ndarray) -> list[float]:
    model, clock = _model([]), Clock()
    model.step_weights = model.trainable_weights
    batches = list(zip(np.split(x, STEPS), np.split(y, STEPS), strict=True))
    with model.steady(), single_threaded_blas, np.errstate(all="ignore"):
        for epoch in range(EPOCHS):
            clock.on_epoch_begin(epoch)
            for batch in batches:
                model.train_step(batch)
            clock.on_epoch_end(epoch)
    return clock.found


def _by_fit(x: np.ndarray, y: np.ndarray, metrics: list[str], verbose: int) -> list[float]:
    clock = Clock()
    _model(metrics).fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=verbose, callbacks=[clock])
    return clock.found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.fit_loop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1, help="how often all of it is measured")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    runs = [run() for _ in range(options.runs)]
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "unit": "us", "runs": runs}, indent=1) + "\n")


def run() -> dict[str, float]:
    """Measure the step by hand, and what fit adds to it; print both."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(BATCH * STEPS, 64)).astype("float32"), rng.integers(0, 10, BATCH * STEPS)
    found: dict[str, list[float]] = {"by hand": [], "fit": [], "accuracy": [], "bar": []}
    for _ in range(TURNS):
        found["by hand"] += _by_hand(x, y)
        found["fit"] += _by_fit(x, y, [], 0)
        found["accuracy"] += _by_fit(x, y, ["accuracy"], 0)
        found["bar"] += _by_fit(x, y, ["accuracy"], 1)
    step, loop, metric, bar = (statistics.median(sorted(times)[: len(times) // 2]) for times in found.values())
    added = {"fit": loop - step, "with accuracy": metric - step, "with the bar": bar - step}
    words = ", ".join(f"{what} {value:.0f}" for what, value in added.items())
    print(f"microseconds of a step by hand: {step:.0f}; what is added: {words}")
    return {"by hand": step, **added}


if __name__ == "__main__":
    main()
