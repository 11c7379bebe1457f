"""Penalties on weights, added to the loss."""

from __future__ import annotations

from typing import Any

from gpudl import ops, registry
from gpudl.backend import Array
from gpudl.configurable import Configurable
from gpudl.errors import UsageError


class Regularizer(Configurable):
    """Base of penalties: `regularizer(weight)` returns a number."""

    kind = "regularizers"

    def __call__(self, x: Array) -> Any:
        """Return the penalty of a weight, as a Tensor if a Tensor was given."""
        raise UsageError(f"{type(self).__name__} must define __call__(x)")


class L1L2(Regularizer):
    """l1 * sum |w| + l2 * sum w^2 (there is no 1/2)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, x: Array) -> Any:
        penalty = 0.0
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty


class L1(L1L2):
    """l1 * sum |w|: pulls weights to exactly 0."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """l2 * sum w^2: pulls weights towards 0."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


l1, l2, l1_l2 = L1, L2, L1L2  # Keras's other names


def get(regularizer: str | dict | Regularizer | None) -> Regularizer | None:
    """Return a penalty by name or settings, None for none. Raises: UnknownNameError."""
    return None if regularizer is None else registry.resolve("regularizers", regularizer)
