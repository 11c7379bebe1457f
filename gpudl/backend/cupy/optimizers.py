"""Optimizer steps on flat buffers, in place: launches of optimizers.cu, one for each step."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import PER_BLOCK, as_index, index_type, launch, launch_each, type_of

BLOCKS = 256
"""Blocks that add up the squares of the gradients."""


def _step(name: str, *arguments: Any) -> None:
    """Launch a kernel over all numbers of the first array. Python's floats become numbers of its type."""
    kind = arguments[0].dtype.type
    numbers = [kind(a) if isinstance(a, float) else np.bool_(a) if isinstance(a, bool) else a for a in arguments]
    launch_each("optimizers", name, arguments[0].size, numbers)


def filled(size: int, value: float, dtype: np.dtype) -> Array:
    """Return a flat buffer of so many numbers, each the value."""
    return import_module("cupy").full(size, value, dtype)


def scale(x: Array, factor: float) -> None:
    """x *= factor."""
    _step("scale", x, float(factor))


def mix(x: Array, keep: float, y: Array, share: float) -> None:
    """x = keep * x + share * y."""
    _step("mix", x, float(keep), y, float(share))


def clip_value(gradients: Array, limit: float) -> None:
    """Bring every number to within -limit and limit."""
    _step("clip_value", gradients, float(limit))


def clip_norm(gradients: Array, limit: float) -> None:
    """Scale all the numbers so that their norm is no more than `limit`. A norm of infinity makes them NaN."""
    size = gradients.size
    blocks = max(1, min(BLOCKS, size // PER_BLOCK))
    parts = array_module(gradients).empty(blocks, "float64")
    index = index_type(size)
    macros = {"T": type_of(gradients), "INDEX": index}
    launch("optimizers", "sum_squares", macros, (blocks,), PER_BLOCK, (gradients, parts, as_index(size, index)), 8 * 8)
    launch_each("optimizers", "clip_norm", size, (gradients, parts, blocks, np.float64(limit)))


def sgd(
    weights: Array,
    gradients: Array,
    velocity: Array | None,
    rate: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """One step of gradient descent with momentum. All arrays are flat and alike; `velocity` may be None."""
    _step("sgd", weights, gradients, velocity, float(rate), float(momentum), bool(nesterov))


def adam(
    weights: Array,
    gradients: Array,
    first: Array,
    second: Array,
    largest: Array | None,
    step_size: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """One step of Adam: w -= step_size * m / (sqrt(v) + epsilon). `step_size` holds the bias corrections.

    `first` is m / (1 - beta_1) and `second` v / (1 - beta_2), as on the CPU.
    """
    root = (1 - beta_2) ** 0.5
    factor, shift = step_size * (1 - beta_1) / root, epsilon / root
    _step("adam", weights, gradients, first, second, largest, float(factor), float(shift), float(beta_1), float(beta_2))


def nadam(
    weights: Array,
    gradients: Array,
    first: Array,
    second: Array,
    of_mean: float,
    of_gradient: float,
    beta_1: float,
    beta_2: float,
    correction: float,
    epsilon: float,
) -> None:
    """One step of Nadam: w -= (of_mean * m + of_gradient * g) / (sqrt(v / correction) + epsilon)."""
    numbers = map(float, (of_mean, of_gradient, beta_1, beta_2, correction, epsilon))
    _step("nadam", weights, gradients, first, second, *numbers)


def adamax(
    weights: Array,
    gradients: Array,
    first: Array,
    largest: Array,
    step_size: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """One step of Adamax: w -= step_size * m / (u + epsilon). `step_size` holds the bias correction."""
    numbers = map(float, (step_size, beta_1, beta_2, epsilon))
    _step("adamax", weights, gradients, first, largest, *numbers)


def lion(weights: Array, gradients: Array, moment: Array, rate: float, beta_1: float, beta_2: float) -> None:
    """One step of Lion: w -= rate * sign(beta_1 m + (1 - beta_1) g), and m becomes its mean with the gradient."""
    _step("lion", weights, gradients, moment, float(rate), float(beta_1), float(beta_2))


def rmsprop(
    weights: Array,
    gradients: Array,
    velocity: Array,
    moment: Array | None,
    average: Array | None,
    rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """One step of RMSprop: w -= rate g / sqrt(velocity + epsilon). `moment` and `average` may be None."""
    numbers = map(float, (rate, rho, momentum, epsilon))
    _step("rmsprop", weights, gradients, velocity, moment, average, *numbers)


def adagrad(weights: Array, gradients: Array, accumulator: Array, rate: float, epsilon: float) -> None:
    """One step of Adagrad: w -= rate g / sqrt(accumulator + epsilon)."""
    _step("adagrad", weights, gradients, accumulator, float(rate), float(epsilon))


def adadelta(
    weights: Array,
    gradients: Array,
    of_gradients: Array,
    of_steps: Array,
    rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """One step of Adadelta: w -= rate d with d = g sqrt(of_steps + epsilon) / sqrt(of_gradients + epsilon)."""
    _step("adadelta", weights, gradients, of_gradients, of_steps, float(rate), float(rho), float(epsilon))
