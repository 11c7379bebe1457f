"""The tape: what it adds to an op."""

from __future__ import annotations

import inspect
import statistics
import time

from bench.cpu.reasons.timing import Call, Figure, quickest

TAPED = 100
"""Ops in a row, of 8 numbers, there and back."""


def ops_on_the_tape(name: str) -> Call:
    """ReLU of ReLU of ReLU ..., or sums with the same number, and the way back, as Tensors do it."""
    import numpy as np

    from gpudl import ops
    from gpudl.autograd import Tensor

    op, dy = getattr(ops, name), np.ones(8, np.float32)
    x, other = (Tensor(np.ones(8, np.float32), requires_grad=True) for _ in range(2))
    more = () if name == "relu" else (other,)

    def chain() -> None:
        y = x
        for _ in range(TAPED):
            y = op(y, *more)
        y.backward(dy)
        x.grad = other.grad = None

    return chain


def ops_by_hand(name: str) -> Call:
    """The same, with the functions that the ops are made of."""
    import numpy as np

    from gpudl import ops

    op, dy = inspect.unwrap(getattr(ops, name)), np.ones(8, np.float32)
    x, other = np.ones(8, np.float32), np.ones(8, np.float32)
    more = () if name == "relu" else (other,)

    def chain() -> None:
        y, gradient, total, ways_back = x, dy, None, []
        for _ in range(TAPED):
            y, way_back = op(y, *more)
            ways_back.append(way_back)
        for way_back in reversed(ways_back):
            if more:
                gradient, part = [back(gradient) for back in way_back]
                total = part if total is None else total + part
            else:
                gradient = way_back(gradient)

    return chain


def of_tape(seconds: float) -> list[Figure]:
    """What the tape adds to an op. The chains take turns, since what a machine does changes from second to second."""
    found = []
    for name, inputs in (("relu", "one Tensor"), ("add", "two Tensors")):
        on, off, added = ops_on_the_tape(name), ops_by_hand(name), []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end or len(added) < 3:
            on()
            between = time.perf_counter()
            off()
            added.append(between - began - (time.perf_counter() - between))
        taken = quickest(name, 1e6 * statistics.median(added) / TAPED)
        found.append(Figure("the tape", f"of each op of {inputs}, there and back", taken, "us"))
    return found
