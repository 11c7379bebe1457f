"""Precision and recall in one number."""

from __future__ import annotations

from typing import Any, Literal

from gpudl.backend import array_module, to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import EPSILON, plain
from gpudl.metrics.base import Metric


class FBetaScore(Metric):
    """(1 + beta^2) P R / (beta^2 P + R), of precision P and recall R; recall counts `beta` times as much.

    Shapes: one-hot (or multi-label) targets and predictions (N, K). Without a `threshold` the largest prediction of a
    sample is the positive one. `average`: None gives the score of each class, "macro" their mean, "weighted" their
    mean by how often a class occurs, "micro" the score of all counts together.
    """

    direction = "up"

    def __init__(
        self,
        average: Literal["micro", "macro", "weighted"] | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(dtype, name)
        who = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise UsageError(f'{who}: average={average!r} is unknown; use "micro", "macro", "weighted" or None')
        if not isinstance(beta, (int, float)) or isinstance(beta, bool) or beta <= 0:
            raise UsageError(f"{who}: beta={beta!r} must be a number above 0")
        if threshold is not None and not (isinstance(threshold, (int, float)) and 0 < threshold <= 1):
            raise UsageError(f"{who}: threshold={threshold!r} must be a number above 0 and at most 1, or None")
        self.average, self.beta, self.threshold = average, beta, threshold
        self.scalar = average is not None
        self.true_positives = self.add_variable(name="true_positives")
        self.false_positives = self.add_variable(name="false_positives")
        self.false_negatives = self.add_variable(name="false_negatives")
        self.intermediate_weights = self.add_variable(name="intermediate_weights")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y, p = plain(y_true), plain(y_pred)
        if y.ndim != 2 or y.shape != p.shape:
            raise ShapeError(
                f"{self.name} takes targets and predictions of one shape (N, classes), got {y.shape} and {p.shape}; "
                "integer labels need to_categorical, and one unit for each class"
            )
        xp = array_module(p)
        if self.threshold is None:
            chosen = (p >= p.max(axis=-1, keepdims=True)) & (abs(p) > 1e-9)
        else:
            chosen = p > self.threshold
        y, chosen = y.astype("float64"), chosen.astype("float64")
        weight = 1.0 if sample_weight is None else xp.asarray(plain(sample_weight), dtype="float64").reshape(-1, 1)
        axis = None if self.average == "micro" else 0
        self.true_positives.assign_add((weight * chosen * y).sum(axis=axis))
        self.false_positives.assign_add((weight * chosen * (1 - y)).sum(axis=axis))
        self.false_negatives.assign_add((weight * (1 - chosen) * y).sum(axis=axis))
        self.intermediate_weights.assign_add((weight * y).sum(axis=axis))

    def result(self) -> Any:
        tp, fp, fn, often = (to_numpy(variable.data) for variable in self.variables)
        precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
        square = self.beta**2
        score = (1 + square) * precision * recall / (square * precision + recall + EPSILON)
        if self.average == "weighted":
            return (score * often / (often.sum() + EPSILON)).sum()
        return score if self.average is None else score.mean()


class F1Score(FBetaScore):
    """2 P R / (P + R), of precision P and recall R. Shapes: one-hot targets and predictions (N, K).

    `average` and `threshold` as in `FBetaScore`.
    """

    def __init__(
        self,
        average: Literal["micro", "macro", "weighted"] | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
