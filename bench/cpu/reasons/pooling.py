"""Max pooling: how short rows slow NumPy's passes."""

from __future__ import annotations

from collections.abc import Callable

from bench.cpu.calls import draw
from bench.cpu.reasons.timing import Call, Figure, Job, milliseconds
from bench.cpu.steps import ENTERED

MAXIMA = 125_440
"""Numbers that are compared in pairs, in the cache too."""

BUFFERS = 1 << 13, 1 << 11
"""Numbers of NumPy's buffers: its usual ones, and those that pooling asks for."""


def maximum_of_neighbours(channels: int, buffers: int) -> Call:
    """125,000 maxima of neighbouring pixels in rows of so many channels; all lies in the cache."""
    import numpy as np

    ENTERED.enter_context(np.errstate())
    np.setbufsize(buffers)
    (x,) = draw((MAXIMA // channels, 2, channels))
    y = np.empty((len(x), channels), np.float32)
    return lambda: np.maximum(x[:, 0], x[:, 1], out=y)


def maximum_of_rows() -> Call:
    """As many maxima of numbers that follow each other."""
    import numpy as np

    a, b = draw((MAXIMA,), (MAXIMA,))
    y = np.empty(MAXIMA, np.float32)
    return lambda: np.maximum(a, b, out=y)


def of_pooling(seconds: float) -> list[Figure]:
    """How short rows slow its passes. What they take in all is pooling.py's."""
    found = [Figure("max pooling", "maxima of rows that follow each other", _rate(seconds, maximum_of_rows), "per ns")]
    for channels in (64, 32):
        for buffers in BUFFERS:
            what = f"maxima of neighbouring pixels of {channels} channels, buffers of {buffers:,} numbers"
            rate = _rate(seconds, maximum_of_neighbours, channels, buffers)
            found.append(Figure("max pooling", what, rate, "per ns"))
    return found


def _rate(seconds: float, make: Callable[..., Call], *arguments: int) -> float:
    return MAXIMA / milliseconds(seconds, Job(make, arguments)) / 1e6
