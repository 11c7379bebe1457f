"""Small helpers a lesson uses."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpudl.errors import UsageError
from gpudl.random import set_random_seed as set_random_seed


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Turn integer labels into one-hot rows. Shapes: (N,) or (N, 1) -> (N, classes), float32.

    Raises: UsageError for labels below 0 or not below `num_classes`.
    """
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    labels = labels.astype(np.int64)
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise UsageError(f"labels run from {labels.min()} to {labels.max()}, but must lie in 0 to {classes - 1}")
    return np.eye(classes, dtype=np.float32)[labels]
