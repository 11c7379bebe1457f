"""Launches recorded once and repeated as one CUDA graph, for which Python does next to nothing.

What is recorded is not run. Repeated, it reads and writes the same memory: so whoever repeats it first fills the arrays
that it reads. What it allocates comes from a pool of its own, which lives as long as the recording.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import numpy as np

from gpudl.backend import Array

MOST_KEYS = 256
"""Keys of random draws that a recording has room for."""


class _UnderWay(threading.local):
    recording: Recording | None = None


_under_way = _UnderWay()


class CannotRecord(Exception):  # noqa: N818  no error: what cannot be recorded is run as it is
    """Something that a CUDA graph cannot hold: a value read back, a copy from the host, a call of cuBLAS."""


class Recording:
    """What a call launches. `result` is what it returned; arrays in it are filled whenever it is repeated.

    Raises: CannotRecord.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._cupy = cupy = import_module("cupy")
        self._keys = cupy.zeros((MOST_KEYS, 2), "uint64")
        self._slots: dict[int, int] = {}
        cupy.get_default_memory_pool().free_all_blocks()  # what steps took so far is wanted a second time
        self._pool = cupy.cuda.MemoryPool()
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream, cupy.cuda.using_allocator(self._pool.malloc), _no_copies(cupy):
            stream.begin_capture()
            try:
                _under_way.recording = self
                self.result = call()
                self._graph = stream.end_capture()
            except BaseException as error:
                with suppress(Exception):  # it may have ended, or say that there is nothing to be had of it
                    stream.end_capture()
                if isinstance(error, Exception):
                    raise CannotRecord(f"{type(error).__name__}: {error}") from error
                raise
            finally:
                _under_way.recording = None

    @property
    def keys(self) -> list[int]:
        """The keys of the random draws that were made on the device, in their order."""
        return list(self._slots)

    def place_of(self, key: int) -> tuple[Array, int]:
        """Return the array and the row of it where a key is read whenever the recording is repeated."""
        if key not in self._slots and len(self._slots) == MOST_KEYS:
            raise CannotRecord(f"more than {MOST_KEYS} random draws in a step")
        return self._keys, self._slots.setdefault(key, len(self._slots))

    def repeat(self, keys: Sequence[int] = ()) -> Any:
        """Launch all of it on the current stream, with these keys in the place of those it was recorded with."""
        if keys:
            self._keys[: len(keys)].set(np.array([halves(key) for key in keys], "uint64"))
        self._graph.launch()
        return self.result

    def close(self) -> None:
        """Wait until nothing of it runs, before its memory is given back."""
        self._cupy.cuda.get_current_stream().synchronize()


def under_way() -> Recording | None:
    """Return the recording that launches go into, if there is one."""
    return _under_way.recording


def halves(key: int) -> tuple[int, int]:
    """Return the lower and the upper 64 bits of a key."""
    return key & (2**64 - 1), key >> 64


@contextmanager
def _no_copies(cupy: Any) -> Iterator[None]:
    """Refuse copies from the host: repeated, one would read memory that has been used for something else since.

    CuPy sends arrays through pinned memory, so none is to be had within this context.
    """

    def refuse(size: int) -> None:
        raise CannotRecord(f"{size} bytes were to be copied from the host")

    cupy.cuda.set_pinned_memory_allocator(refuse)
    try:
        yield
    finally:
        cupy.cuda.set_pinned_memory_allocator(cupy.get_default_pinned_memory_pool().malloc)
