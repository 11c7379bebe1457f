"""Shares of right answers."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import plain, same_rank
from gpudl.metrics.reduction import MeanMetricWrapper


def _equal_shapes(name: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    y_true, y_pred = same_rank(plain(y_true), plain(y_pred))
    if y_true.shape != y_pred.shape:
        raise ShapeError(f"{name}: targets of shape {y_true.shape} do not fit predictions {y_pred.shape}")
    return y_true, y_pred


def _labels(name: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Return labels (N, ...) and scores (N, ..., K)."""
    y_true, y_pred = plain(y_true), plain(y_pred)
    labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
    if labels.shape != y_pred.shape[:-1]:
        fits = f'; one-hot targets need "{name.removeprefix("sparse_")}"' if labels.shape == y_pred.shape else ""
        raise ShapeError(f"{name}: labels of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}{fits}")
    return labels, y_pred


def _one_hot(name: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    y_true, y_pred = plain(y_true), plain(y_pred)
    if y_true.shape != y_pred.shape:
        fits = f'; integer labels need "sparse_{name}"' if y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1 else ""
        raise ShapeError(
            f"{name}: targets of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}{fits}"
        )
    return y_true, y_pred


def accuracy(y_true: Array, y_pred: Array) -> Array:
    """1 where both are equal, else 0."""
    y_true, y_pred = _equal_shapes("accuracy", y_true, y_pred)
    return (y_true.astype(y_pred.dtype) == y_pred).astype("float32")


# Which answers are right, as truth values: the metrics count these, which is quicker than to add numbers.


def _binary(y_true: Array, y_pred: Array, threshold: float = 0.5) -> Array:
    y_true, y_pred = _equal_shapes("binary_accuracy", y_true, y_pred)
    return y_true == (y_pred > threshold)


def _categorical(y_true: Array, y_pred: Array) -> Array:
    y_true, y_pred = _one_hot("categorical_accuracy", y_true, y_pred)
    return y_true.argmax(axis=-1) == y_pred.argmax(axis=-1)


def _sparse_categorical(y_true: Array, y_pred: Array) -> Array:
    labels, y_pred = _labels("sparse_categorical_accuracy", y_true, y_pred)
    return labels == y_pred.argmax(axis=-1)


def binary_accuracy(y_true: Array, y_pred: Array, threshold: float = 0.5) -> Array:
    """1 where the prediction is on the target's side of `threshold`, else 0; what equals it is below."""
    return _binary(y_true, y_pred, threshold).astype("float32")


def categorical_accuracy(y_true: Array, y_pred: Array) -> Array:
    """1 where the largest prediction is where the largest target is. Shapes: both (N, K) -> (N,)."""
    return _categorical(y_true, y_pred).astype("float32")


def sparse_categorical_accuracy(y_true: Array, y_pred: Array) -> Array:
    """1 where the largest prediction is at the label. Shapes: labels (N,) or (N, 1), predictions (N, K) -> (N,)."""
    return _sparse_categorical(y_true, y_pred).astype("float32")


def _in_top_k(labels: Array, y_pred: Array, k: int) -> Array:
    """1 where fewer than `k` predictions are larger than the label's. Raises: ShapeError where there are fewer."""
    if k > y_pred.shape[-1]:
        raise ShapeError(f"k={k} is more than the {y_pred.shape[-1]} classes of predictions of shape {y_pred.shape}")
    own = array_module(y_pred).take_along_axis(y_pred, labels.astype("int64")[..., None], axis=-1)
    return ((y_pred > own).sum(axis=-1) < k).astype("float32")


def top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: int = 5) -> Array:
    """1 where the largest target is among the `k` largest predictions. Shapes: both (N, K) -> (N,)."""
    y_true, y_pred = _one_hot("top_k_categorical_accuracy", y_true, y_pred)
    return _in_top_k(y_true.argmax(axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: int = 5, from_sorted_ids: bool = False) -> Array:
    """1 where the label is among the `k` largest predictions. Shapes: labels (N,), predictions (N, K) -> (N,).

    With `from_sorted_ids` the predictions are the numbers of classes, the best first.
    """
    labels, y_pred = _labels("sparse_top_k_categorical_accuracy", y_true, y_pred)
    if from_sorted_ids:
        return (labels[..., None] == y_pred[..., :k]).any(axis=-1).astype("float32")
    return _in_top_k(labels, y_pred, k)


class Accuracy(MeanMetricWrapper):
    """Share of predictions that equal the target exactly: for labels, not for probabilities. Shapes: both alike.

    The name "accuracy" stands for `ChosenAccuracy`, as in Keras.
    """

    direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """Share of predictions on the right side of `threshold`. Shapes: targets and predictions (N, K) or (N,)."""

    direction = "up"

    def __init__(self, name: str | None = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(_binary, name or self.name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose largest prediction is where the largest target is. Shapes: both (N, K)."""

    direction = "up"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(_categorical, name or self.name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose largest prediction is at the label. Shapes: labels (N,) or (N, 1), predictions (N, K)."""

    direction = "up"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(_sparse_categorical, name or self.name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose class is among the `k` largest predictions. Shapes: one-hot targets, both (N, K)."""

    direction = "up"

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: str | None = None) -> None:
        if not isinstance(k, Integral) or k < 1:
            raise UsageError(f"TopKCategoricalAccuracy: k={k} must be at least 1")
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """Share of samples whose label is among the `k` largest predictions. Shapes: labels (N,), predictions (N, K)."""

    direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        if not isinstance(k, Integral) or k < 1:
            raise UsageError(f"SparseTopKCategoricalAccuracy: k={k} must be at least 1")
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
        self.k, self.from_sorted_ids = k, from_sorted_ids


def _chosen(y_true: Array, y_pred: Array) -> Array:
    """Answer as the accuracy that fits the shapes: binary, sparse or one-hot."""
    if y_pred.ndim < 2 or y_pred.shape[-1] == 1:
        return _binary(y_true, y_pred)
    if y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
        return _sparse_categorical(y_true, y_pred)
    return _categorical(y_true, y_pred)


class ChosenAccuracy(MeanMetricWrapper):
    """Share of right answers, as "accuracy" means it: binary, categorical or sparse, chosen by the shapes.

    A last axis of one prediction is binary; labels with one axis less than the predictions, or a last axis of 1,
    are sparse; otherwise targets are one-hot.
    """

    direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None:
        super().__init__(_chosen, name or self.name, dtype)
