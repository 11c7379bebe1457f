"""Penalties on weights, added to the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from gpudl import ops, registry
from gpudl.autograd import Tensor
from gpudl.backend import Array, array_module
from gpudl.configurable import Configurable
from gpudl.errors import ShapeError, UsageError

SHORTEST = 1e-7
"""Shorter rows are not lengthened to 1 by the orthogonal penalty, as in Keras."""


class Regularizer(Configurable):
    """Base of penalties: `regularizer(weight)` returns a number."""

    kind = "regularizers"

    def __call__(self, x: Array) -> Any:
        """Return the penalty of a weight, as a Tensor if a Tensor was given."""
        raise UsageError(f"{type(self).__name__} must define __call__(x)")

    def _weight(self, name: str, value: float) -> float:
        if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise UsageError(f"{type(self).__name__}({name}={value!r}): {name} must be a number of at least 0")
        return float(value)


class L1L2(Regularizer):
    """l1 * sum |w| + l2 * sum w^2 (there is no 1/2)."""

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1, self.l2 = self._weight("l1", l1 or 0.0), self._weight("l2", l2 or 0.0)

    def __call__(self, x: Array) -> Any:
        penalty = 0.0
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty


class L1(L1L2):
    """l1 * sum |w|: pulls weights to exactly 0."""

    def __init__(self, l1: float | None = 0.01) -> None:
        super().__init__(l1=0.01 if l1 is None else l1)


class L2(L1L2):
    """l2 * sum w^2: pulls weights towards 0."""

    def __init__(self, l2: float | None = 0.01) -> None:
        super().__init__(l2=0.01 if l2 is None else l2)


class OrthogonalRegularizer(Regularizer):
    """Pull the rows of a matrix, or its columns, to right angles: factor * the mean |cosine| over all pairs.

    Raises: ShapeError for a weight that is no matrix.
    """

    def __init__(self, factor: float = 0.01, mode: Literal["rows", "columns"] = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise UsageError(f'OrthogonalRegularizer(mode={mode!r}): mode must be "rows" or "columns"')
        self.factor, self.mode = self._weight("factor", factor), mode

    def __call__(self, x: Array) -> Any:
        if len(x.shape) != 2:
            raise ShapeError(f"OrthogonalRegularizer takes a matrix, but the weight has shape {tuple(x.shape)}")
        if self.mode == "columns":
            x = ops.transpose(x)
        count = x.shape[0]
        if count == 1:
            return 0.0
        lengths = ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=1, keepdims=True), SHORTEST**2))
        x = x / lengths
        cosines = ops.abs(x @ ops.transpose(x))
        array = cosines.data if isinstance(cosines, Tensor) else cosines
        others = 1 - array_module(array).eye(count, dtype=array.dtype)
        return self.factor / (count * (count - 1)) * ops.sum(cosines * others)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer  # Keras's other names


def get(regularizer: str | dict[str, Any] | Regularizer | Callable[[Array], Any] | None) -> Regularizer | None:
    """Return a penalty by name or settings, None for none; a function is one too. Raises: UnknownNameError."""
    found = None if regularizer is None else registry.resolve("regularizers", regularizer)
    if found is not None and not callable(found):
        raise UsageError(f'regularizer={regularizer!r} is no penalty; give a name as "l2", or one as L2(0.01)')
    return found  # pyright: ignore[reportReturnType]  a function has what is needed of the class


def serialize(regularizer: Regularizer) -> dict[str, Any]:
    """Return the penalty's name and settings: `{"type": "l2", ...}`."""
    return registry.describe("regularizers", regularizer)


def deserialize(config: dict[str, Any]) -> Regularizer:
    """Make a penalty of what `serialize` returned, here or in Keras."""
    return registry.resolve("regularizers", config)
