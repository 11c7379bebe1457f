"""ReLU: with the number 0 or rows of zeros, and its way back by booleans or bits."""

from __future__ import annotations

from bench.cpu.calls import draw
from bench.cpu.reasons.timing import Call, Figure, Job, milliseconds

RECTIFIED = 1 << 16
"""Numbers that ReLU is made of; all lies in the cache."""

RELU = {
    "the number 0": "with the number 0",
    "rows of 4096": "with a row of 4,096 zeros over and over",
    "rows of 8192": "with a row of 8,192 zeros over and over",
    "booleans": "back, by booleans",
    "bits": "back, by bits",
}
"""What `relu_by` takes, in words."""


def relu_by(what: str) -> Call:
    """ReLU with the number 0 or rows of zeros; its way back by booleans, or as gpudl makes it."""
    import numpy as np

    from gpudl.backend.numpy import aligned, relu

    x, y, dy, out, zeros = (aligned.zeros((RECTIFIED,), np.float32) for _ in range(5))
    x[:], dy[:] = draw((RECTIFIED,), (RECTIFIED,))
    np.maximum(x, 0, out=y)

    def by_rows(length: int) -> Call:
        source, target, row = x.reshape(-1, length), out.reshape(-1, length), zeros[:length]
        return lambda: np.maximum(source, row, out=target)

    return {
        "the number 0": lambda: np.maximum(x, 0, out=out),
        "rows of 4096": by_rows(4096),
        "rows of 8192": by_rows(8192),
        "booleans": lambda: np.multiply(dy, y > 0, out=out),
        "bits": lambda: relu._pass(dy, y, out),
    }[what]


def of_relu(seconds: float) -> list[Figure]:
    """What ReLU takes of numbers in the cache, and its way back, on one core."""
    return [
        Figure(
            f"ReLU of {RECTIFIED:,} numbers", words, 1e3 * milliseconds(seconds, Job(relu_by, (by,), threads=1)), "us"
        )
        for by, words in RELU.items()
    ]
