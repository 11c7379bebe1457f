"""An optimizer's state in Keras's order: steps taken, the rate if it is no schedule, then the slots.

Slots that an optimizer makes together alternate from weight to weight (momentum and velocity of the first, momentum
and velocity of the second, ...); the others follow as a block of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpudl import registry
from gpudl.autograd import Parameter
from gpudl.backend import to_numpy
from gpudl.optimizers import Optimizer, RMSprop


def _order(optimizer: Optimizer, count: int) -> list[tuple[int, str]]:
    """Return the slots for `count` weights in Keras's order, each as the weight's number and the slot's name."""
    apart = set(optimizer.slot_names) if isinstance(optimizer, RMSprop) else {"velocity_max"}
    together = [name for name in optimizer.slot_names if name not in apart]
    order = [(i, "ema") for i in range(count) if getattr(optimizer, "use_ema", False)]
    order += [(i, "accumulated") for i in range(count) if getattr(optimizer, "gradient_accumulation_steps", None)]
    order += [(i, name) for i in range(count) for name in together]
    return order + [(i, name) for name in optimizer.slot_names if name in apart for i in range(count)]


def _last(optimizer: Optimizer, steps: int) -> list[float]:
    """Return the numbers that follow the slots: Nadam's product of its momenta so far, which `steps` determines."""
    if type(optimizer).__name__ != "Nadam":
        return []
    beta_1: float = getattr(optimizer, "beta_1")  # noqa: B009
    return [math.prod(beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, steps + 1))]


def to_keras(optimizer: Optimizer, weights: Sequence[Parameter]) -> list[np.ndarray]:
    """Return the arrays of `optimizer/vars`."""
    state = optimizer.state()
    if state["arrays"]:
        weights = optimizer.parameters
    elif weights:  # no step yet: what the slots would start with, found on a copy
        fresh = registry.resolve("optimizers", registry.describe("optimizers", optimizer))
        fresh.build([Parameter(weight.numpy().copy(), weight.name) for weight in weights])
        state["arrays"] = fresh.state()["arrays"]
    arrays: list[np.ndarray] = [np.asarray(state["iterations"], np.int64)]
    if state["learning_rate"] is not None:
        arrays.append(np.asarray(state["learning_rate"], np.float32))
    for i, name in _order(optimizer, len(weights)):
        slot = to_numpy(state["arrays"][f"{i}/{name}"])
        arrays.append(np.asarray(slot * slot.dtype.type(optimizer.slot_share(name)), order="C"))
    return arrays + [np.asarray(number, np.float32) for number in _last(optimizer, state["iterations"])]


def from_keras(optimizer: Optimizer, arrays: Sequence[np.ndarray], weights: Sequence[Parameter]) -> str | None:
    """Bring the arrays of `optimizer/vars` into an optimizer. Return why not, where that cannot be done."""
    called = type(optimizer).__name__
    state: dict[str, Any] = {**optimizer.state(), "arrays": {}}
    scalars = 1 if state["learning_rate"] is None else 2
    if len(arrays) < scalars or any(array.size != 1 for array in arrays[:scalars]):
        return f"it begins with other numbers than {called}'s"
    state["iterations"] = int(arrays[0].item())
    if scalars == 2 and np.float32(state["learning_rate"]) != arrays[1].item():  # else it is the same, unrounded
        state["learning_rate"] = float(arrays[1].item())
    slots = list(arrays[scalars:])
    order = _order(optimizer, len(weights))
    if not slots and not state["iterations"]:
        return None  # saved before the first step
    for _ in _last(optimizer, 0):
        slots = slots[:-1]
    if len(order) != len(slots):
        return f"it has {len(slots)} arrays, but {called} keeps {len(order)} for these weights"
    for (i, name), array in zip(order, slots, strict=True):
        weight = weights[i]
        if array.shape != weight.shape:
            return f"an array of shape {array.shape} stands where {weight.name} has {weight.shape}"
        values = array.astype(weight.dtype, copy=False)
        state["arrays"][f"{i}/{name}"] = values / values.dtype.type(optimizer.slot_share(name))
    optimizer.load_state(state, weights)
    return None
