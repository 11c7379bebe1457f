"""Asking an array about itself, and taking it off the tape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpudl.autograd import Tensor, differentiable
from gpudl.backend import Array, array_module
from gpudl.ops.decorators import without_gradient


def shape(x: Any) -> tuple[int | None, ...]:
    """The lengths of the axes; None for the open batch of a symbolic Tensor."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


def size(x: Any) -> int | None:
    """The number of elements; None where the batch is open."""
    lengths = shape(x)
    return None if None in lengths else math.prod(n for n in lengths if n is not None)


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor or an array."""
    return isinstance(x, Tensor) or (hasattr(x, "ndim") and hasattr(x, "dtype"))


@differentiable
def stop_gradient(variable: Array) -> tuple[Array, None]:
    """The same values, as constants to the tape. Gradient: none."""
    return variable, None


@without_gradient
def isclose(x1: Array, x2: Array, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """|x1 - x2| <= atol + rtol |x2|, elementwise and broadcast."""
    return array_module(x1, x2).isclose(x1, x2, rtol, atol, equal_nan)


@without_gradient
def allclose(x1: Array, x2: Array, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Whether |x1 - x2| <= atol + rtol |x2| holds everywhere."""
    return array_module(x1, x2).allclose(x1, x2, rtol, atol, equal_nan)
