"""Max pooling: the passes that NumPy needs at least, how short rows slow them, and its share of the CNN's step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bench.cpu import calls
from bench.cpu.calls import draw
from bench.cpu.reasons.timing import THEIRS, Call, Figure, Job, milliseconds, of_pytorch
from bench.cpu.steps import ENTERED

CNN_POOLING, TABLE_POOLING = ((128, 28, 28, 32), (128, 14, 14, 64)), (128, 16, 16, 64)
"""What the poolings of the CNN are given, of which the first is in the table, too; and the other one of the table."""

CACHED = 1 << 16
"""Numbers of images that, with what becomes of them, lie in a second-level cache of a mebibyte."""

MAXIMA = 125_440
"""Numbers that are compared in pairs, in the cache too."""

PASSES = "maxima, comparisons, gradients put in place"
"""What `passes` does, in words."""

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


def passes(at_once: int, images: int, height: int, width: int, channels: int, with_winners: bool = False) -> Call:
    """What NumPy needs at least for max pooling 2x2 and its gradient.

    Three maxima and three comparisons of neighbouring pixels; for the gradient, what masks let pass, put in its place.
    With winners, also what makes masks of comparisons: a count in bytes, NaN looked for, all ones where one has won.
    """
    import numpy as np

    from gpudl.backend.numpy import aligned, rows

    whole, halved = (images, height, width, channels), (images, height // 2, width // 2, channels)
    x, dx, y, dy = (aligned.empty(shape, np.float32) for shape in (whole, whole, halved, halved))
    x[:], dy[:] = draw(whole, halved)
    lost, number = (aligned.empty((at_once, *halved[1:]), kind) for kind in (bool, np.uint8))
    masks = aligned.full((2, 2, *lost.shape), -1, np.int8)
    order = np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1, 1, 1)
    taps = [(slice(None), slice(r, None, 2), slice(s, None, 2)) for r in range(2) for s in range(2)]

    def forward(source: Any, best: Any) -> None:
        np.maximum(source[taps[0]], source[taps[1]], out=best)
        for tap in taps[2:]:
            np.maximum(best, source[tap], out=best)
        if with_winners:
            best.max()
        for tap in reversed(taps[:3]):
            counts = with_winners and tap is not taps[2]
            np.not_equal(source[tap], best, out=lost if counts else number.view(bool))
            if counts:
                np.add(number, 1, out=number)
                np.multiply(number, lost.view(np.uint8), out=number)

    def backward(gradient: Any, target: Any) -> None:
        if with_winners:
            np.equal(number, order, out=masks.view(bool))
            np.negative(masks, out=masks)
        by_taps = target.reshape(at_once, height // 2, 2, width // 2, 2, channels).transpose(2, 4, 0, 1, 3, 5)
        np.bitwise_and(gradient.view(np.int32), masks, out=by_taps.view(np.int32))

    def call() -> None:
        with rows.short():
            for start in range(0, images, at_once):
                block = slice(start, start + at_once)
                forward(x[block], y[block])
                backward(dy[block], dx[block])

    return call


def of_pooling(seconds: float) -> list[Figure]:
    """What the passes that NumPy needs at least take, how short rows slow them, and their share of the CNN's step."""
    from bench.cpu.profile import step  # loads gpudl, which a process that times PyTorch must not

    found = [Figure("max pooling", "maxima of rows that follow each other", _rate(seconds, maximum_of_rows), "per ns")]
    for channels in (64, 32):
        for buffers in BUFFERS:
            what = f"maxima of neighbouring pixels of {channels} channels, buffers of {buffers:,} numbers"
            rate = _rate(seconds, maximum_of_neighbours, channels, buffers)
            found.append(Figure("max pooling", what, rate, "per ns"))
    total = 0.0
    for images, *shape in (*CNN_POOLING, TABLE_POOLING):
        work = f"max pooling 2x2, {shape[2]}, {shape[0]}x{shape[1]}, batch {images}"
        few = CACHED // math.prod(shape)
        cached = milliseconds(seconds, Job(passes, (few, few, *shape))) * images / few / 2
        found.append(Figure(work, f"{PASSES}, in the cache, two cores", cached, "ms"))
        for more, with_winners in (("", False), ("; also who has won", True)):
            half = Job(passes, (images // 8, images // 2, *shape, with_winners), threads=1)
            found.append(Figure(work, f"{PASSES}{more}, in two processes", milliseconds(seconds, half, half), "ms"))
        ours = Job(calls.our_pooling, ("gpudl", (images // 2, *shape)), threads=1)
        apart = milliseconds(seconds, ours, ours)
        needed = milliseconds(seconds, Job(calls.our_pooling, ("gpudl", (images, *shape))))
        found.append(
            Figure(work, "forward and gradient, in two processes of one thread and half the batch each", apart, "ms")
        )
        found.append(Figure(work, "forward and gradient", needed, "ms"))
        found += of_pytorch(seconds, work, calls.torch_pooling, (THEIRS, (images, *shape)))
        total += needed if (images, *shape) in CNN_POOLING else 0
    found.append(Figure("step: CNN 32-64-128", "of which the two max poolings", total, "ms"))
    return [
        *found,
        Figure("step: CNN 32-64-128", "batch 128", milliseconds(seconds, Job(step, ("cnn", 128))), "ms"),
    ]


def _rate(seconds: float, make: Callable[..., Call], *arguments: int) -> float:
    return MAXIMA / milliseconds(seconds, Job(make, arguments)) / 1e6
