"""From arrays to batches: splitting, shuffling, taking. Samples keep their type (uint8 stays uint8) until taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gpudl import random
from gpudl.backend import Array, array_module
from gpudl.errors import DataError, UsageError


class Batch(NamedTuple):
    """Inputs, targets and sample weights of one step; the last two may be None."""

    x: Array
    y: Array | None
    weight: Array | None


class Batches:
    """Arrays of equal length, cut into batches; a last one that is not full is kept.

    `order(key)` fixes the order of an epoch; equal keys give equal orders.
    """

    def __init__(
        self,
        x: Array,
        y: Array | None = None,
        weight: Array | None = None,
        batch_size: int | None = None,
        shuffle: bool = False,
    ) -> None:
        self.x = x if hasattr(x, "ndim") else np.asarray(x)
        self.y = y if y is None or hasattr(y, "ndim") else np.asarray(y)
        self.weight = weight if weight is None or hasattr(weight, "ndim") else np.asarray(weight, dtype=np.float32)
        self.samples = len(self.x)
        batch_size = 32 if batch_size is None else batch_size
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise UsageError(f"batch_size={batch_size!r} must be an integer of at least 1")
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        if self.samples == 0:
            raise DataError("there are no samples: the inputs have length 0")
        for name, array in (("targets", self.y), ("sample weights", self.weight)):
            if array is not None and len(array) != self.samples:
                raise DataError(f"there are {self.samples} inputs but {len(array)} {name}; they must be as many")

    def __len__(self) -> int:
        return math.ceil(self.samples / self.batch_size)

    def order(self, key: int) -> np.ndarray | None:
        """Return the order of one epoch's samples; None where they are not shuffled."""
        if not self.shuffle:
            return None
        return random.stream(random.current_seed(), "shuffle", key).permutation(self.samples)

    def take(self, order: np.ndarray | None, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from batch number `first` on."""
        for start in range(first * self.batch_size, self.samples, self.batch_size):
            where = slice(start, min(start + self.batch_size, self.samples))
            if order is None:
                yield Batch(self.x[where], *(a if a is None else a[where] for a in (self.y, self.weight)))
            else:
                picks = array_module(self.x).asarray(order[where])
                yield Batch(
                    self.x.take(picks, axis=0),
                    *(a if a is None else a.take(picks, axis=0) for a in (self.y, self.weight)),
                )


def split_off(samples: int, fraction: float) -> int:
    """Return where the last `fraction` of the samples begins: what `validation_split` sets aside, before shuffling.

    Raises: UsageError where either part would be empty.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"validation_split={fraction} must lie between 0 and 1")
    begin = math.floor(samples * (1 - fraction))
    if begin == 0 or begin == samples:
        part = "training" if begin == 0 else "validation"
        raise UsageError(
            f"validation_split={fraction} of {samples} samples leaves none for {part}; "
            f"choose a fraction between {1 / samples:.2g} and {1 - 1 / samples:.2g}"
        )
    return begin
