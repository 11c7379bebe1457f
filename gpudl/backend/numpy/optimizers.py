"""Optimizer steps on flat NumPy buffers, in place.

Memory plan. Adam reads and writes four arrays in ten NumPy passes. Over the whole buffer each pass would go to
main memory; over blocks of 65,536 numbers they run in cache, with a scratch block for what lies between. Smaller
blocks would fit a smaller cache, but then the threads mostly wait for each other's interpreter lock (measured).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy.workers import SMALL, Piece, Work, blocks, run

BLOCK = 1 << 16
THREADS_FROM = 1 << 20
"""Weights from which threads gain: below, ten short passes per block leave them waiting for the lock."""


def _run(work: Work, size: int) -> None:
    run(work, blocks(size, BLOCK), size * SMALL // THREADS_FROM)


def sgd(
    weights: np.ndarray,
    gradients: np.ndarray,
    velocity: np.ndarray | None,
    rate: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """One step of gradient descent with momentum. All arrays are flat and alike; `velocity` may be None."""

    def work(pieces: Iterator[Piece]) -> None:
        scratch = np.empty(min(BLOCK, weights.size), weights.dtype)
        for start, stop in pieces:
            w, g, step = weights[start:stop], gradients[start:stop], scratch[: stop - start]
            np.multiply(g, rate, out=step)
            if velocity is None:
                w -= step
                continue
            v = velocity[start:stop]
            v *= momentum
            v -= step
            if nesterov:
                w -= step
                np.multiply(v, momentum, out=step)
                w += step
            else:
                w += v

    _run(work, weights.size)


def adam(
    weights: np.ndarray,
    gradients: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    largest: np.ndarray | None,
    step: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """One step of Adam: w -= step * m / (sqrt(v) + epsilon). `step` holds the bias corrections.

    `first` is m / (1 - beta_1) and `second` v / (1 - beta_2): sums instead of means, which saves two of twelve passes.
    """
    root = (1 - beta_2) ** 0.5
    factor, shift = step * (1 - beta_1) / root, epsilon / root

    def work(pieces: Iterator[Piece]) -> None:
        scratch = np.empty(min(BLOCK, weights.size), weights.dtype)
        for start, stop in pieces:
            g, m, v, a = gradients[start:stop], first[start:stop], second[start:stop], scratch[: stop - start]
            m *= beta_1
            m += g
            v *= beta_2
            np.multiply(g, g, out=a)
            v += a
            if largest is not None:
                v = np.maximum(largest[start:stop], v, out=largest[start:stop])
            np.sqrt(v, out=a)
            a += shift
            np.divide(m, a, out=a)
            a *= factor
            weights[start:stop] -= a

    _run(work, weights.size)


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

    def work(pieces: Iterator[Piece]) -> None:
        scratch = np.empty(min(BLOCK, weights.size), weights.dtype)
        for start, stop in pieces:
            w, g, v, a = weights[start:stop], gradients[start:stop], velocity[start:stop], scratch[: stop - start]
            v *= rho
            np.multiply(g, g, out=a)
            a *= 1 - rho
            v += a
            if average is None:
                np.add(v, epsilon, out=a)
            else:
                mean = average[start:stop]
                mean *= rho
                mean += (1 - rho) * g
                np.subtract(v, mean * mean, out=a)
                a += epsilon
            np.sqrt(a, out=a)
            np.divide(g, a, out=a)
            a *= rate
            if moment is not None:
                m = moment[start:stop]
                m *= momentum
                m += a
                a = m
            w -= a

    _run(work, weights.size)
