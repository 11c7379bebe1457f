"""Depthwise convolution: what its multiply-adds take, and what the copies before and behind them."""

from __future__ import annotations

from bench.cpu import calls
from bench.cpu.calls import draw
from bench.cpu.reasons.timing import THEIRS, Call, Figure, Job, milliseconds, of_pytorch


def einsum_of_windows() -> Call:
    """The sums of products of a depthwise convolution, nine taps, as gpudl asks for them; all lies in the cache."""
    import numpy as np

    from gpudl.backend.numpy import depthwise
    from gpudl.shapes import DepthwiseGeometry

    conv = DepthwiseGeometry.of((1, 56, 56, 64), (3, 3, 64, 1), 1, "same")
    padded, kernel = draw((1, 58, 58, 64), (3, 3, 64, 1))
    windows, y = depthwise._Windows.of(conv), np.empty(conv.y_shape, np.float32)
    weights = depthwise._rows_of(kernel, 56)
    return lambda: depthwise._slide(padded, weights, windows, y)


def depthwise_forward() -> Call:
    """32 images of 56x56x64, 3x3."""
    return calls.make("gpudl", "conv2d depthwise 3x3, 64, 56x56, batch 32, forward")


def padding_of_images() -> Call:
    """The copy of those images into zeros that a depthwise convolution needs around them, one image at a time."""
    (x, padded) = draw((32, 56, 56, 64), (58, 58, 64))

    def copy() -> None:
        for image in x:
            padded[1:57, 1:57] = image

    return copy


def writing_of_results() -> Call:
    """Zeros where the results of that convolution go, which are written once: one image at a time."""
    import numpy as np

    from gpudl.backend.numpy import aligned

    y = aligned.zeros((32, 56, 56, 64), np.float32)

    def write() -> None:
        for image in y:
            image.fill(0)

    return write


def of_depthwise(seconds: float) -> list[Figure]:
    """What the multiply-adds and the padding of a depthwise convolution take of its time."""
    work, adds = "depthwise 3x3, 64, 56x56, batch 32", 9 * 56 * 56 * 64
    cached = milliseconds(seconds, Job(einsum_of_windows, ()))
    padding, writing = (
        milliseconds(seconds, Job(make, (), threads=1)) for make in (padding_of_images, writing_of_results)
    )
    return [
        Figure(work, "multiply-adds of einsum on one core, all in the cache", adds / cached / 1e6, "per ns"),
        Figure(work, "all of them at that rate on two cores", 32 * cached / 2, "ms"),
        Figure(work, "copying the images into their padding on two cores", padding / 2, "ms"),
        Figure(work, "writing as many results on two cores", writing / 2, "ms"),
        Figure(work, "forward", milliseconds(seconds, Job(depthwise_forward, ())), "ms"),
        *of_pytorch(seconds, work, calls.make, (THEIRS, f"conv2d {work}, forward")),
    ]
