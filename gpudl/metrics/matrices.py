"""Which class is taken for which: confusion matrices, and how far regions overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpudl.backend import Array, array_module, to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.losses.base import EPSILON, plain
from gpudl.metrics.base import Metric


def _classes(values: Array, rank: int) -> Array:
    """Read labels: numbers of classes as they are, a row of scores as its largest, one score as yes above 0.5."""
    if values.ndim > rank and values.shape[-1] > 1:
        return values.argmax(axis=-1)
    values = values[..., 0] if values.ndim > rank else values
    if values.dtype.kind == "f" and values.size and not (values == array_module(values).floor(values)).all():
        return (values > 0.5).astype("int64")
    return values.astype("int64")


def _matrix(y_true: Array, y_pred: Array, num_classes: int, weight: Array | None = None) -> Array:
    """Sum weights by (true class, predicted class); classes that are none count nowhere."""
    xp = array_module(y_true)
    y_true, y_pred = y_true.reshape(-1), y_pred.reshape(-1)
    known = (y_true >= 0) & (y_true < num_classes) & (y_pred >= 0) & (y_pred < num_classes)
    place = xp.where(known, y_true * num_classes + y_pred, num_classes**2)
    sums = xp.bincount(place, weights=weight, minlength=num_classes**2 + 1)
    return sums[:-1].reshape(num_classes, num_classes)


def _counted(y_true: Any, y_pred: Any, num_classes: int | None, sample_weight: Any) -> Array:
    y_true, y_pred = plain(y_true), plain(y_pred)
    columns = max(x.shape[-1] if x.ndim > 1 else 1 for x in (y_true, y_pred))
    true, predicted = _classes(y_true, 1), _classes(y_pred, 1)
    if true.shape != predicted.shape:
        raise ShapeError(
            f"confusion_matrix: targets of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}"
        )
    largest = max((int(x.max()) for x in (true, predicted) if x.size), default=-1)
    smallest = min((int(x.min()) for x in (true, predicted) if x.size), default=0)
    classes = max(largest + 1, columns) if num_classes is None else num_classes
    if smallest < 0 or largest >= classes:
        raise UsageError(
            f"confusion_matrix: classes run from {smallest} to {largest}, but must lie in 0 to {classes - 1}"
        )
    if sample_weight is None:
        return _matrix(true, predicted, classes)
    weight = array_module(true).asarray(plain(sample_weight), dtype="float64").reshape(-1)
    if weight.size != true.size:
        raise ShapeError(f"confusion_matrix: {weight.size} weights do not fit {true.size} samples")
    return _matrix(true, predicted, classes, weight)


def confusion_matrix(y_true: Any, y_pred: Any, num_classes: int | None = None, sample_weight: Any = None) -> np.ndarray:
    """Count how often each class is taken for each: row y, column p. The diagonal is what is right.

    Shapes: labels (N,) or (N, 1), or one-hot rows (N, K); predictions likewise labels, or scores (N, K), or (N, 1)
    probabilities of class 1. Without `num_classes` there are as many as the largest label asks for.
    Raises: ShapeError; UsageError for labels outside the classes.
    """
    return to_numpy(_counted(y_true, y_pred, num_classes, sample_weight))


class ConfusionMatrix(Metric):
    """How often each class is taken for each: row y, column p.

    A matrix cannot stand in the logs of training, so this metric is counted but not logged; after `evaluate`,
    `values` (or `result()`) holds the matrix of the data just seen. Shapes: as in `confusion_matrix`.
    """

    scalar = False

    def __init__(self, num_classes: int, name: str | None = "confusion_matrix", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        if num_classes < 2:
            raise UsageError(f"ConfusionMatrix: num_classes={num_classes} must be at least 2")
        self.num_classes = num_classes
        self.total = self.add_variable((num_classes, num_classes), name="total")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(_counted(y_true, y_pred, self.num_classes, sample_weight))

    def result(self) -> Any:
        return self.total

    @property
    def values(self) -> np.ndarray:
        """The matrix so far; of integers, unless weights made it something else."""
        sums = self.result()
        return sums.astype("int64") if (sums == np.floor(sums)).all() else sums


class IoU(Metric):
    """Mean over `target_class_ids` of TP / (TP + FP + FN): how far the regions of a class overlap.

    Targets and predictions are numbers of classes, or scores along `axis` where `sparse_y_true` or `sparse_y_pred` is
    False. What is labelled `ignore_class`, or with a number that is no class, does not count; nor do classes that
    never occur.
    """

    direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: list[int] | tuple[int, ...],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(dtype, name)
        if max(target_class_ids) >= num_classes:
            raise UsageError(
                f"{type(self).__name__}: class {max(target_class_ids)} of target_class_ids is not below "
                f"num_classes={num_classes}"
            )
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        self.total_cm = self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = plain(y_true), plain(y_pred)
        true = y_true if self.sparse_y_true else y_true.argmax(axis=self.axis)
        predicted = y_pred if self.sparse_y_pred else y_pred.argmax(axis=self.axis)
        if true.size != predicted.size:
            raise ShapeError(
                f"{self.name}: targets of shape {y_true.shape} do not fit predictions of shape {y_pred.shape}"
            )
        true, predicted = true.astype("int64").reshape(-1), predicted.astype("int64").reshape(-1)
        xp = array_module(true)
        weight = xp.asarray(1.0 if sample_weight is None else plain(sample_weight), dtype="float64").reshape(-1)
        weight = xp.broadcast_to(weight, true.shape)
        if self.ignore_class is not None:
            weight = weight * (true != self.ignore_class)
        self.total_cm.assign_add(_matrix(true, predicted, self.num_classes, weight))

    def result(self) -> Any:
        matrix = to_numpy(self.total_cm.data)
        both = np.diag(matrix)[self.target_class_ids]
        either = (matrix.sum(axis=0) + matrix.sum(axis=1))[self.target_class_ids] - both
        occurring = either > 1e-9
        return (both / (either + EPSILON))[occurring].sum() / (occurring.sum() + EPSILON)


class BinaryIoU(IoU):
    """Mean over the classes no and yes of TP / (TP + FP + FN); yes is what reaches `threshold`."""

    def __init__(
        self,
        target_class_ids: list[int] | tuple[int, ...] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, plain(y_pred) >= self.threshold, sample_weight)


class MeanIoU(IoU):
    """Mean over all classes that occur of TP / (TP + FP + FN). Arguments as in `IoU`."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        everyone = list(range(num_classes))
        super().__init__(num_classes, everyone, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` for one-hot targets, and scores or labels as predictions."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: list[int] | tuple[int, ...],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for one-hot targets, and scores or labels as predictions."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
