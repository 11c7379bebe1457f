"""Lines of the cache: what it takes where each register lies across two of them."""

from __future__ import annotations

from bench.cpu.reasons.timing import Call, Figure, Job, milliseconds

SQUARED, LINE = 1 << 16, 64
"""Numbers that are squared, and bytes of a line of the cache."""


def squares_from(start: int) -> Call:
    """Squares of numbers, written elsewhere; both arrays begin so many bytes behind a line. All lies in the cache."""
    import numpy as np

    def made() -> np.ndarray:
        raw = np.zeros(4 * SQUARED + 2 * LINE, np.uint8)
        begin = -raw.ctypes.data % LINE + start
        return raw[begin : begin + 4 * SQUARED].view(np.float32)

    x, y = made(), made()
    return lambda: np.multiply(x, x, out=y)


def of_lines(seconds: float) -> list[Figure]:
    """What it takes where each register lies across two lines of the cache."""
    work = f"squares of {SQUARED:,} numbers"
    return [
        Figure(work, f"from and to {what}", 1e3 * milliseconds(seconds, Job(squares_from, (start,))), "us")
        for start, what in ((0, "where a line begins"), (16, "16 bytes behind"))
    ]
