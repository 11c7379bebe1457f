"""Focal cross-entropies: what is answered well already counts less, so that rare and hard samples lead.

Source: Lin et al. 2017, arXiv 1708.02002.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl import ops
from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.losses.base import EPSILON, Loss, Reduction, beside
from gpudl.losses.crossentropy import _check_axis, _smoothed_one_hot


def binary_focal_crossentropy(
    y_true: Array,
    y_pred: Array,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """(1 - q)^gamma times the binary cross-entropy, averaged over `axis`; q is the probability of the truth.

    With `apply_class_balancing`, yes counts `alpha` and no 1 - `alpha`.
    """
    y, p = beside("binary_focal_crossentropy", y_true, y_pred)
    _check_axis("binary_focal_crossentropy", axis, p)
    if label_smoothing:
        y = y * (1 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        p = ops.sigmoid(p)
    wrong = p * (1 - 2 * y) + y  # 1 - q
    values = ops.maximum(wrong, EPSILON) ** gamma * ops.binary_cross_entropy(p, y)
    if apply_class_balancing:
        values = values * (y * alpha + (1 - y) * (1 - alpha))
    return ops.mean(values, axis=axis)


@differentiable
def _focal(p: Array, *, gamma: float) -> tuple[Array, Any]:
    """-(1 - p)^gamma log p, with p kept in [1e-7, 1 - 1e-7]."""
    kept = p.clip(EPSILON, 1 - EPSILON)
    surprise = -array_module(p).log(kept)
    wrong = 1 - kept

    def backward(dy: Array) -> Array:
        return -dy * wrong ** (gamma - 1) * (gamma * surprise + wrong / kept) * (kept == p)

    return wrong**gamma * surprise, backward


def categorical_focal_crossentropy(
    y_true: Array,
    y_pred: Array,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """-sum alpha (1 - p)^gamma y log p over `axis`; `alpha` is one number, or one for each class."""
    y, p = _smoothed_one_hot("categorical_focal_crossentropy", y_true, y_pred, label_smoothing, axis)
    p = ops.softmax(p, axis=axis) if from_logits else p
    share = p / ops.sum(p, axis=axis, keepdims=True)
    weight = y * array_module(y).asarray(alpha, dtype=y.dtype)
    return ops.sum(_focal(share, gamma=gamma) * weight, axis=axis)


class BinaryFocalCrossentropy(Loss):
    """(1 - q)^gamma times the binary cross-entropy; q is the probability of the truth. Shapes: both (N, K).

    Source: Lin et al. 2017, arXiv 1708.02002.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return binary_focal_crossentropy(
            y_true,
            y_pred,
            self.apply_class_balancing,
            self.alpha,
            self.gamma,
            self.from_logits,
            self.label_smoothing,
            self.axis,
        )


class CategoricalFocalCrossentropy(Loss):
    """-sum alpha (1 - p)^gamma y log p. Shapes: one-hot targets and predictions (N, K).

    Source: Lin et al. 2017, arXiv 1708.02002.
    """

    def __init__(
        self,
        alpha: float | list[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.gamma = alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Any) -> Any:
        return categorical_focal_crossentropy(
            y_true, y_pred, self.alpha, self.gamma, self.from_logits, self.label_smoothing, self.axis
        )
