"""Seeing before any step that model, loss and data fit, and saying what to do where they do not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from gpudl import losses, ops
from gpudl.autograd import Tensor
from gpudl.backend import Array, array_module, to_numpy
from gpudl.errors import UsageError, counted
from gpudl.structures import leaves

PROBABILITY_LOSSES = (
    losses.SparseCategoricalCrossentropy,
    losses.CategoricalCrossentropy,
    losses.BinaryCrossentropy,
)


def check_targets(loss: Any, y: Array, y_pred: Any) -> None:
    """See that the targets of one output suit its loss; `y_pred` holds the predictions for the first few samples.

    Raises: UsageError or ShapeError saying which of labels, loss and last layer does not fit, and the remedy.
    """
    if y.dtype.kind not in "iufb":
        raise UsageError(f"targets must be numbers, but are of type {y.dtype}; give each class a number from 0 on")
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        classes = y_pred.shape[loss.axis] if -y_pred.ndim <= loss.axis < y_pred.ndim else y_pred.shape[-1]
        _check_labels(y, classes, loss.ignore_class)
    elif isinstance(loss, losses.BinaryCrossentropy):
        _check_yes_or_no(loss, y)
    loss(y[: len(y_pred)], y_pred)
    if isinstance(loss, losses.CategoricalCrossentropy):
        _warn_of_no_distributions(loss, y)
    _warn_of_no_probabilities(loss, y_pred)


def _check_yes_or_no(loss: losses.BinaryCrossentropy, y: Array) -> None:
    """See that targets lie between 0 and 1, but for rounding. Scores may be fitted to others; that is warned of."""
    if not y.size or (y.min() > -1e-6 and y.max() < 1 + 1e-6):
        return
    remedy = 'for several classes use "sparse_categorical_crossentropy" and one unit for each'
    if y.min() == -1 and y.max() == 1:
        remedy = 'make them 0 and 1, as (y + 1) / 2 does, or use "hinge"'
    elif y.dtype.kind == "f" and (y != y.round()).any():
        remedy = 'for quantities use "mean_squared_error"'
    message = f"binary_crossentropy takes targets between 0 and 1, but these run from {y.min()} to {y.max()}; {remedy}"
    if not loss.from_logits:
        raise UsageError(message)
    warnings.warn(message, stacklevel=2)


def _warn_of_no_distributions(loss: losses.CategoricalCrossentropy, y: Array) -> None:
    """Warn of targets that are neither one-hot nor shares that sum to 1: the loss would have no lowest point at 0."""
    some = y[:1000]
    if not some.size or not -some.ndim <= loss.axis < some.ndim:
        return
    sums = some.sum(axis=loss.axis)
    if some.min() < 0 or abs(sums - 1).max() > 1e-3:
        warnings.warn(
            "categorical_crossentropy takes targets of at least 0 that sum to 1 for each sample, as to_categorical "
            f"gives, but these run from {some.min():.3g} to {some.max():.3g} and sum to {sums.min():.3g} to "
            f'{sums.max():.3g}; for several classes at once use "binary_crossentropy"',
            stacklevel=2,
        )


def warn_of_no_numbers(x: Any, y: Any, sample_weight: Any = None) -> None:
    """Warn of NaN and infinity in data: the loss would be NaN from the first step on."""
    for name, data in (("inputs", x), ("targets", y), ("sample weights", sample_weight)):
        for array in leaves(data):
            if array is None or array.dtype.kind != "f":
                continue
            with np.errstate(all="ignore"):
                if np.isfinite(float(array.sum(dtype=np.float64))):
                    continue
            wrong = ~array_module(array).isfinite(array).reshape(len(array), -1).all(axis=-1)
            count = int(wrong.sum())
            if count:
                warnings.warn(
                    f"fit: {count} of {len(array)} samples have NaN or infinity in their {name}, the first being "
                    f"sample {int(wrong.argmax())}; the loss will be NaN. Take these samples out, or put numbers there",
                    stacklevel=3,
                )


def _check_labels(y: Array, outputs: int, ignored: int | None) -> None:
    """See that labels are whole numbers from 0 to below the number of outputs."""
    if y.dtype.kind == "f" and not np.isfinite(float(abs(y).max(initial=0))):
        raise UsageError("sparse_categorical_crossentropy takes class numbers, but some targets are NaN or infinite")
    if y.dtype.kind == "f" and (y != y.round()).any():
        raise UsageError(
            "sparse_categorical_crossentropy takes class numbers, but the targets are not whole "
            f"({y[y != y.round()][0]}, for one)"
            '; for a quantity use "mean_squared_error" and one unit without activation'
        )
    if ignored is not None:
        y = y[y != ignored]
    if y.size == 0:
        return
    lowest, highest = int(y.min()), int(y.max())
    if lowest < 0 or highest >= outputs:
        classes = highest - lowest + 1
        remedy = f"give it {classes} units" if classes != outputs else ""
        if lowest != 0 and (lowest < 0 or classes <= outputs):
            step = f"add {-lowest}" if lowest < 0 else f"subtract {lowest}"
            remedy = f"{step} so that they count from 0" + (f", and {remedy}" if remedy else "")
        elif highest >= outputs:
            remedy = f"give it {highest + 1} units"
        if outputs == 1 and lowest == 0 and highest == 1:
            remedy += ', or use "binary_crossentropy" with one sigmoid unit'
        raise UsageError(
            f"labels run from {lowest} to {highest}, but the last layer has {counted(outputs, 'output')}, for labels "
            f"0 to {outputs - 1}; {remedy}"
        )


def _warn_of_no_probabilities(loss: Any, y_pred: Any) -> None:
    """Warn where a loss on probabilities is given values that are none: below 0, above 1, or not summing to 1."""
    if not isinstance(loss, PROBABILITY_LOSSES):
        return
    values = y_pred.data if isinstance(y_pred, Tensor) else y_pred
    if loss.from_logits:
        _warn_of_probabilities(loss, y_pred, values)
        return
    binary = isinstance(loss, losses.BinaryCrossentropy)
    lowest, highest = float(values.min()), float(values.max())
    wrong = ""
    axis = loss.axis if -values.ndim <= loss.axis < values.ndim else -1
    sums = values.sum(axis=axis).reshape(-1)
    if values.shape[axis] == 1 and _made_by(y_pred, ops.softmax):
        wrong = "all are 1, as a softmax over one unit always is"
        binary = True
    elif not (lowest >= 0 and highest <= 1):
        wrong = f"they run from {lowest:.3g} to {highest:.3g}"
    elif not binary and values.shape[axis] > 1 and float(abs(sums - 1).max()) > 1e-3:
        wrong = f"they sum to {float(sums[abs(sums - 1).argmax()]):.3g}"
    if wrong and np.isfinite([lowest, highest]).all():
        last = "sigmoid" if binary else "softmax"
        warnings.warn(
            f"{type(loss).__name__} takes probabilities, but the predictions for the first samples are none: {wrong}. "
            f'Give the last layer activation="{last}", or the loss from_logits=True',
            stacklevel=2,
        )


def _made_by(y_pred: Any, op: Any) -> bool:
    """Whether predictions are what an op gave, as far as the tape knows."""
    node = y_pred.node if isinstance(y_pred, Tensor) else None
    return node is not None and node.op is op


def _warn_of_probabilities(loss: Any, y_pred: Any, values: Array) -> None:
    """Warn where a loss on scores is given probabilities: what a softmax gives sums to 1 for every sample."""
    if isinstance(loss, losses.BinaryCrossentropy):
        if _made_by(y_pred, ops.sigmoid):
            warnings.warn(
                "BinaryCrossentropy(from_logits=True) takes scores, but the predictions come out of a sigmoid. "
                "Take the sigmoid out of the last layer, or from_logits out of the loss",
                stacklevel=2,
            )
    elif values.shape[-1] > 1 and float(values.min()) > 0 and float(abs(values.sum(axis=-1) - 1).max()) < 1e-5:
        warnings.warn(
            f"{type(loss).__name__}(from_logits=True) takes scores, but the predictions for the first samples are "
            "probabilities: they sum to 1. Take the softmax out of the last layer, or from_logits out of the loss",
            stacklevel=2,
        )


def class_weights(y: Any, class_weight: Mapping[int, float]) -> np.ndarray:
    """Return each sample's weight by its class; one-hot targets count by their largest entry.

    Raises: UsageError where the model has several targets.
    """
    if isinstance(y, (list, tuple, Mapping)):
        raise UsageError("class_weight is for models with one output; use sample_weight, a list with one for each")
    if not isinstance(class_weight, Mapping):
        raise UsageError(
            f"class_weight={class_weight!r} must be a dict from class numbers to weights, as {{0: 1.0, 1: 5.0}}"
        )
    for label, weight in class_weight.items():
        if isinstance(weight, Real) and not np.isfinite(float(weight)):
            raise UsageError(f"class_weight: the weight of class {label!r} is {weight!r}; give a finite number")
        if not isinstance(label, Real) or label != int(label) or not isinstance(weight, Real):
            raise UsageError(
                f"class_weight: {label!r}: {weight!r} must be a class number and its weight, as in {{0: 1.0, 1: 5.0}}"
            )
    classes = to_numpy(y)
    if classes.ndim > 1 and classes.shape[-1] > 1:
        if classes.ndim > 2 or (classes.dtype.kind in "iub" and (classes.sum(axis=-1) != 1).any()):
            raise UsageError(
                f"class_weight weighs each sample by its class, but targets of shape {classes.shape} have several "
                "classes for each; use sample_weight"
            )
        classes = classes.argmax(axis=-1)
    with np.errstate(invalid="ignore"):  # a target that is no number has no class
        classes = classes.reshape(-1).astype(np.int64)
    weights = np.ones(len(classes), np.float32)
    for label, weight in class_weight.items():
        weights[classes == int(label)] = weight
    return weights
