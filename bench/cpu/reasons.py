"""Why some work falls short of its goal on the CPU: `python -m bench.cpu.reasons`.

Each line is a figure of docs/performance.md. Work is timed in processes of their own, some of which run at the same
time; times are medians. NumPy alone is asked, also where numba is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cpu import whole
from bench.cpu.__main__ import machine

Call = Callable[[], Any]

ENTERED = ExitStack()
"""What steps keep for the life of the process."""

CNN_POOLING = (128, 28, 28, 32), (128, 14, 14, 64)
"""What the poolings of the CNN are given."""

CACHED = 1 << 17
"""Numbers of images that lie in the cache."""

PASSES = "three maxima, three comparisons, four products"
"""What `passes_of_pooling` does."""

PATIENCE = 120
"""Seconds that one process waits for another to be ready."""


@dataclass(frozen=True)
class Job:
    """A call to be timed in a process of its own: what makes it, from what, and the threads it may use."""

    make: Callable[..., Call]
    arguments: tuple[Any, ...]
    threads: int = 2


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    work: str
    what: str
    value: float
    unit: str


def _serve(job: Job, seconds: float, ready: Any, pipe: Any) -> None:
    os.environ["GPUDL_NUM_THREADS"] = str(job.threads)
    from gpudl.backend.numpy import loops

    loops.LARGE = sys.maxsize  # no work is so large that numba is asked
    call = job.make(*job.arguments)
    for _ in range(5):
        call()
    times = []
    ready.wait(PATIENCE)
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or len(times) < 3:
        call()
        times.append(1e3 * (time.perf_counter() - began))
    pipe.send(statistics.median(times))


def milliseconds(seconds: float, *jobs: Job) -> float:
    """Return the median milliseconds of a call; of several jobs, which run at the same time, the mean of theirs."""
    context = multiprocessing.get_context("spawn")
    ready, pipes = context.Barrier(len(jobs)), []
    for job in jobs:
        ours, theirs = context.Pipe(duplex=False)
        context.Process(target=_serve, args=(job, seconds, ready, theirs), daemon=True).start()
        theirs.close()  # so that the end of the process is the end of the pipe
        pipes.append(ours)
    return statistics.mean(pipe.recv() for pipe in pipes)


def _draw(*shapes: tuple[int, ...]) -> list[Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def step(network: str, batch: int, size: int, channels: int) -> Call:
    """A training step of a network of models.py, or of the one in examples/digits_cnn.toml."""
    import numpy as np

    from bench import models
    from bench.fit_step import fit_step

    model = {"resnet": lambda: models.resnet((16, 32, 64)), "cnn": models.cnn, "digits": _digits}[network]()
    (x,) = _draw((batch, size, size, channels))
    y = np.random.default_rng(0).integers(0, 10, batch)
    return fit_step(model, x, y, ENTERED, from_logits=network != "digits")


def _digits() -> Any:
    from gpudl.experiment.experiment import read

    return read(str(whole.ROOT / "examples" / "digits_cnn.toml")).model((8, 8, 1))


def einsum_of_windows() -> Call:
    """The sums of products of a depthwise convolution, nine taps, as gpudl asks for them; all lies in the cache."""
    import numpy as np

    from gpudl.backend.numpy import depthwise
    from gpudl.shapes import DepthwiseGeometry

    conv = DepthwiseGeometry.of((1, 56, 56, 64), (3, 3, 64, 1), 1, "same")
    padded, kernel = _draw((1, 58, 58, 64), (3, 3, 64, 1))
    windows, y = depthwise._Windows.of(conv), np.empty(conv.y_shape, np.float32)
    weights = depthwise._rows_of(kernel, 56)
    return lambda: depthwise._slide(padded, weights, windows, y)


def depthwise_forward() -> Call:
    """32 images of 56x56x64, 3x3."""
    from bench.cpu import calls

    return calls.make("gpudl", "conv2d depthwise 3x3, 64, 56x56, batch 32, forward")


def padding_of_images() -> Call:
    """The copy of those images into zeros that a depthwise convolution needs around them, one image at a time."""
    (x, padded) = _draw((32, 56, 56, 64), (58, 58, 64))

    def copy() -> None:
        for image in x:
            padded[1:57, 1:57] = image

    return copy


def maximum_of_neighbours(channels: int) -> Call:
    """125,000 maxima of neighbouring pixels in rows of so many channels; all lies in the cache."""
    import numpy as np

    (x,) = _draw((MAXIMA // channels, 2, channels))
    y = np.empty((len(x), channels), np.float32)
    return lambda: np.maximum(x[:, 0], x[:, 1], out=y)


def maximum_of_rows() -> Call:
    """As many maxima of numbers that follow each other."""
    import numpy as np

    a, b = _draw((MAXIMA,), (MAXIMA,))
    y = np.empty(MAXIMA, np.float32)
    return lambda: np.maximum(a, b, out=y)


MAXIMA = 125_440


def passes_of_pooling(at_once: int, images: int, height: int, width: int, channels: int) -> Call:
    """What cannot be left out of max pooling 2x2: three maxima, three times which number it is, and four products."""
    import numpy as np

    x, dx = _draw(*[(images, height, width, channels)] * 2)
    y, dy = _draw(*[(images, height // 2, width // 2, channels)] * 2)
    lost = np.empty((at_once, *y.shape[1:]), bool)
    taps = [(slice(None), slice(r, None, 2), slice(s, None, 2)) for r in range(2) for s in range(2)]

    def passes() -> None:
        for start in range(0, images, at_once):
            block = slice(start, start + at_once)
            source, best, target = x[block], y[block], dx[block]
            np.maximum(source[taps[0]], source[taps[1]], out=best)
            for tap in taps[2:]:
                np.maximum(best, source[tap], out=best)
            for tap in taps[:3]:
                np.not_equal(source[tap], best, out=lost)
            for tap in taps:
                np.multiply(dy[block], lost, out=target[tap])

    return passes


def pooling(*shape: int) -> Call:
    """Max pooling 2x2, forward and gradient."""
    from gpudl.backend import kernels
    from gpudl.shapes import PoolGeometry

    pool = PoolGeometry.of((*shape[:3], shape[3]), 2)
    x, dy = _draw(pool.x_shape, pool.y_shape)
    twin = kernels("pool2d", x)
    return lambda: twin.max_backward(dy, twin.max_forward(x, pool)[1], pool)


def of_depthwise(seconds: float) -> list[Figure]:
    """What the multiply-adds and the padding of a depthwise convolution take of its time."""
    work, adds = "depthwise 3x3, 64, 56x56, batch 32", 9 * 56 * 56 * 64
    cached = milliseconds(seconds, Job(einsum_of_windows, ()))
    padding = milliseconds(seconds, Job(padding_of_images, ()))
    return [
        Figure(work, "multiply-adds of einsum on one core, all in the cache", adds / cached / 1e6, "a ns"),
        Figure(work, "all of them at that rate on two cores", 32 * cached / 2, "ms"),
        Figure(work, "copying the images into their padding on two cores", padding / 2, "ms"),
        Figure(work, "forward", milliseconds(seconds, Job(depthwise_forward, ())), "ms"),
    ]


def of_pooling(seconds: float) -> list[Figure]:
    """How short rows slow NumPy's loops down."""
    found = [Figure("max pooling", "maxima of rows that follow each other", _rate(seconds, maximum_of_rows), "a ns")]
    for channels in (64, 32):
        rate = _rate(seconds, maximum_of_neighbours, channels)
        found.append(Figure("max pooling", f"maxima of neighbouring pixels of {channels} channels", rate, "a ns"))
    total = 0.0
    for images, *shape in CNN_POOLING:
        work = f"max pooling 2x2, {shape[2]}, {shape[0]}x{shape[1]}, batch {images}"
        few = CACHED // math.prod(shape)
        passes = milliseconds(seconds, Job(passes_of_pooling, (few, few, *shape))) * images / few / 2
        found.append(Figure(work, f"{PASSES}, in the cache, two cores", passes, "ms"))
        half = Job(passes_of_pooling, (images // 8, images // 2, *shape), threads=1)
        found.append(Figure(work, f"{PASSES}, in two processes", milliseconds(seconds, half, half), "ms"))
        needed = milliseconds(seconds, Job(pooling, (images, *shape)))
        found.append(Figure(work, "forward and gradient", needed, "ms"))
        total += needed
    found.append(Figure("step: CNN 32-64-128", "of which the two max poolings", total, "ms"))
    return [
        *found,
        Figure("step: CNN 32-64-128", "batch 128", milliseconds(seconds, Job(step, ("cnn", 128, 28, 1))), "ms"),
    ]


def _rate(seconds: float, make: Callable[..., Call], *arguments: int) -> float:
    return MAXIMA / milliseconds(seconds, Job(make, arguments)) / 1e6


def of_threads(seconds: float) -> list[Figure]:
    """What it costs two threads that they share an interpreter."""
    work = "step: ResNet 16-32-64"
    half = Job(step, ("resnet", 32, 32, 3), threads=1)
    return [
        Figure(work, "batch 64, one thread", milliseconds(seconds, Job(step, ("resnet", 64, 32, 3), 1)), "ms"),
        Figure(work, "batch 64, two threads", milliseconds(seconds, Job(step, ("resnet", 64, 32, 3))), "ms"),
        Figure(work, "batch 32, one thread", milliseconds(seconds, half), "ms"),
        Figure(
            work, "batch 32, one thread, in two processes at the same time", milliseconds(seconds, half, half), "ms"
        ),
    ]


def of_digits(seconds: float, turns: int) -> list[Figure]:
    """What is there of a small step whatever its batch, and of a short run besides its steps."""
    sizes = 16, 32, 64
    times = [milliseconds(seconds, Job(step, ("digits", size, 8, 1), threads=1)) for size in sizes]
    slope, at_none = statistics.linear_regression(sizes, times)
    found = [
        Figure("digits", f"step of a batch of {size}", each, "ms") for size, each in zip(sizes, times, strict=True)
    ]
    found.append(Figure("digits", "step of a batch of none, by the line through these", at_none, "ms"))
    found.append(Figure("digits", "each further image", 1e3 * slope, "us"))
    two = milliseconds(seconds, Job(step, ("digits", 32, 8, 1)))
    found.append(Figure("digits", "step of a batch of 32, two threads", two, "ms"))
    for epochs in (1, whole.EPOCHS):
        runs = [_run_of_digits(epochs) for _ in range(turns)]
        found.append(Figure("digits", f"from the shell prompt, epochs: {epochs}", statistics.median(runs), "s"))
    return found


def _run_of_digits(epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return whole.run(whole.commands("digits", folder, epochs)["gpudl"])[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.reasons", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each is timed")
    parser.add_argument("--turns", type=int, default=3, help="how often digits are learned from the shell prompt")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    figures = [
        *of_threads(options.seconds),
        *of_depthwise(options.seconds),
        *of_pooling(options.seconds),
        *of_digits(options.seconds, options.turns),
    ]
    table = Table(title=machine(), box=box.MARKDOWN)
    table.add_column("work")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for each in figures:
        table.add_row(each.work, each.what, f"{each.value:.3g} {each.unit}")
    Console(width=130).print(table)
    if options.out:
        rows = [vars(each) for each in figures]
        options.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
