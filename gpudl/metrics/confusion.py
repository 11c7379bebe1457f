"""Counts of right and wrong answers above thresholds: true and false, positives and negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gpudl.backend import Array, array_module, to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import EPSILON, lay_weights, plain, same_rank
from gpudl.metrics.base import Metric

NEGATIVE_INFINITY = -1e10
"""What a prediction that is not among the top k counts as, as in Keras."""


class Counts(NamedTuple):
    """Sums of weights for each threshold: shape (thresholds,), or (thresholds, labels) where labels count apart."""

    true_positives: Array
    false_positives: Array
    true_negatives: Array
    false_negatives: Array


def read_thresholds(metric: str, thresholds: float | Sequence[float] | None, default: float) -> list[float]:
    """Return thresholds as a list. Raises: UsageError where one is outside [0, 1]."""
    if thresholds is None:
        return [default]
    listed = [float(threshold) for threshold in np.atleast_1d(np.asarray(thresholds, dtype="float64"))]
    for threshold in listed:
        if not 0 <= threshold <= 1:
            raise UsageError(f"{metric}: the threshold {threshold} is not between 0 and 1")
    return listed


def spread_evenly(thresholds: Sequence[float]) -> bool:
    """Whether thresholds are 0, 1 / (T - 1), ..., 1."""
    even = len(thresholds) >= 3
    return even and np.allclose(thresholds, np.linspace(0, 1, len(thresholds)), atol=EPSILON)


def top_k(y_pred: Array, k: int) -> Array:
    """Keep the k largest of the last axis, the first among equals; the others count as never chosen."""
    xp = array_module(y_pred)
    rank = xp.argsort(xp.argsort(-y_pred, axis=-1, kind="stable"), axis=-1)
    return xp.where(rank < k, y_pred, NEGATIVE_INFINITY).astype(y_pred.dtype)


def count(
    metric: str,
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    sample_weight: Any = None,
    k: int | None = None,
    class_id: int | None = None,
    by_label: bool = False,
    label_weights: Any = None,
) -> Counts:
    """Compare predictions with every threshold; what equals one is below it. Targets other than 0 are positive.

    Shapes: targets and predictions alike, or without a last axis of 1. Evenly spread thresholds cost one pass over
    the data however many they are. Raises: ShapeError.
    """
    y_pred, y_true = same_rank(plain(y_pred), plain(y_true))
    xp = array_module(y_pred)
    y_pred = y_pred.astype("float32")
    if y_true.shape != y_pred.shape:
        hint = "; labels of classes need one column for each, as to_categorical gives" if y_true.ndim == 1 else ""
        raise ShapeError(
            f"{metric}: targets of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}{hint}"
        )
    if by_label and y_pred.ndim != 2:
        raise ShapeError(f"{metric}: with multi_label predictions must be (N, labels), but have shape {y_pred.shape}")
    weight = None
    if sample_weight is not None:
        weight = xp.asarray(plain(sample_weight), dtype="float64")
        if weight.ndim == y_pred.ndim + 1 and weight.shape[-1] == 1:
            weight = weight[..., 0]
        _, weight = lay_weights(y_pred, weight)
    if k is not None and k > y_pred.shape[-1]:
        raise ShapeError(f"{metric}: top_k={k} is more than the classes of predictions of shape {y_pred.shape}")
    if k is not None:
        y_pred = top_k(y_pred, k)
    if class_id is not None:
        if y_pred.ndim < 2:
            raise ShapeError(f"{metric}: class_id={class_id} needs predictions (N, classes), not {y_pred.shape}")
        if not 0 <= class_id < y_pred.shape[-1]:
            raise ShapeError(f"{metric}: class_id={class_id} is no column of predictions of shape {y_pred.shape}")
        y_true, y_pred = y_true[..., class_id, None], y_pred[..., class_id, None]
    weight = xp.ones(1) if weight is None else weight
    if label_weights is not None:
        weight = weight * xp.asarray(label_weights, dtype="float64")
    positive = (y_true != 0) * xp.broadcast_to(weight, y_pred.shape)
    negative = (y_true == 0) * xp.broadcast_to(weight, y_pred.shape)
    columns = y_pred.shape[-1] if by_label else 1
    sums = _sums_of_buckets if spread_evenly(thresholds) else _sums_of_comparisons
    above = [sums(x.reshape(-1, columns), y_pred.reshape(-1, columns), thresholds) for x in (positive, negative)]
    whole = [x.reshape(-1, columns).sum(axis=0) for x in (positive, negative)]
    tp, fp = above
    each = (tp, fp, whole[1] - fp, whole[0] - tp)
    return Counts(*(x if by_label else x[:, 0] for x in each))


def _sums_of_comparisons(weight: Array, y_pred: Array, thresholds: Sequence[float]) -> Array:
    """Sum the weights (N, L) of the predictions above each threshold: (T, L)."""
    limits = array_module(y_pred).asarray(thresholds, dtype="float32")
    return ((y_pred > limits[:, None, None]) * weight).sum(axis=1)


def _sums_of_buckets(weight: Array, y_pred: Array, thresholds: Sequence[float]) -> Array:
    """The same for evenly spread thresholds: add each prediction's weight to the bucket of the last one below it."""
    xp = array_module(y_pred)
    buckets, columns = len(thresholds), weight.shape[1]
    bucket = xp.ceil(xp.nan_to_num(y_pred.clip(0, 1)) * xp.float32(buckets - 1)).astype("int64") - 1
    if thresholds[0] < 0:  # the ends are stretched by an epsilon, so that 0 lies above the first
        bucket = xp.maximum(bucket, 0)
    place = (bucket + 1) * columns + xp.arange(columns)  # a bucket more in front, for what lies above none
    sums = xp.bincount(place.reshape(-1), weights=weight.reshape(-1), minlength=(buckets + 1) * columns)
    return sums.reshape(buckets + 1, columns)[:0:-1].cumsum(axis=0)[::-1]


def share(part: Array, whole: Array) -> np.ndarray:
    """part / whole, and 0 where there is nothing."""
    part, whole = np.asarray(to_numpy(part)), np.asarray(to_numpy(whole))
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


class _Count(Metric):
    """Base of the four counts: one number for each threshold."""

    counts: str

    def __init__(
        self, thresholds: float | list[float] | None = None, name: str | None = None, dtype: str | None = None
    ) -> None:
        super().__init__(dtype, name)
        self.thresholds = read_thresholds(type(self).__name__, thresholds, 0.5)
        self.scalar = len(self.thresholds) == 1
        self.accumulator = self.add_variable((len(self.thresholds),), name="accumulator")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        counts = count(self.name, y_true, y_pred, self.thresholds, sample_weight)
        self.accumulator.assign_add(getattr(counts, self.counts))

    def result(self) -> Any:
        return self.accumulator.data[0] if self.scalar else self.accumulator


class TruePositives(_Count):
    """How many positives are predicted above the threshold (0.5), each counting its weight."""

    counts = "true_positives"


class TrueNegatives(_Count):
    """How many negatives are predicted below the threshold (0.5), each counting its weight."""

    counts = "true_negatives"


class FalsePositives(_Count):
    """How many negatives are predicted above the threshold (0.5), each counting its weight."""

    counts = "false_positives"


class FalseNegatives(_Count):
    """How many positives are predicted below the threshold (0.5), each counting its weight."""

    counts = "false_negatives"


class _ShareOfPositives(Metric):
    """Base of precision and recall: true positives as a share of themselves and one kind of mistake."""

    direction = "up"
    mistakes: str

    def __init__(
        self,
        thresholds: float | list[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(dtype, name)
        default = 0.5 if top_k is None else NEGATIVE_INFINITY
        self.thresholds = read_thresholds(type(self).__name__, thresholds, default)
        self.top_k, self.class_id = top_k, class_id
        self.scalar = len(self.thresholds) == 1
        self.true_positives = self.add_variable((len(self.thresholds),), name="true_positives")
        self.others = self.add_variable((len(self.thresholds),), name=self.mistakes)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        counts = count(self.name, y_true, y_pred, self.thresholds, sample_weight, self.top_k, self.class_id)
        self.true_positives.assign_add(counts.true_positives)
        self.others.assign_add(getattr(counts, self.mistakes))

    def result(self) -> Any:
        shares = share(self.true_positives.data, (self.true_positives.data + self.others.data))
        return shares[0] if self.scalar else shares


class Precision(_ShareOfPositives):
    """Share of true ones among what is predicted positive: TP / (TP + FP); 0 where there is none.

    Positive is what lies above `thresholds` (0.5), or among the `top_k` largest; `class_id` looks at one column alone.
    Shapes: targets of 0 and 1 and predictions alike, (N,) or (N, K).
    """

    mistakes = "false_positives"


class Recall(_ShareOfPositives):
    """Share of the positives that are found: TP / (TP + FN); 0 where there is none.

    Found is what lies above `thresholds` (0.5), or among the `top_k` largest; `class_id` looks at one column alone.
    Shapes: targets of 0 and 1 and predictions alike, (N,) or (N, K).
    """

    mistakes = "false_negatives"
