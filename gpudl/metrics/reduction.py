"""Running sums and means, and functions of (y_true, y_pred) as metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpudl import losses
from gpudl.backend import Array, array_module, kernels
from gpudl.backend.devices import beside
from gpudl.losses.base import lay_weights, plain, same_rank
from gpudl.metrics.base import Metric


def _of_samples(values: Any, sample_weight: Any, summed: bool) -> tuple[Array, Array | None]:
    """Return one value per sample and the weights of the samples; axes after the first are averaged or summed."""
    values = plain(values)
    xp = array_module(values)
    values = values.astype("float64")
    weight = None
    reduce = (lambda x, axes: x.sum(axis=axes)) if summed else (lambda x, axes: x.mean(axis=axes))
    if sample_weight is not None:
        values, weight = same_rank(values, xp.asarray(plain(sample_weight), dtype="float64"))
        if values.ndim > weight.ndim:
            values = reduce(values, tuple(range(weight.ndim, values.ndim)))
        lay_weights(values, weight)
        weight = xp.broadcast_to(weight, values.shape)
        values = values * weight
        weight = reduce(weight, tuple(range(1, weight.ndim))) if weight.ndim > 1 else weight
    return reduce(values, tuple(range(1, values.ndim))) if values.ndim > 1 else values, weight


class Sum(Metric):
    """The sum of all values, each times its weight. `update_state(values, sample_weight=None)`."""

    def __init__(self, name: str | None = "sum", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = _of_samples(values, sample_weight, summed=True)
        self.total.assign_add(values.sum())

    def result(self) -> Any:
        return self.total


class Mean(Metric):
    """The weighted mean of all values; 0 before the first. `update_state(values, sample_weight=None)`.

    Values with more than one axis count as the mean over all but the first.
    """

    def __init__(self, name: str | None = "mean", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), name="total")
        self.count = self.add_variable((), name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self._take(values, sample_weight)

    def _take(self, values: Any, sample_weight: Any) -> None:
        values = plain(values)
        if sample_weight is None and values.size:
            samples = len(values) if values.ndim else 1
            add_values = kernels("totals", values).add_values
            add_values(self.total.data, self.count.data, values, samples / values.size, samples)
            return
        values, weight = _of_samples(values, sample_weight, summed=False)
        self.total.assign_add(values.sum())
        self.count.assign_add(len(values) if weight is None else weight.sum())

    def add(self, value: Array, weight: float) -> None:
        """Take in one number, as `update_state` does, without its detours: the loss comes here in every step."""
        total, count = self.total, self.count
        if type(value) is not np.ndarray or type(total.data) is not np.ndarray:
            total.data, count.data = beside(total.data, value), beside(count.data, value)
        kernels("totals", value).add_values(total.data, count.data, value, weight, weight)

    def result(self) -> Any:
        count = self.count.item()
        return self.total.item() / count if count else 0.0


class MeanMetricWrapper(Mean):
    """The mean of what a function of (y_true, y_pred) returns for each sample; `settings` are handed on to it.

    The function gets plain arrays. Where it is a loss, less is better.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **settings: Any
    ) -> None:
        super().__init__(name or getattr(fn, "name", None) or getattr(fn, "__name__", None), dtype)
        self._fn, self._settings = fn, settings
        if losses.is_own(fn) or isinstance(fn, losses.Loss):
            self.direction = "down"

    @property
    def stands_for(self) -> Callable[..., Any] | None:
        """The function, where it says all there is to say in a file."""
        return None if type(self) is not MeanMetricWrapper or self._settings or self.dtype else self._fn

    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        self._take(self._fn(plain(y_true), plain(y_pred), **self._settings), sample_weight)
