"""Losses: how wrong predictions are, as one number to be made small.

A loss on probabilities that come straight out of a softmax or sigmoid takes the short way back through both: the
value is the same, the gradient is p - y and never 0 / 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpudl import ops, registry
from gpudl.autograd import Tensor, mean, multiply
from gpudl.backend import Array, array_module
from gpudl.configurable import Configurable
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.cross_entropy import (
    binary_cross_entropy_of_sigmoid,
    cross_entropy_of_softmax,
    sparse_cross_entropy_of_softmax,
)


class Loss(Configurable):
    """Base of losses: `loss(y_true, y_pred)` is the mean of `call` over all its elements.

    With `sample_weight` (N,), each sample's elements are multiplied by its weight before; the divisor stays the
    number of elements.
    """

    kind = "losses"

    def call(self, y_true: Array, y_pred: Any) -> Any:
        """Return one loss per sample (or per sample and position), as a Tensor if y_pred is one."""
        raise UsageError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def __call__(self, y_true: Array, y_pred: Any, sample_weight: Array | None = None) -> Any:
        y_true = (
            y_true.data if isinstance(y_true, Tensor) else y_true if hasattr(y_true, "ndim") else np.asarray(y_true)
        )
        values = self.call(y_true, y_pred if isinstance(y_pred, Tensor) else Tensor(y_pred))
        if sample_weight is not None:
            weight = array_module(values.data).asarray(sample_weight, dtype=values.dtype)
            values = multiply(values, weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim)))
        return mean(values)


class FunctionLoss(Loss):
    """A plain function of (y_true, y_pred) as a loss."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


def _before(op: Callable[..., Any], y_pred: Tensor) -> Tensor | None:
    """Return what went into `op` to give y_pred, where the tape has it."""
    if y_pred.node is not None and y_pred.node.op is op:
        return y_pred.node.inputs[0]
    return None


def _like(y_true: Array, y_pred: Any, loss: str, hint: str) -> Array:
    """Bring targets to y_pred's type; (N,) targets fit (N, 1) predictions. Raises: ShapeError with a hint."""
    if y_true.shape != y_pred.shape:
        if (*y_true.shape, 1) == y_pred.shape or y_true.shape == (*y_pred.shape, 1):
            y_true = y_true.reshape(y_pred.shape)
        else:
            if not hint and y_true.ndim == 1:
                hint = "; give the last layer 1 unit"
            elif not hint and y_true.ndim == y_pred.ndim:
                hint = f"; give the last layer {y_true.shape[-1]} units"
            raise ShapeError(
                f"{loss}: targets of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}{hint}"
            )
    return y_true.astype(y_pred.dtype, copy=False)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy with integer labels: -log p[label]. Shapes: labels (N,) or (N, 1), predictions (N, K).

    With `from_logits` the predictions are scores before the softmax.
    """

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = from_logits

    def call(self, y_true: Array, y_pred: Any) -> Any:
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
        if labels.shape != y_pred.shape[:-1]:
            fits = '; one-hot labels need "categorical_crossentropy"' if labels.shape == y_pred.shape else ""
            if y_pred.ndim > labels.ndim + 1:
                fits = "; end the model with a flatten (or global pooling) and a dense layer, one unit for each class"
            raise ShapeError(
                f"sparse_categorical_crossentropy: labels of shape {y_true.shape} do not fit predictions of shape "
                f"{y_pred.shape}{fits}"
            )
        if labels.dtype.kind not in "iu":
            labels = labels.astype(np.int64)
        if self.from_logits:
            return ops.sparse_softmax_cross_entropy(y_pred, labels)
        logits = _before(ops.softmax, y_pred)
        if logits is not None:
            return sparse_cross_entropy_of_softmax(logits, labels, y_pred.data)
        return ops.sparse_cross_entropy(y_pred, labels)


class CategoricalCrossentropy(Loss):
    """Cross-entropy with one-hot (or soft) targets: -sum y log p. Shapes: targets and predictions (N, K)."""

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = from_logits

    def call(self, y_true: Array, y_pred: Any) -> Any:
        labels = y_true.ndim == y_pred.ndim - 1 or (y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1)
        hint = '; integer labels need "sparse_categorical_crossentropy"' if labels and y_pred.shape[-1] > 1 else ""
        targets = _like(y_true, y_pred, "categorical_crossentropy", hint)
        if self.from_logits:
            return ops.softmax_cross_entropy(y_pred, targets)
        logits = _before(ops.softmax, y_pred)
        if logits is not None:
            return cross_entropy_of_softmax(logits, targets, y_pred.data)
        return ops.cross_entropy(y_pred, targets)


class BinaryCrossentropy(Loss):
    """Cross-entropy of yes or no: -y log p - (1 - y) log(1 - p), averaged over the last axis.

    Shapes: targets (N,) or (N, K) of 0 and 1, predictions (N, K).
    """

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = from_logits

    def call(self, y_true: Array, y_pred: Any) -> Any:
        targets = _like(y_true, y_pred, "binary_crossentropy", "")
        if self.from_logits:
            values = ops.sigmoid_cross_entropy(y_pred, targets)
        else:
            logits = _before(ops.sigmoid, y_pred)
            if logits is not None:
                values = binary_cross_entropy_of_sigmoid(logits, targets, y_pred.data)
            else:
                values = ops.binary_cross_entropy(y_pred, targets)
        return mean(values, axis=-1)


class MeanSquaredError(Loss):
    """(y - p)^2, averaged over the last axis. Shapes: targets as predictions, or without a last axis of 1."""

    def __init__(self) -> None:
        pass

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return mean(ops.square(y_pred - _like(y_true, y_pred, "mean_squared_error", "")), axis=-1)


def get(loss: Any) -> Loss:
    """Return a loss by name, settings, or from a function of (y_true, y_pred). Raises: UnknownNameError."""
    found = registry.resolve("losses", loss)
    return found if isinstance(found, Loss) else FunctionLoss(found)
