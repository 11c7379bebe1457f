"""Constraints: what weights are brought back to after every step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from gpudl import registry
from gpudl.autograd import Tensor
from gpudl.backend import Array, array_module
from gpudl.configurable import Configurable
from gpudl.errors import UsageError

EPSILON = 1e-7
"""Keeps the division by a norm of 0 finite, as in Keras."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""Over which axes a norm is taken; None for all."""


def _on_arrays(call: Callable[..., Array]) -> Callable[..., Array]:
    """Let a constraint be called on a weight as well as on its array."""

    @functools.wraps(call)
    def on_arrays(self: Constraint, w: Any) -> Array:
        return call(self, w.data if isinstance(w, Tensor) else w)

    return on_arrays


class Constraint(Configurable):
    """Base of constraints: `constraint(w)` returns the nearest array that is allowed, of the same shape."""

    kind = "constraints"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            cls.__call__ = _on_arrays(cls.__call__)

    def __call__(self, w: Array) -> Array:
        """Return the weight's values as they may be."""
        raise UsageError(f"{type(self).__name__} must define __call__(w)")


def _norm(w: Array, axis: Axis) -> Array:
    xp = array_module(w)
    return xp.sqrt((w * w).sum(axis=tuple(axis) if isinstance(axis, (list, tuple)) else axis, keepdims=True))


class MaxNorm(Constraint):
    """Shorten what is longer than `max_value`: w * clip(|w|, 0, max_value) / (epsilon + |w|).

    The norm is taken over `axis`: 0 for a dense kernel (one norm for each unit), (0, 1, 2) for a convolution kernel.
    Source: Srivastava et al. 2014, Dropout.
    """

    def __init__(self, max_value: float = 2.0, axis: Axis = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Array) -> Array:
        norm = _norm(w, self.axis)
        return w * (norm.clip(0, self.max_value) / (EPSILON + norm))


class NonNeg(Constraint):
    """Set what is negative to 0."""

    def __call__(self, w: Array) -> Array:
        return array_module(w).maximum(w, 0)


class UnitNorm(Constraint):
    """Give everything length 1: w / (epsilon + |w|), the norm being taken over `axis`."""

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Array) -> Array:
        return w / (EPSILON + _norm(w, self.axis))


class MinMaxNorm(Constraint):
    """Bring lengths between two bounds, going the share `rate` of the way at every step."""

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Axis = 0,
    ) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Array) -> Array:
        norm = _norm(w, self.axis)
        wanted = self.rate * norm.clip(self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (wanted / (EPSILON + norm))


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm  # Keras's other names


def get(constraint: str | dict[str, Any] | Constraint | Callable[[Array], Array] | None) -> Constraint | None:
    """Return a constraint by name or settings, None for none; a function is one too. Raises: UnknownNameError."""
    found = None if constraint is None else registry.resolve("constraints", constraint)
    if found is not None and not callable(found):
        raise UsageError(f'constraint={constraint!r} is no constraint; give a name as "non_neg", or one as MaxNorm(2)')
    return found  # pyright: ignore[reportReturnType]  a function has what is needed of the class


def serialize(constraint: Constraint) -> dict[str, Any]:
    """Return the constraint's name and settings: `{"type": "max_norm", ...}`."""
    return registry.describe("constraints", constraint)


def deserialize(config: dict[str, Any]) -> Constraint:
    """Make a constraint of what `serialize` returned, here or in Keras."""
    return registry.resolve("constraints", config)
