"""Numbers of a curve over all thresholds: the area under it, and points on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from gpudl import ops
from gpudl.backend import to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import EPSILON, plain
from gpudl.metrics.base import Metric
from gpudl.metrics.confusion import Counts, count, share


class _Curve(Metric):
    """Base of metrics that count at many thresholds."""

    direction = "up"
    by_label = False
    class_id: int | None = None
    limits: Sequence[float]

    def _begin(self, limits: Sequence[float]) -> None:
        self.limits = limits
        self.true_positives = self.add_variable(name="true_positives")
        self.false_positives = self.add_variable(name="false_positives")
        self.true_negatives = self.add_variable(name="true_negatives")
        self.false_negatives = self.add_variable(name="false_negatives")

    def _add(self, counts: Counts) -> None:
        for name, values in counts._asdict().items():
            getattr(self, name).assign_add(values)

    def _counts(self) -> tuple[np.ndarray, ...]:
        """Return true and false positives, true and false negatives."""
        variables = (self.true_positives, self.false_positives, self.true_negatives, self.false_negatives)
        shape = (len(self.limits),)
        return tuple(x if x.ndim else np.zeros(shape) for x in (to_numpy(v.data) for v in variables))


def _even(number: int) -> list[float]:
    return [i / (number - 1) for i in range(number)]


class AUC(_Curve):
    """Area under the curve of recall over false positives ("ROC") or of precision over recall ("PR").

    The curve is known at `num_thresholds` evenly spread thresholds, or at `thresholds`; between them the area is
    interpolated, or a lower ("minoring") or upper sum ("majoring"). With `multi_label` every column has a curve of its
    own, and the areas are averaged by `label_weights`. "PRGAIN" is the curve of Flach and Kull.

    Shapes: targets of 0 and 1 and predictions alike, (N,) or (N, K).
    Source: Davis and Goadrich 2006 (interpolation of PR); Flach and Kull 2015 (PRGAIN).
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: Literal["ROC", "PR", "PRGAIN", "roc", "pr", "prgain"] = "ROC",
        summation_method: Literal[
            "interpolation", "majoring", "minoring", "Interpolation", "Majoring", "Minoring"
        ] = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: list[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: list[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        if curve not in ("ROC", "PR", "PRGAIN", "roc", "pr", "prgain"):
            raise UsageError(f"AUC: curve={curve!r} is unknown; use ROC, PR or PRGAIN")
        if str(summation_method).lower() not in ("interpolation", "majoring", "minoring"):
            raise UsageError(
                f"AUC: summation_method={summation_method!r} is unknown; use interpolation, majoring or minoring"
            )
        if thresholds is None and num_thresholds <= 1:
            raise UsageError(f"AUC: num_thresholds={num_thresholds} must be larger than 1")
        if num_labels and not multi_label:
            raise UsageError(f"AUC: num_labels={num_labels} has a meaning only with multi_label=True")
        self.curve, self.summation_method = curve.upper(), summation_method.lower()
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else np.asarray(label_weights, dtype="float64")
        inner = _even(num_thresholds)[1:-1] if thresholds is None else sorted(float(t) for t in thresholds)
        self.num_thresholds = len(inner) + 2
        self._begin([-EPSILON, *inner, 1 + EPSILON])

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, with one below 0 and one above 1."""
        return list(self.limits)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = plain(y_pred)
        y_pred = ops.sigmoid(y_pred.astype("float32")) if self.from_logits else y_pred
        if self.num_labels and y_pred.shape[-1] != self.num_labels:
            raise ShapeError(
                f"{self.name}: num_labels={self.num_labels}, but the predictions have shape {y_pred.shape}"
            )
        weights = None if self.multi_label else self.label_weights
        self._add(
            count(
                self.name, y_true, y_pred, self.limits, sample_weight, by_label=self.multi_label, label_weights=weights
            )
        )

    def result(self) -> Any:
        tp, fp, tn, fn = self._counts()
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated_precision(tp, fp, fn)
        else:
            if self.curve == "ROC":
                x, y = share(fp, fp + tn), share(tp, tp + fn)
            elif self.curve == "PR":
                x, y = share(tp, tp + fn), share(tp, tp + fp)
            else:
                odds = share(tp + fn, tn + fp)
                x = np.where(tp == 0, 0, np.maximum(1 - odds * share(fn, tp), 0))
                y = np.where(tp == 0, 1, 1 - odds * share(fp, tp))
            left, right = y[:-1], y[1:]
            heights = {
                "interpolation": (left + right) / 2,
                "minoring": np.minimum(left, right),
                "majoring": np.maximum(left, right),
            }
            areas = (x[:-1] - x[1:]) * heights[self.summation_method]
        areas = areas.sum(axis=0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return areas.mean()
        return share((areas * self.label_weights).sum(), self.label_weights.sum())

    @staticmethod
    def _interpolated_precision(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
        """Areas under precision over recall, true positives growing in a line with the predicted ones between two."""
        predicted = tp + fp
        more = tp[:-1] - tp[1:]
        slope = share(more, np.maximum(predicted[:-1] - predicted[1:], 0))
        start = tp[1:] - slope * predicted[1:]
        both = (predicted[:-1] > 0) & (predicted[1:] > 0)
        ratio = np.where(both, share(predicted[:-1], np.maximum(predicted[1:], 0)), 1)
        ratio = np.where(ratio > 0, ratio, 1)
        return share(slope * (more + start * np.log(ratio)), np.maximum(tp[1:] + fn[1:], 0))


class _PointOfCurve(_Curve):
    """Base of metrics that look for the best of one share where another reaches a value."""

    def __init__(
        self,
        asked: str,
        value: float,
        num_thresholds: int,
        class_id: int | None,
        name: str | None,
        dtype: str | None,
    ) -> None:
        super().__init__(dtype, name)
        who = type(self).__name__
        if not 0 <= value <= 1:
            raise UsageError(f"{who}: {asked}={value} is not between 0 and 1")
        if num_thresholds <= 0:
            raise UsageError(f"{who}: num_thresholds={num_thresholds} must be at least 1")
        self.value, self.num_thresholds, self.class_id = value, num_thresholds, class_id
        self._begin([0.5] if num_thresholds == 1 else _even(num_thresholds))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._add(count(self.name, y_true, y_pred, self.limits, sample_weight, class_id=self.class_id))

    def shares(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the share that is to reach the value, and the one to be made large."""
        raise NotImplementedError

    def result(self) -> Any:
        reached, wanted = self.shares(*self._counts())
        # Keras compares in float32, and the value asked for is often a share that is met exactly.
        return np.where(reached.astype("float32") >= np.float32(self.value), wanted, 0).max(initial=0)


class SensitivityAtSpecificity(_PointOfCurve):
    """The largest sensitivity, TP / (TP + FN), among thresholds where TN / (TN + FP) reaches `specificity`."""

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("specificity", specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def shares(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[np.ndarray, np.ndarray]:
        return share(tn, tn + fp), share(tp, tp + fn)


class SpecificityAtSensitivity(_PointOfCurve):
    """The largest specificity, TN / (TN + FP), among thresholds where TP / (TP + FN) reaches `sensitivity`."""

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("sensitivity", sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def shares(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[np.ndarray, np.ndarray]:
        return share(tp, tp + fn), share(tn, tn + fp)


class PrecisionAtRecall(_PointOfCurve):
    """The largest precision, TP / (TP + FP), among thresholds where TP / (TP + FN) reaches `recall`."""

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("recall", recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def shares(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[np.ndarray, np.ndarray]:
        return share(tp, tp + fn), share(tp, tp + fp)


class RecallAtPrecision(_PointOfCurve):
    """The largest recall, TP / (TP + FN), among thresholds where TP / (TP + FP) reaches `precision`."""

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("precision", precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def shares(self, tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[np.ndarray, np.ndarray]:
        return share(tp, tp + fp), share(tp, tp + fn)
