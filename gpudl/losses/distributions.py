"""Losses of whole distributions, and of how much two regions overlap."""

from __future__ import annotations

from typing import Any

from gpudl import ops
from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.losses.base import EPSILON, Loss, Reduction, beside


@differentiable
def _log_ratio(p: Array, *, y: Array) -> tuple[Array, Any]:
    """y log(y / p), with p kept in [1e-7, 1]. Gradient: 0 where p is kept."""
    kept = p.clip(EPSILON, 1)
    return y * array_module(p).log(y / kept), lambda dy: -dy * y / kept * (kept == p)


def kl_divergence(y_true: Array, y_pred: Array) -> Any:
    """Sum y log(y / p) over the last axis; both are kept in [1e-7, 1]."""
    y_true, y_pred = beside("kl_divergence", y_true, y_pred)
    return ops.sum(_log_ratio(y_pred, y=y_true.clip(EPSILON, 1)), axis=-1)


def poisson(y_true: Array, y_pred: Array) -> Any:
    """Average p - y log(p + 1e-7) over the last axis."""
    y_true, y_pred = beside("poisson", y_true, y_pred, recorded=True)
    return ops.mean(y_pred - ops.log(y_pred + EPSILON) * y_true, axis=-1)


def _axis(axis: int | list[int] | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def dice(y_true: Array, y_pred: Array, axis: int | list[int] | tuple[int, ...] | None = None) -> Any:
    """1 - 2 sum(y p) / (sum y + sum p) over `axis`, or over all that there is."""
    y_true, y_pred = beside("dice", y_true, y_pred)
    over = _axis(axis)
    both = ops.sum(y_pred * y_true, axis=over)
    return 1 - 2 * both / (ops.sum(y_pred, axis=over) + y_true.sum(axis=over) + EPSILON)


def tversky(
    y_true: Array,
    y_pred: Array,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: int | list[int] | tuple[int, ...] | None = None,
) -> Any:
    """1 - sum(y p) / (sum(y p) + alpha sum(y (1 - p)) + beta sum((1 - y) p)) over `axis`, or over all there is.

    Source: Salehi et al. 2017, arXiv 1706.05721.
    """
    y_true, y_pred = beside("tversky", y_true, y_pred)
    over = _axis(axis)
    both = ops.sum(y_pred * y_true, axis=over)
    missed = ops.sum((1 - y_pred) * y_true, axis=over)
    invented = ops.sum(y_pred * (1 - y_true), axis=over)
    return 1 - both / (both + alpha * missed + beta * invented + EPSILON)


class KLDivergence(Loss):
    """sum y log(y / p): how much is lost where p stands for y. Shapes: distributions (N, K), both."""

    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: str | None = "kl_divergence", dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return kl_divergence(y_true, y_pred)


class Poisson(Loss):
    """p - y log p, averaged over the last axis: for counts y, with p > 0 their expected number."""

    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: str | None = "poisson", dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return poisson(y_true, y_pred)


class Dice(Loss):
    """1 - 2 |A and B| / (|A| + |B|), for regions given as numbers in [0, 1]; over `axis`, or over the whole batch."""

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "dice",
        axis: int | list[int] | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return dice(y_true, y_pred, self.axis)


class Tversky(Loss):
    """Dice with two prices: `alpha` for what is missed, `beta` for what is invented; 0.5 and 0.5 give Dice.

    Source: Salehi et al. 2017, arXiv 1706.05721.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: int | list[int] | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.beta, self.axis = alpha, beta, axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return tversky(y_true, y_pred, self.alpha, self.beta, self.axis)
