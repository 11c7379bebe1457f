"""Max pooling: how short rows slow NumPy, and what is gained by copying pixels as one element each."""

from __future__ import annotations

from collections.abc import Callable

from bench.cpu.calls import draw
from bench.cpu.reasons.timing import Call, Figure, Job, milliseconds

NUMBERS = 125_440
"""That are compared in pairs, or copied, in the cache."""

CHANNELS = 64, 32, 16


def maxima_of_rows() -> Call:
    """Maxima of numbers that follow each other."""
    import numpy as np

    a, b = draw((NUMBERS,), (NUMBERS,))
    y = np.empty(NUMBERS, np.float32)
    return lambda: np.maximum(a, b, out=y)


def maxima_of_neighbours(channels: int) -> Call:
    """As many maxima of neighbouring pixels of so many channels."""
    import numpy as np

    (x,) = draw((NUMBERS // channels, 2, channels))
    y = np.empty((len(x), channels), np.float32)
    return lambda: np.maximum(x[:, 0], x[:, 1], out=y)


def copies_of_pixels(channels: int, as_one: bool) -> Call:
    """Every second pixel of so many channels copied, as one element or as a row of numbers."""
    import numpy as np

    from gpudl.backend.numpy.pool_planes import pixels

    (x,) = draw((NUMBERS // channels, 2, channels))
    y = np.empty((len(x), channels), np.float32)
    source, target = (pixels(x)[:, 0], pixels(y)) if as_one else (x[:, 0], y)
    return lambda: np.copyto(target, source)


def of_pooling(seconds: float) -> list[Figure]:
    """How short rows slow its passes. What they take in all is pooling.py's."""

    def figure(what: str, make: Callable[..., Call], *arguments: int) -> Figure:
        return Figure("max pooling", what, NUMBERS / milliseconds(seconds, Job(make, arguments)) / 1e6, "per ns")

    found = [figure("maxima of rows that follow each other", maxima_of_rows)]
    for channels in CHANNELS:
        of = f"pixels of {channels} channels"
        found.append(figure(f"maxima of neighbouring {of}", maxima_of_neighbours, channels))
        found.append(figure(f"numbers of every second of {of}, copied as rows", copies_of_pixels, channels, False))
        found.append(
            figure(f"numbers of every second of {of}, copied a pixel as one", copies_of_pixels, channels, True)
        )
    return found
