"""What is said where there is no room for an array."""

from __future__ import annotations

import re
from importlib import import_module

from gpudl.errors import OutOfMemoryError


def out_of_memory(error: MemoryError, who: str) -> OutOfMemoryError:
    """Return the error of NumPy or CuPy in words: who asked, for how much, how much is free, what helps.

    An error that says so already, of a layer within this one, stays as it is.
    """
    if isinstance(error, OutOfMemoryError):
        return error
    asked = re.search(r"allocating ([\d,]+) bytes", str(error))  # CuPy's words
    if asked is not None:
        free, total = import_module("cupy").cuda.runtime.memGetInfo()
        pool = import_module("cupy").get_default_memory_pool()
        what = f"{_size(int(asked[1].replace(',', '')))} asked on the GPU, {_size(free + pool.free_bytes())} free"
        what += f" of {_size(total)}"
    else:
        told = re.search(r"allocate ([\d.]+ \w+)", str(error))  # NumPy's
        what = f"{told[1]} asked" if told else "no more to be had"
    return OutOfMemoryError(f"{who}: out of memory: {what}; lower the batch size or the size of the layers")


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**27 else f"{count / 2**20:.1f} MiB"
