from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpudl.errors import UsageError


class PyDataset:
    """Base of data that comes batch by batch: too large for memory, or made as it is asked for.

    A subclass defines `__len__`, the number of batches, and `__getitem__(index)`, which returns one whole batch:
    `x`, `(x, y)` or `(x, y, sample_weight)`. `on_epoch_begin` and `on_epoch_end` may change the data between epochs.

    `workers`, `use_multiprocessing` and `max_queue_size` are Keras's; they are kept, but batches are made one after
    the other.
    """

    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self) -> int:
        raise UsageError(f"{type(self).__name__} must define __len__, the number of its batches")

    def __getitem__(self, index: int) -> Any:
        raise UsageError(f"{type(self).__name__} must define __getitem__(index), which returns one batch")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are."""
        return len(self)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def on_epoch_begin(self) -> None:
        """Do what is to be done before each epoch."""

    def on_epoch_end(self) -> None:
        """Do what is to be done after each epoch."""
