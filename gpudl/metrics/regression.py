"""How well numbers are predicted."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from gpudl.backend import Array, array_module, to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import EPSILON, beside, plain
from gpudl.losses.regression import unit
from gpudl.metrics.base import Metric
from gpudl.metrics.reduction import Mean, MeanMetricWrapper


def cosine_similarity(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """The cosine of the angle between y and p along `axis`: 1 where they point the same way."""
    y_true, y_pred = beside("cosine_similarity", plain(y_true), plain(y_pred))
    return (unit(y_true, axis) * unit(y_pred, axis)).sum(axis=axis)


def pearson_correlation(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """The correlation of y and p along `axis`: 1 where one is a rising line of the other; NaN where one is constant."""
    y_true, y_pred = beside("pearson_correlation", plain(y_true), plain(y_pred))
    y, p = (x - x.mean(axis=axis, keepdims=True) for x in (y_true, y_pred))
    with np.errstate(invalid="ignore", divide="ignore"):
        y, p = (x / x.std(axis=axis, keepdims=True) for x in (y, p))
        return (y * p).mean(axis=axis)


def concordance_correlation(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """The correlation that also asks for the same mean and spread: 1 only where y = p.

    Source: Lin 1989, Biometrics 45.
    """
    y, p = beside("concordance_correlation", plain(y_true), plain(y_pred))
    y_mean, p_mean = (x.mean(axis=axis, keepdims=True) for x in (y, p))
    spread = y.var(axis=axis, keepdims=True) + p.var(axis=axis, keepdims=True) + (y_mean - p_mean) ** 2
    return (2 * (y - p_mean) * (p - p_mean) / (spread + EPSILON)).mean(axis=axis)


class RootMeanSquaredError(Mean):
    """Square root of the mean of (y - p)^2. Shapes: targets as predictions."""

    direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        y_true, y_pred = beside("root_mean_squared_error", plain(y_true), plain(y_pred))
        super().update_state((y_pred - y_true) ** 2, sample_weight)

    def result(self) -> Any:
        return super().result() ** 0.5


class CosineSimilarity(MeanMetricWrapper):
    """Mean cosine between y and p along `axis`: 1 is best. Shapes: targets as predictions."""

    direction = "up"

    def __init__(self, name: str | None = "cosine_similarity", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)
        self.axis = axis


class PearsonCorrelation(MeanMetricWrapper):
    """Mean correlation of y and p along `axis`. Shapes: targets as predictions."""

    direction = "up"

    def __init__(self, name: str | None = "pearson_correlation", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)
        self.axis = axis


class ConcordanceCorrelation(MeanMetricWrapper):
    """Mean concordance correlation of y and p along `axis`. Source: Lin 1989, Biometrics 45."""

    direction = "up"

    def __init__(self, name: str | None = "concordance_correlation", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
        self.axis = axis


class R2Score(Metric):
    """Share of the targets' variance that is explained: 1 - sum (y - p)^2 / sum (y - mean y)^2. Shapes: both (N, K).

    The K scores are averaged ("uniform_average"), averaged by variance ("variance_weighted_average"), or given one by
    one (None). `num_regressors` > 0 asks for the adjusted score.
    """

    direction = "up"

    def __init__(
        self,
        class_aggregation: Literal["uniform_average", "variance_weighted_average"] | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(dtype, name)
        known = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in known:
            raise UsageError(f"R2Score: class_aggregation={class_aggregation!r} is none of {known}")
        if num_regressors < 0:
            raise UsageError(f"R2Score: num_regressors={num_regressors} must be at least 0")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.scalar = class_aggregation is not None
        self.num_samples = self.add_variable((), name="num_samples")
        self.squared_sum = self.add_variable(name="squared_sum")
        self.sum = self.add_variable(name="sum")
        self.total_mse = self.add_variable(name="residual")
        self.count = self.add_variable(name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y, p = beside("R2Score", plain(y_true), plain(y_pred))
        if y.ndim != 2:
            raise ShapeError(f"R2Score takes targets and predictions of shape (N, K), but they have shape {y.shape}")
        xp = array_module(y)
        y, p = y.astype("float64"), p.astype("float64")
        weight = xp.asarray(1.0 if sample_weight is None else plain(sample_weight), dtype="float64")
        weight = xp.broadcast_to(weight[:, None] if weight.ndim == 1 else weight, y.shape)
        self.sum.assign_add((y * weight).sum(axis=0))
        self.squared_sum.assign_add((y * y * weight).sum(axis=0))
        self.total_mse.assign_add(((y - p) ** 2 * weight).sum(axis=0))
        self.count.assign_add(weight.sum(axis=0))
        self.num_samples.assign_add(y.size)

    def result(self) -> Any:
        sums = (to_numpy(v.data) for v in (self.sum, self.squared_sum, self.total_mse, self.count, self.num_samples))
        total, squares, residual, count, samples = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = squares - total * total / count
            score = 1 - residual / spread
            score = np.where(np.isinf(score), 0.0, score)
            if self.class_aggregation == "uniform_average":
                score = score.mean()
            elif self.class_aggregation == "variance_weighted_average":
                score = (spread * score).sum() / spread.sum()
        return score if self.num_regressors == 0 else self._adjusted(score, samples)

    def _adjusted(self, score: Any, samples: Any) -> Any:
        """1 - (1 - score) (n - 1) / (n - regressors - 1)."""
        free = samples - self.num_regressors - 1
        if free <= 0:
            why = "more regressors than samples" if free < 0 else "as many regressors as samples allow"
            warnings.warn(f"R2Score: {why}; the score is given unadjusted", stacklevel=4)
            return score
        return 1 - (1 - score) * (samples - 1) / free
