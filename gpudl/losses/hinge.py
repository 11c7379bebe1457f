"""Losses of margins: nothing is lost once an answer is right by 1.

Targets are -1 and 1; a batch that holds nothing but 0 and 1 is taken for -1 and 1.
"""

from __future__ import annotations

from typing import Any

from gpudl import ops
from gpudl.backend import Array, array_module
from gpudl.losses.base import Loss, Reduction, beside


def _margin(loss: str, y_true: Array, y_pred: Array) -> Any:
    """max(1 - y p, 0), elementwise."""
    y_true, y_pred = beside(loss, y_true, y_pred)
    of_0_and_1 = ((y_true == 0) | (y_true == 1)).all()
    signs = array_module(y_true).where(of_0_and_1, 2 * y_true - 1, y_true)
    return ops.maximum(1 - y_pred * signs, 0.0)


def hinge(y_true: Array, y_pred: Array) -> Any:
    """Average max(1 - y p, 0) over the last axis."""
    return ops.mean(_margin("hinge", y_true, y_pred), axis=-1)


def squared_hinge(y_true: Array, y_pred: Array) -> Any:
    """Average max(1 - y p, 0)^2 over the last axis."""
    return ops.mean(ops.square(_margin("squared_hinge", y_true, y_pred)), axis=-1)


def categorical_hinge(y_true: Array, y_pred: Array) -> Any:
    """max(1 + the largest score of a wrong class - that of the right one, 0). Shapes: one-hot targets and p (N, K)."""
    y_true, y_pred = beside("categorical_hinge", y_true, y_pred, "; categorical_hinge takes one-hot targets")
    right = ops.sum(y_pred * y_true, axis=-1)
    wrong = ops.max(y_pred * (1 - y_true), axis=-1)
    return ops.maximum(wrong - right + 1, 0.0)


class Hinge(Loss):
    """max(1 - y p, 0), averaged over the last axis; y is -1 or 1 (or 0 and 1), p a score of any size."""

    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: str | None = "hinge", dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return hinge(y_true, y_pred)


class SquaredHinge(Loss):
    """max(1 - y p, 0)^2, averaged over the last axis; y is -1 or 1 (or 0 and 1), p a score of any size."""

    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: str | None = "squared_hinge", dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return squared_hinge(y_true, y_pred)


class CategoricalHinge(Loss):
    """The hinge of several classes: the right score should be larger than any other by 1. Shapes: both (N, K)."""

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return categorical_hinge(y_true, y_pred)
