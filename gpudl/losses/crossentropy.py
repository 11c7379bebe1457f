"""Cross-entropies: how surprised predictions are by the truth.

A loss on probabilities that come straight out of a softmax or sigmoid takes the short way back through both: the
value is the same, the gradient is p - y and never 0 / 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend import Array
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import Loss, Reduction, beside, floating, plain
from gpudl.ops.cross_entropy import (
    binary_cross_entropy_of_sigmoid,
    cross_entropy_of_softmax,
    sparse_cross_entropy_of_softmax,
)


def _before(op: Callable[..., Any], y_pred: Any) -> Tensor | None:
    """Return what went into `op` to give y_pred, where the tape has it."""
    node = y_pred.node if isinstance(y_pred, Tensor) else None
    return node.inputs[0] if node is not None and node.op is op else None


def _before_softmax(y_pred: Any, axis: int) -> Tensor | None:
    """Return the logits of a softmax over `axis`; one over another axis has no short way."""
    logits = _before(ops.softmax, y_pred)
    same = logits is not None and (y_pred.node.settings.get("axis", -1) - axis) % y_pred.ndim == 0
    return logits if same else None


def _last(x: Any, axis: int) -> Any:
    """Move an axis to the end."""
    if axis in (-1, x.ndim - 1):
        return x
    order = [i for i in range(x.ndim) if i != axis % x.ndim]
    return ops.transpose(x, (*order, axis % x.ndim))


def _check_axis(loss: str, axis: Any, y_pred: Any) -> None:
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -y_pred.ndim <= axis < y_pred.ndim:
        raise UsageError(f"{loss}: axis={axis!r} is not an axis of predictions of shape {y_pred.shape}")


def binary_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """-y log p - (1 - y) log(1 - p), averaged over `axis`. Shapes: targets as predictions."""
    y_pred = floating(y_pred)
    logits = _before(ops.sigmoid, y_pred)
    targets, y_pred = beside("binary_crossentropy", y_true, y_pred)
    _check_axis("binary_crossentropy", axis, y_pred)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        values = ops.sigmoid_cross_entropy(y_pred, targets)
    elif logits is not None:
        values = binary_cross_entropy_of_sigmoid(logits.reshape(y_pred.shape), targets, y_pred.data)
    else:
        values = ops.binary_cross_entropy(y_pred, targets)
    return ops.mean(values, axis=axis)


def _smoothed_one_hot(loss: str, y_true: Array, y_pred: Any, label_smoothing: float, axis: int) -> tuple[Array, Any]:
    """Return targets, a share of them spread over all classes, and predictions of one shape."""
    y_true, y_pred = y_true if isinstance(y_true, Tensor) else plain(y_true), floating(y_pred)
    labels = y_true.ndim == y_pred.ndim - 1 or (y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1)
    hint = f'; integer labels need "sparse_{loss}"' if labels and y_pred.shape[-1] > 1 else ""
    targets, y_pred = beside(loss, y_true, y_pred, hint.replace("focal_", ""))
    _check_axis(loss, axis, y_pred)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / targets.shape[-1]
    return targets, y_pred


def categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """-sum y log p over `axis`. Shapes: one-hot or soft targets as predictions, (N, K) gives N losses."""
    targets, y_pred = _smoothed_one_hot("categorical_crossentropy", y_true, y_pred, label_smoothing, axis)
    targets = _last(targets, axis)
    if from_logits:
        return ops.softmax_cross_entropy(_last(y_pred, axis), targets)
    logits = _before_softmax(y_pred, axis)
    if logits is not None:
        return cross_entropy_of_softmax(_last(logits, axis), targets, _last(y_pred.data, axis))
    return ops.cross_entropy(_last(y_pred, axis), targets)


def _labels(y_true: Any, y_pred: Any, axis: int) -> Array:
    """Return labels as integers, one for each distribution. Raises: ShapeError, or UsageError for impossible ones."""
    labels = plain(y_true)
    given = labels.shape
    if labels.ndim == y_pred.ndim and labels.shape[axis] == 1:
        labels = ops.reshape(labels, tuple(n for i, n in enumerate(labels.shape) if i != axis % labels.ndim))
    if labels.shape != tuple(n for i, n in enumerate(y_pred.shape) if i != axis % y_pred.ndim):
        fits = '; one-hot labels need "categorical_crossentropy"' if labels.shape == y_pred.shape else ""
        if y_pred.ndim > labels.ndim + 1:
            fits = "; end the model with a flatten (or global pooling) and a dense layer, one unit for each class"
        raise ShapeError(
            f"sparse_categorical_crossentropy: labels of shape {given} do not fit predictions of shape "
            f"{y_pred.shape}{fits}"
        )
    return labels if labels.dtype.kind in "iu" else ops.cast(labels, "int64")


def sparse_categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """-log p[label], with the classes along `axis`; 0 where the label is `ignore_class`.

    Shapes: integer labels (N,) or (N, 1), predictions (N, K) -> N losses.
    """
    y_pred = floating(y_pred)
    _check_axis("sparse_categorical_crossentropy", axis, y_pred)
    labels = _labels(y_true, y_pred, axis)
    counted = None if ignore_class is None else labels != ignore_class
    if counted is not None:
        labels = labels * counted
    logits = None if from_logits else _before_softmax(y_pred, axis)
    if from_logits:
        values = ops.sparse_softmax_cross_entropy(_last(y_pred, axis), labels)
    elif logits is not None:
        values = sparse_cross_entropy_of_softmax(_last(logits, axis), labels, _last(y_pred.data, axis))
    else:
        values = ops.sparse_cross_entropy(_last(y_pred, axis), labels)
    return values if counted is None else values * counted.astype(values.dtype)


class BinaryCrossentropy(Loss):
    """Cross-entropy of yes or no: -y log p - (1 - y) log(1 - p), averaged over `axis`.

    Shapes: targets (N,) or (N, K) of 0 and 1, predictions (N, K). With `from_logits` the predictions are scores
    before the sigmoid. `label_smoothing` moves targets that share of the way to 1/2.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class CategoricalCrossentropy(Loss):
    """Cross-entropy with one-hot (or soft) targets: -sum y log p. Shapes: targets and predictions (N, K).

    With `from_logits` the predictions are scores before the softmax. `label_smoothing` takes that share of the
    targets and spreads it over all classes. `axis` is where the classes are.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy with integer labels: -log p[label]. Shapes: labels (N,) or (N, 1), predictions (N, K).

    With `from_logits` the predictions are scores before the softmax. What is labelled `ignore_class` counts neither
    in the sum nor in the number of losses. `axis` is where the classes are.
    """

    takes_labels = True

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits, self.ignore_class, self.axis)

    def counted(self, y_true: Array, y_pred: Any) -> Array | None:
        return None if self.ignore_class is None else _labels(y_true, y_pred, self.axis) != self.ignore_class
