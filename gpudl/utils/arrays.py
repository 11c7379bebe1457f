"""Arrays made ready for training: labels as one-hot rows, vectors of length 1, two parts of one data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpudl import random
from gpudl.autograd import Tensor
from gpudl.backend import to_numpy
from gpudl.errors import UsageError


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Turn integer labels into one-hot rows.

    Without `num_classes` there is one more class than the largest label.

    Shapes: (...) or (..., 1) -> (..., classes), float64 as Keras's.
    Raises: UsageError for labels below 0 (which Keras counts from the end), not below `num_classes`, or with
    fractions (which Keras cuts off).
    """
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    whole = labels.astype(np.int64)
    if labels.dtype.kind == "f" and not np.array_equal(whole, labels):
        raise UsageError("to_categorical: labels must be whole numbers, one for each class, but some have fractions")
    labels = whole
    if not num_classes and not labels.size:
        raise UsageError("to_categorical: there are no labels, so say how many classes there are: num_classes=...")
    classes = num_classes or int(labels.max()) + 1
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise UsageError(f"labels run from {labels.min()} to {labels.max()}, but must lie in 0 to {classes - 1}")
    return np.eye(classes)[labels]


def normalize(x: Any, axis: int | None = -1, order: float = 2) -> np.ndarray:
    """Divide by the norm along an axis, so that the norm is 1 there; zeros stay zeros.

    With axis=None the norm is that of all of x, a vector or a matrix. (For axis=0 Keras 3.15 divides along the wrong
    axis.)

    Shapes: output as x; but a vector comes back as a row (1, n), as from Keras.
    """
    x = to_numpy(x.data if isinstance(x, Tensor) else x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return np.atleast_2d(x / np.where(norm == 0, 1, norm))


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Split arrays along their first axis: `left_size` samples, and the last `right_size`.

    `dataset` is an array, or a tuple, list or dictionary of arrays of equal length; each part is the same again, where
    Keras returns data sets of its backend's. A size is a number of samples, or a share below 1 where it is a float;
    the one left out is all the rest. With `shuffle` the samples are put in another order first, by `seed` or the seed
    in force. Without, they keep their order (on PyTorch, Keras shuffles all the same).

    Raises: UsageError where the arrays are not of one length, or the parts do not fit them.
    """
    lengths = {len(array) for array in _arrays(dataset)}
    if len(lengths) != 1:
        raise UsageError(f"split_dataset: arrays must be of one length, but theirs are {sorted(lengths)}")
    total = lengths.pop()
    if left_size is None and right_size is None:
        raise UsageError("split_dataset: give left_size or right_size, a number of samples or a share")
    left, right = (_samples(name, size, total) for name, size in (("left_size", left_size), ("right_size", right_size)))
    left = total - (right or 0) if left is None else left
    right = total - left if right is None else right
    both_shares = isinstance(left_size, float) and isinstance(right_size, float) and left_size + right_size > 1
    if left + right > total or both_shares:
        raise UsageError(f"split_dataset: left_size={left_size} and right_size={right_size} exceed the {total} samples")
    if not left or not right:
        raise UsageError(
            f"split_dataset: left_size={left_size} and right_size={right_size} leave one part of the {total} samples "
            "empty"
        )
    order = np.arange(total)
    if shuffle:
        order = random.stream(random.current_seed() if seed is None else seed, "split_dataset").permutation(total)

    def part(item: Any, which: np.ndarray) -> Any:
        if isinstance(item, dict):
            return {name: part(one, which) for name, one in item.items()}
        if isinstance(item, (tuple, list)):
            return type(item)([part(one, which) for one in item])
        return item[which]

    return part(dataset, order[:left]), part(dataset, order[total - right :])


def _arrays(dataset: Any) -> Iterator[Any]:
    """Yield the arrays of a data set. Raises: UsageError for what is none."""
    if isinstance(dataset, (tuple, list, dict)):
        for item in dataset.values() if isinstance(dataset, dict) else dataset:
            yield from _arrays(item)
    elif getattr(dataset, "ndim", 0):
        yield dataset
    else:
        raise UsageError(
            "split_dataset takes an array, or a tuple, list or dictionary of arrays, "
            f"but was given a {type(dataset).__name__}"
        )


def _samples(name: str, size: Any, total: int) -> int | None:
    """Return a size in samples."""
    if size is None:
        return None
    if isinstance(size, float) and 0 < size < 1:
        return round(size * total)
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size < total:
        return size
    raise UsageError(
        f"split_dataset: {name}={size!r} must be a number of samples below {total}, or a share between 0.0 and 1.0"
    )
