"""Metrics: what is counted over an epoch and reported, but not trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpudl import registry
from gpudl.backend import Array, array_module, to_numpy
from gpudl.configurable import Configurable
from gpudl.errors import ShapeError, UsageError


class Metric(Configurable):
    """Base of metrics: a running weighted mean of `values(y_true, y_pred)`, one per sample.

    A metric that is no mean overrides `update_state`, `result` and `reset_state` instead. The running sums stay on
    the device of the predictions; only `result()` reads them.
    """

    kind = "metrics"

    def __new__(cls, *args: Any, **kwargs: Any) -> Metric:
        self = super().__new__(cls, *args, **kwargs)
        self.name = kwargs.get("name") or registry.snake_case(cls.__name__)
        self._total = 0.0
        self._weight = 0.0
        return self

    name: str
    _total: Any
    _weight: Any

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one number per sample, shape (N,) or (N, ...)."""
        raise UsageError(f"{type(self).__name__} must define values(y_true, y_pred)")

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> None:
        """Take one more batch into account."""
        values = self.values(y_true, y_pred)
        if sample_weight is None:
            self._total = self._total + values.sum(dtype="float64")
            self._weight += values.size
        else:
            weight = array_module(values).asarray(sample_weight, dtype="float64")
            weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
            self._total = self._total + (values * weight).sum()
            self._weight = self._weight + weight.sum() * (values.size / weight.size)

    def result(self) -> float:
        """Return the value over all batches since the last reset; 0 before the first."""
        weight = float(to_numpy(self._weight))
        return float(to_numpy(self._total)) / weight if weight else 0.0

    def totals(self) -> tuple[float, float]:
        """Return the running sum and weight, which `load_totals` takes back."""
        return float(to_numpy(self._total)), float(to_numpy(self._weight))

    def load_totals(self, totals: tuple[float, float]) -> None:
        """Continue from what `totals` returned."""
        self._total, self._weight = totals

    def reset_state(self) -> None:
        """Forget all batches."""
        self._total = self._weight = 0.0


class FunctionMetric(Metric):
    """A plain function of (y_true, y_pred) as a metric: the mean of what it returns."""

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", "metric")

    def values(self, y_true: Array, y_pred: Array) -> Array:
        values = self.function(y_true, y_pred)
        values = getattr(values, "data", values) if not hasattr(values, "ndim") else values
        xp = array_module(y_pred)
        return xp.broadcast_to(xp.asarray(values), (len(y_pred),)) if xp.ndim(values) == 0 else xp.asarray(values)


class BinaryAccuracy(Metric):
    """Share of predictions on the right side of `threshold`. Shapes: targets and predictions (N, K) or (N,)."""

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if y_true.size != y_pred.size:
            raise ShapeError(f"{self.name}: targets of shape {y_true.shape} do not fit predictions {y_pred.shape}")
        right = (y_pred > self.threshold) == (y_true.reshape(y_pred.shape) > 0.5)
        return right.reshape(len(y_pred), -1).mean(axis=-1)


class CategoricalAccuracy(Metric):
    """Share of samples whose largest prediction is where the largest target is. Shapes: both (N, K)."""

    def __init__(self, name: str | None = None) -> None:
        pass

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return y_true.argmax(axis=-1) == y_pred.argmax(axis=-1)


class SparseCategoricalAccuracy(Metric):
    """Share of samples whose largest prediction is at the label. Shapes: labels (N,) or (N, 1), predictions (N, K)."""

    def __init__(self, name: str | None = None) -> None:
        pass

    def values(self, y_true: Array, y_pred: Array) -> Array:
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        return labels == y_pred.argmax(axis=-1)


class Accuracy(Metric):
    """Share of right answers: binary, categorical or sparse, chosen by the first batch's shapes.

    A last axis of one prediction is binary; labels with one axis less than the predictions, or a last axis of 1,
    are sparse; otherwise targets are one-hot.
    """

    def __init__(self, name: str | None = None) -> None:
        pass

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if y_pred.ndim < 2 or y_pred.shape[-1] == 1:
            chosen: type[Metric] = BinaryAccuracy
        elif y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
            chosen = SparseCategoricalAccuracy
        else:
            chosen = CategoricalAccuracy
        return chosen().values(y_true, y_pred)


class MeanSquaredError(Metric):
    """Mean of (y - p)^2. Shapes: targets as predictions."""

    def __init__(self, name: str | None = None) -> None:
        pass

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return ((y_pred - y_true.reshape(y_pred.shape)) ** 2).reshape(len(y_pred), -1).mean(axis=-1)


def get(metric: Any) -> Metric:
    """Return a metric by name, settings, or from a function; a metric found by name is called as it was asked for.

    Raises: UnknownNameError.
    """
    found = registry.resolve("metrics", metric)
    if not isinstance(found, Metric):
        found = FunctionMetric(found)
    if isinstance(metric, str):
        found.name = metric
    return found
