"""Room that a thread keeps from step to step.

What works through a batch, or through all weights, in blocks needs the same room for each block, call and step, and
the same views of it. Both are made once for each thread. All shapes share one stretch of memory, so that it is no more
than the largest needs, and stays in the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from gpudl.backend.numpy import aligned

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")

SINGLE = np.dtype(np.float32)

MOST = 512
"""Shapes remembered; the one that was made first goes when there are more."""

LARGEST = 1 << 24
"""Bytes of a room that is kept: a machine may have many threads. Work that needs more has no use for a cache."""


class _Kept(threading.local):
    def __init__(self) -> None:
        self.room = np.empty(0, np.uint8)
        self.made: dict[Any, Any] = {}


_kept = _Kept()


def kept(make: Callable[[Key, np.ndarray], Made], key: Key, numbers: int, dtype: np.dtype = SINGLE) -> Made:
    """Return `make(key, room)`, made once for each thread; `room` is that many numbers of the type.

    The room is everybody's: what lies there is lost when the same thread asks for another key.
    """
    size = numbers * dtype.itemsize
    if size > LARGEST:
        return make(key, aligned.empty((numbers,), dtype))
    if size > _kept.room.size:
        _kept.room = aligned.empty((size,), np.uint8)
        _kept.made.clear()  # they look at the old room
    found = _kept.made.get((make, key, dtype))
    if found is None:
        if len(_kept.made) >= MOST:
            del _kept.made[next(iter(_kept.made))]
        found = _kept.made[make, key, dtype] = make(key, _kept.room[:size].view(dtype))
    return found
