"""The steps of the two MLPs in DeZero, for the record.

It needs NumPy before 1.24 and so an environment of its own: pip install dezero "numpy<1.24" "matplotlib<3.8" pillow,
and then python bench/cpu/dezero_steps.py.
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
from dezero import functions  # pyright: ignore[reportMissingImports]
from dezero.models import MLP  # pyright: ignore[reportMissingImports]
from dezero.optimizers import Adam  # pyright: ignore[reportMissingImports]

NETWORKS = {
    "MLP 64-64-10, batch 32": ((64, 64, 10), 32),
    "MLP 784-256-128-10, batch 128": ((784, 256, 128, 10), 128),
}


def milliseconds(sizes: tuple[int, ...], batch: int, seconds: float = 5.0) -> float:
    """Return the median time of a step: forward, loss, gradients and Adam."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(batch, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], batch)
    model = MLP(sizes[1:], activation=functions.relu)
    optimizer = Adam().setup(model)

    def step() -> None:
        loss = functions.softmax_cross_entropy(model(x), y)
        model.cleargrads()
        loss.backward()
        optimizer.update()

    for _ in range(20):
        step()
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    found = {name: milliseconds(sizes, batch) for name, (sizes, batch) in NETWORKS.items()}
    print(json.dumps({"numpy": np.__version__, "unit": "ms", "steps": found}, indent=1))
