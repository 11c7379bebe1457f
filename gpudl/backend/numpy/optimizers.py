"""Optimizer steps on flat NumPy buffers, in place.

Memory plan. Adam reads and writes four arrays in ten NumPy passes. Over the whole buffer each pass would go to
main memory; over blocks they run in cache, with a scratch block for what lies between. Blocks of 65,536 numbers, which
fit the second-level cache, are as good for one thread; but two mostly wait for each other's interpreter lock
(measured: a million weights in 1.3 ms, and 0.95 with the blocks below).

In every step w, g, m, v stand for blocks of the weights, gradients and slots, and a for the scratch block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.kept import kept
from gpudl.backend.numpy.workers import Piece, blocks, run, single_threaded_blas

BLOCK, LEAST_BLOCK = 1 << 18, 1 << 17
"""Numbers of a block; smaller ones where there would not be two."""


def _as_it_is(size: int, room: np.ndarray) -> np.ndarray:
    return room


def _scratch(size: int, dtype: np.dtype) -> np.ndarray:
    """Return the thread's room for so many numbers."""
    return kept(_as_it_is, size, size, dtype)


def _each_block(step: Callable[..., None], *arrays: np.ndarray | None) -> None:
    """Call step(scratch, *blocks of the arrays) for every block. Where an array is None, so is its block."""
    first = arrays[0]
    assert first is not None

    block = min(BLOCK, max(LEAST_BLOCK, -(-first.size // 2)))
    if first.size <= block:
        step(_scratch(first.size, first.dtype), *arrays)
        return

    def work(pieces: Iterator[Piece]) -> None:
        scratch = _scratch(block, first.dtype)
        for start, stop in pieces:
            step(scratch[: stop - start], *(None if array is None else array[start:stop] for array in arrays))

    run(work, blocks(first.size, block), first.size)


# What all optimizers share


def filled(size: int, value: float, dtype: np.dtype) -> np.ndarray:
    """Return a flat buffer of so many numbers, each the value."""
    return aligned.full((size,), value, dtype)


def scale(x: np.ndarray, factor: float) -> None:
    """x *= factor."""

    def step(a: np.ndarray, x: np.ndarray) -> None:
        x *= factor

    _each_block(step, x)


def mix(x: np.ndarray, keep: float, y: np.ndarray, share: float) -> None:
    """x = keep * x + share * y."""

    def step(a: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        np.multiply(y, share, out=a)
        if keep != 1:
            x *= keep
        x += a

    _each_block(step, x, y)


def clip_value(gradients: np.ndarray, limit: float) -> None:
    """Bring every number to within -limit and limit."""

    def step(a: np.ndarray, g: np.ndarray) -> None:
        np.clip(g, -limit, limit, out=g)

    _each_block(step, gradients)


def clip_norm(gradients: np.ndarray, limit: float) -> None:
    """Scale all the numbers so that their norm is no more than `limit`. A norm of infinity makes them NaN."""
    with single_threaded_blas:  # a product's bits would depend on the number of threads
        parts = [gradients[start:stop] for start, stop in blocks(gradients.size, BLOCK)]
        norm = sum(float(np.dot(part, part)) for part in parts) ** 0.5
    if not norm <= limit:
        scale(gradients, limit / norm + (norm - norm))


# One step of each optimizer


def sgd(
    weights: np.ndarray,
    gradients: np.ndarray,
    velocity: np.ndarray | None,
    rate: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """One step of gradient descent with momentum. All arrays are flat and alike; `velocity` may be None."""

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, v: np.ndarray | None) -> None:
        np.multiply(g, rate, out=a)
        if v is None:
            w -= a
            return
        v *= momentum
        v -= a
        if nesterov:
            w -= a
            np.multiply(v, momentum, out=a)
            w += a
        else:
            w += v

    _each_block(step, weights, gradients, velocity)


def adam(
    weights: np.ndarray,
    gradients: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    largest: np.ndarray | None,
    step_size: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """One step of Adam: w -= step_size * m / (sqrt(v) + epsilon). `step_size` holds the bias corrections.

    `first` is m / (1 - beta_1) and `second` v / (1 - beta_2): sums instead of means, which saves two of twelve passes.
    """
    root = (1 - beta_2) ** 0.5
    factor, shift = step_size * (1 - beta_1) / root, epsilon / root

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, top: np.ndarray | None) -> None:
        m *= beta_1
        m += g
        v *= beta_2
        np.multiply(g, g, out=a)
        v += a
        if top is not None:
            v = np.maximum(top, v, out=top)
        np.sqrt(v, out=a)
        a += shift
        np.divide(m, a, out=a)
        a *= factor
        w -= a

    _each_block(step, weights, gradients, first, second, largest)


def nadam(
    weights: np.ndarray,
    gradients: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    of_mean: float,
    of_gradient: float,
    beta_1: float,
    beta_2: float,
    correction: float,
    epsilon: float,
) -> None:
    """One step of Nadam: w -= (of_mean * m + of_gradient * g) / (sqrt(v / correction) + epsilon)."""

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
        _mean(m, g, beta_1, a)
        _mean_square(v, g, beta_2, a)
        np.divide(v, correction, out=a)
        np.sqrt(a, out=a)
        a += epsilon
        np.divide(of_mean * m + of_gradient * g, a, out=a)
        w -= a

    _each_block(step, weights, gradients, first, second)


def adamax(
    weights: np.ndarray,
    gradients: np.ndarray,
    first: np.ndarray,
    largest: np.ndarray,
    step_size: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """One step of Adamax: w -= step_size * m / (u + epsilon). `step_size` holds the bias correction."""

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, m: np.ndarray, u: np.ndarray) -> None:
        _mean(m, g, beta_1, a)
        u *= beta_2
        np.absolute(g, out=a)
        np.maximum(u, a, out=u)
        np.add(u, epsilon, out=a)
        np.divide(m, a, out=a)
        a *= step_size
        w -= a

    _each_block(step, weights, gradients, first, largest)


def lion(
    weights: np.ndarray, gradients: np.ndarray, moment: np.ndarray, rate: float, beta_1: float, beta_2: float
) -> None:
    """One step of Lion: w -= rate * sign(beta_1 m + (1 - beta_1) g), and m becomes its mean with the gradient."""

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, m: np.ndarray) -> None:
        np.multiply(g, 1 - beta_1, out=a)
        a += beta_1 * m
        np.sign(a, out=a)
        a *= rate
        w -= a
        _mean(m, g, beta_2, a)

    _each_block(step, weights, gradients, moment)


def rmsprop(
    weights: np.ndarray,
    gradients: np.ndarray,
    velocity: np.ndarray,
    moment: np.ndarray | None,
    average: np.ndarray | None,
    rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """One step of RMSprop: w -= rate g / sqrt(velocity + epsilon). `moment` and `average` may be None."""

    def step(
        a: np.ndarray, w: np.ndarray, g: np.ndarray, v: np.ndarray, m: np.ndarray | None, mean: np.ndarray | None
    ) -> None:
        _mean_square(v, g, rho, a)
        if mean is None:
            np.add(v, epsilon, out=a)
        else:
            _mean(mean, g, rho, a)
            np.subtract(v, mean * mean, out=a)
            a += epsilon
        np.sqrt(a, out=a)
        np.divide(g, a, out=a)
        a *= rate
        if m is not None:
            m *= momentum
            m += a
            a = m
        w -= a

    _each_block(step, weights, gradients, velocity, moment, average)


def adagrad(weights: np.ndarray, gradients: np.ndarray, accumulator: np.ndarray, rate: float, epsilon: float) -> None:
    """One step of Adagrad: w -= rate g / sqrt(accumulator + epsilon)."""

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, v: np.ndarray) -> None:
        np.multiply(g, g, out=a)
        v += a
        np.add(v, epsilon, out=a)
        np.sqrt(a, out=a)
        np.divide(g, a, out=a)
        a *= rate
        w -= a

    _each_block(step, weights, gradients, accumulator)


def adadelta(
    weights: np.ndarray,
    gradients: np.ndarray,
    of_gradients: np.ndarray,
    of_steps: np.ndarray,
    rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """One step of Adadelta: w -= rate d with d = g sqrt(of_steps + epsilon) / sqrt(of_gradients + epsilon)."""

    def step(a: np.ndarray, w: np.ndarray, g: np.ndarray, v: np.ndarray, s: np.ndarray) -> None:
        _mean_square(v, g, rho, a)
        np.divide(s + epsilon, v + epsilon, out=a)
        np.sqrt(a, out=a)
        a *= g
        _mean_square(s, a, rho)
        a *= rate
        w -= a

    _each_block(step, weights, gradients, of_gradients, of_steps)


def _mean(m: np.ndarray, x: np.ndarray, keep: float, a: np.ndarray) -> None:
    """m = keep * m + (1 - keep) * x, by way of the scratch block."""
    m *= keep
    np.multiply(x, 1 - keep, out=a)
    m += a


def _mean_square(m: np.ndarray, x: np.ndarray, keep: float, a: np.ndarray | None = None) -> None:
    """m = keep * m + (1 - keep) * x^2, by way of a scratch block."""
    m *= keep
    a = np.multiply(x, x, out=a)
    a *= 1 - keep
    m += a
