"""Normally distributed noise, drawn from a key: equal keys draw the same on every device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.errors import UsageError


@differentiable
def gaussian_noise(x: Array, *, stddev: float, key: int) -> tuple[Array, Any]:
    """Add to each element a number drawn from a normal distribution of mean 0 and deviation `stddev`.

    `key` is a key of `gpudl.random`. Shapes: y as x. Gradient: dy.
    """
    return x + _normal(x, key) * x.dtype.type(stddev), lambda dy: dy


@differentiable
def gaussian_dropout(x: Array, *, rate: float, key: int) -> tuple[Array, Any]:
    """Multiply each element by a number drawn from a normal distribution of mean 1 and variance rate / (1 - rate).

    `key` is a key of `gpudl.random`. Shapes: y as x. Gradient: dy times the same numbers.
    Raises: UsageError where rate is not at least 0 and below 1.
    Source: Srivastava et al. 2014, JMLR 15.
    """
    if not 0 <= rate < 1:
        raise UsageError(f"rate={rate} is not at least 0 and below 1")
    factors = 1 + _normal(x, key) * x.dtype.type(math.sqrt(rate / (1 - rate)))
    return x * factors, lambda dy: dy * factors


def _normal(x: Array, key: int) -> Array:
    """Draws of the shape and type of x. They are made on the CPU, so that all devices have the same."""
    draws = np.random.Generator(np.random.Philox(key=key)).standard_normal(x.shape, np.float32)
    return array_module(x).asarray(draws.astype(x.dtype, copy=False))
