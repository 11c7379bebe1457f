"""Losses for numbers: how far predictions are from targets. All are averaged over the last axis.

Shapes: targets as predictions, or without a last axis of 1; (N, K) gives N losses.
"""

from __future__ import annotations

from typing import Any

from gpudl import ops
from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.losses.base import EPSILON, Loss, Reduction, beside

LOG_2 = 0.6931471805599453


def mean_squared_error(y_true: Array, y_pred: Array) -> Any:
    """Average (y - p)^2 over the last axis."""
    y_true, y_pred = beside("mean_squared_error", y_true, y_pred, recorded=True)
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


def mean_absolute_error(y_true: Array, y_pred: Array) -> Any:
    """Average |y - p| over the last axis. Gradient: 0 where both are equal."""
    y_true, y_pred = beside("mean_absolute_error", y_true, y_pred, recorded=True)
    return ops.mean(ops.abs(y_pred - y_true), axis=-1)


def mean_absolute_percentage_error(y_true: Array, y_pred: Array) -> Any:
    """Average 100 |y - p| / max(|y|, 1e-7) over the last axis."""
    y_true, y_pred = beside("mean_absolute_percentage_error", y_true, y_pred)
    size = array_module(y_true).maximum(abs(y_true), EPSILON)
    return 100 * ops.mean(ops.abs((y_pred - y_true) / size), axis=-1)


def mean_squared_logarithmic_error(y_true: Array, y_pred: Array) -> Any:
    """Average (log(1 + y) - log(1 + p))^2 over the last axis; what is below 1e-7 counts as 1e-7."""
    y_true, y_pred = beside("mean_squared_logarithmic_error", y_true, y_pred)
    xp = array_module(y_true)
    target = xp.log(xp.maximum(y_true, EPSILON) + 1)
    return ops.mean(ops.square(ops.log(ops.maximum(y_pred, EPSILON) + 1) - target), axis=-1)


@differentiable
def _huber(error: Array, *, delta: float) -> tuple[Array, Any]:
    near = error.clip(-delta, delta)
    return near * (error - near / 2), lambda dy: dy * near


def huber(y_true: Array, y_pred: Array, delta: float = 1.0) -> Any:
    """Average e^2 / 2 where |e| <= delta, delta |e| - delta^2 / 2 beyond, with e = p - y.

    Source: Huber 1964, Annals of Mathematical Statistics 35.
    """
    y_true, y_pred = beside("huber", y_true, y_pred, recorded=True)
    return ops.mean(_huber(y_pred - y_true, delta=delta), axis=-1)


@differentiable
def _log_cosh(error: Array) -> tuple[Array, Any]:
    xp = array_module(error)
    size = abs(error)
    return size + xp.log1p(xp.exp(-2 * size)) - LOG_2, lambda dy: dy * xp.tanh(error)


def log_cosh(y_true: Array, y_pred: Array) -> Any:
    """Average log cosh(p - y) over the last axis: about e^2 / 2 near 0, |e| - log 2 far from it. Does not overflow."""
    y_true, y_pred = beside("log_cosh", y_true, y_pred, recorded=True)
    return ops.mean(_log_cosh(y_pred - y_true), axis=-1)


@differentiable
def _unit(x: Array, *, axis: int) -> tuple[Array, Any]:
    """x / max(|x|, 1e-7). Gradient: 0 for what has no length, and so no direction."""
    xp = array_module(x)
    norm = xp.sqrt((x * x).sum(axis=axis, keepdims=True))
    scale = 1 / xp.maximum(norm, EPSILON)
    y = x * scale
    along = scale * (norm > EPSILON)
    return y, lambda dy: along * (dy - y * (dy * y).sum(axis=axis, keepdims=True))


def unit(x: Array, axis: int = -1) -> Any:
    """Give vectors along `axis` length 1."""
    return _unit(x, axis=axis)


def cosine_similarity(y_true: Array, y_pred: Array, axis: int = -1) -> Any:
    """Minus the cosine of the angle between y and p along `axis`: -1 where they point the same way, 1 where apart."""
    y_true, y_pred = beside("cosine_similarity", y_true, y_pred, recorded=True)
    return -ops.sum(unit(y_pred, axis) * unit(y_true, axis), axis=axis)


class MeanSquaredError(Loss):
    """(y - p)^2, averaged over the last axis. Shapes: targets as predictions, or without a last axis of 1."""

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(Loss):
    """|y - p|, averaged over the last axis. Shapes: targets as predictions, or without a last axis of 1."""

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return mean_absolute_error(y_true, y_pred)


class MeanAbsolutePercentageError(Loss):
    """100 |y - p| / |y|, averaged over the last axis. Targets nearer to 0 than 1e-7 count as 1e-7."""

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return mean_absolute_percentage_error(y_true, y_pred)


class MeanSquaredLogarithmicError(Loss):
    """(log(1 + y) - log(1 + p))^2, averaged over the last axis: for targets of many sizes, none below 0."""

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return mean_squared_logarithmic_error(y_true, y_pred)


class Huber(Loss):
    """Quadratic up to an error of `delta`, linear beyond: outliers do not pull as much as with the square.

    Source: Huber 1964, Annals of Mathematical Statistics 35.
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = delta

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return huber(y_true, y_pred, self.delta)


class LogCosh(Loss):
    """log cosh(p - y), averaged over the last axis: a Huber loss without a seam."""

    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: str | None = "log_cosh", dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return log_cosh(y_true, y_pred)


class CosineSimilarity(Loss):
    """Minus the cosine between y and p along `axis`: -1 is best. Shapes: (N, K) gives N losses."""

    def __init__(
        self,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return cosine_similarity(y_true, y_pred, self.axis)
