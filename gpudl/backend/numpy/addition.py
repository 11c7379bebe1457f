"""The sum of two arrays on NumPy, as where a network's branches join, on the way there and back.

Memory plan. A sum is traffic with memory alone, of which one thread has a share of what the machine can do: pieces of
large arrays are shared among the threads, and written to an array that begins at a line of the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.constants import zeros
from gpudl.backend.numpy.rows import beside
from gpudl.backend.numpy.workers import Piece, blocks, run

BLOCK = 1 << 18
"""Numbers that a thread adds at once. NumPy does less than two blocks by itself."""


def add(a: np.ndarray, b: np.ndarray, relu: bool = False) -> np.ndarray:
    """a and b, of any shapes that broadcast -> a + b; with `relu` max(a + b, 0).

    Large arrays of one shape are shared among the threads.
    """
    if a.nbytes < aligned.SMALL or a.shape != b.shape or a.dtype != b.dtype:
        y = a + b
        return np.maximum(y, 0) if relu else y
    y = aligned.empty_like(a)
    if a.size < 2 * BLOCK or not (a.flags.c_contiguous and b.flags.c_contiguous):
        np.add(a, b, out=y)
        if relu:
            beside(np.maximum, y, zeros, out=y)
        return y
    first, second, target = a.reshape(-1), b.reshape(-1), y.reshape(-1)

    def work(pieces: Iterator[Piece]) -> None:
        for start, stop in pieces:
            out = np.add(first[start:stop], second[start:stop], out=target[start:stop])
            if relu:
                beside(np.maximum, out, zeros, out=out)

    run(work, blocks(a.size, BLOCK), a.size)
    return y
