"""Batches on their way to the GPU: from pinned memory, on a stream of their own, while the step before runs.

A copy may overwrite device memory that earlier kernels still read, since the pool hands out what Python has freed; so
it waits for all that was launched before. It does not wait for the step that is launched after it, beside which it
runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from gpudl.backend.devices import is_movable
from gpudl.structures import mapped

Batch = TypeVar("Batch", bound=tuple[Any, ...])


class Sending:
    """What one batch is copied through: pinned memory, and the event that tells when it may be used again."""

    def __init__(self) -> None:
        self.cupy, self.cupyx = import_module("cupy"), import_module("cupyx")
        self.pinned: dict[tuple[int, tuple[int, ...], Any], np.ndarray] = {}
        self.done: Any = None

    def begin(self, batch: Batch, stream: Any) -> Batch:
        """Begin to copy the arrays of a batch, and return it with arrays on the device, which come to hold them."""
        if self.done is not None:
            self.done.synchronize()  # of two batches ago: long over
        stream.wait_event(self.cupy.cuda.get_current_stream().record())
        used: dict[tuple[int, tuple[int, ...], Any], np.ndarray] = {}

        def sent(array: Any) -> Any:
            if not isinstance(array, np.ndarray) or not is_movable(array):
                return array
            key = len(used), array.shape, array.dtype
            known = self.pinned.get(key)
            used[key] = self.cupyx.empty_pinned(array.shape, array.dtype) if known is None else known
            used[key][...] = array
            there = self.cupy.empty(array.shape, array.dtype)
            there.set(used[key], stream=stream)
            return there

        moved = mapped(sent, batch)
        self.pinned, self.done = used, stream.record()
        return moved


def ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches, named tuples of NumPy arrays in their structure, as arrays on the device, each sent one early."""
    cupy = import_module("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    ways = Sending(), Sending()
    number, waiting = 0, None

    def arrived(batch: Batch, done: Any) -> Batch:
        cupy.cuda.get_current_stream().wait_event(done)  # what is launched from here on has the copies before it
        return batch

    try:
        for batch in batches:
            way = ways[number % 2]
            moved, number = way.begin(batch, stream), number + 1
            if waiting is not None:
                yield arrived(*waiting)
            waiting = moved, way.done
        if waiting is not None:
            last, waiting = waiting, None
            yield arrived(*last)
    finally:
        if waiting is not None:  # nobody took it: its memory must not be handed out while the copy is under way
            waiting[1].synchronize()
