"""Why some work falls short of its goal on the CPU: `python -m bench.cpu.reasons`.

Each line is a figure of docs/performance.md. Work is timed in processes of their own, some of which run at the same
time, and all of it in several turns. A time is the median of a turn, the quickest one's: what else the machine does can
only add to it. NumPy alone is asked, also where numba is installed.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cpu import calls, whole
from bench.cpu.__main__ import machine
from bench.cpu.calls import draw
from bench.cpu.steps import ENTERED

Call = Callable[[], Any]

CNN_POOLING, TABLE_POOLING = ((128, 28, 28, 32), (128, 14, 14, 64)), (128, 16, 16, 64)
"""What the poolings of the CNN are given, of which the first is in the table, too; and the other one of the table."""

THEIRS = "torch channels last"
"""PyTorch in its better memory format."""

CACHED = 1 << 16
"""Numbers of images that, with what becomes of them, lie in a second-level cache of a mebibyte."""

MAXIMA = 125_440
"""Numbers that are compared in pairs, in the cache too."""

PASSES = "maxima, comparisons, products, put in place"
"""What `passes_of_pooling` does, in words."""

SIZES = 16, 24, 32
"""Batches through whose times a line is laid."""

PATIENCE = 120
"""Seconds that one process waits for another to be ready."""


@dataclass(frozen=True)
class Job:
    """A call to be timed in a process of its own: what makes it, from what, and the threads it may use."""

    make: Callable[..., Call]
    arguments: tuple[Any, ...]
    threads: int = 2
    of_gpudl: bool = True
    """A process that times PyTorch must not have loaded gpudl, which changes how the C library frees memory."""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    work: str
    what: str
    value: float
    unit: str


def _serve(job: Job, seconds: float, ready: Any, pipe: Any) -> None:
    os.environ["GPUDL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(job.threads)
    if job.of_gpudl:
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


_quickest: dict[Any, Any] = {}
"""What each work took in the quickest of all turns so far."""


def milliseconds(seconds: float, *jobs: Job) -> float:
    """Return the median milliseconds of a call; of several jobs, which run at the same time, the mean of theirs.

    It is that of the quickest turn so far.
    """
    found = _milliseconds_now(seconds, *jobs)
    _quickest[jobs] = min(found, _quickest.get(jobs, found))
    return _quickest[jobs]


def _milliseconds_now(seconds: float, *jobs: Job) -> float:
    context = multiprocessing.get_context("spawn")
    ready, pipes, processes = context.Barrier(len(jobs)), [], []
    for job in jobs:
        ours, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=_serve, args=(job, seconds, ready, theirs), daemon=True))
        processes[-1].start()
        theirs.close()  # so that the end of the process is the end of the pipe
        pipes.append(ours)
    found = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return statistics.mean(found)


def step(network: str, batch: int) -> Call:
    """A training step of one of the networks of profile.py."""
    import numpy as np

    from bench.cpu.profile import built
    from bench.fit_step import fit_step

    model, _, shape = built(network)
    (x,) = draw((batch, *shape))
    y = np.random.default_rng(0).integers(0, 10, batch)
    return fit_step(model, x, y, ENTERED, from_logits=network != "digits")


MLP = 784, 256, 128, 10


def products_of_mlp() -> Call:
    """The products of matrices of a step of the larger MLP, as gpudl makes them: eight."""
    from gpudl.backend.numpy import dense
    from gpudl.backend.numpy.workers import single_threaded_blas

    ENTERED.enter_context(single_threaded_blas)
    pairs = list(pairwise(MLP))
    inputs, kernels = draw(*[(128, i) for i, _ in pairs]), draw(*pairs)
    gradients = draw(*[(128, o) for _, o in pairs])

    def products() -> None:
        for x, kernel, dy in zip(inputs, kernels, gradients, strict=True):
            dense.forward(x, kernel, None, False)
            dense.kernel_gradient(x, dy)
            if x is not inputs[0]:
                dense.input_gradient(dy, kernel)

    return products


TALL_PRODUCTS = (16384, 9, 32), (16384, 32, 64)
"""Sizes (M, I, O) of products (M, I) x (I, O): of a first layer, and of a 1x1 convolution."""


def tall_product(M: int, inner: int, columns: int, in_parts: bool) -> Call:
    """A product of many rows and a small factor on one thread: at once, or as gpudl makes it of small ones."""
    import numpy as np

    from gpudl.backend.numpy.products import multiply
    from gpudl.backend.numpy.workers import single_threaded_blas

    ENTERED.enter_context(single_threaded_blas)
    a, b = draw((M, inner), (inner, columns))
    out = np.empty((M, columns), np.float32)
    return lambda: multiply(a, b, out) if in_parts else np.matmul(a, b, out=out)


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


def maximum_of_neighbours(channels: int) -> Call:
    """125,000 maxima of neighbouring pixels in rows of so many channels; all lies in the cache."""
    import numpy as np

    (x,) = draw((MAXIMA // channels, 2, channels))
    y = np.empty((len(x), channels), np.float32)
    return lambda: np.maximum(x[:, 0], x[:, 1], out=y)


def maximum_of_rows() -> Call:
    """As many maxima of numbers that follow each other."""
    import numpy as np

    a, b = draw((MAXIMA,), (MAXIMA,))
    y = np.empty(MAXIMA, np.float32)
    return lambda: np.maximum(a, b, out=y)


def passes_of_pooling(
    at_once: int, images: int, height: int, width: int, channels: int, with_winners: bool = False
) -> Call:
    """What NumPy needs at least for max pooling 2x2 and its gradient.

    Three maxima and three comparisons of neighbouring pixels; for the gradient, a product for all taps and its copy.
    With winners, also what tells from comparisons who has won: a count in bytes, NaN looked for, masks and numbers.
    """
    import numpy as np

    from gpudl.backend.numpy import aligned

    whole, halved = (images, height, width, channels), (images, height // 2, width // 2, channels)
    x, dx, y, dy = (aligned.empty(shape, np.float32) for shape in (whole, whole, halved, halved))
    x[:], dy[:] = draw(whole, halved)
    lost = aligned.empty((at_once, *halved[1:]), bool)
    won = aligned.full((2, 2, *lost.shape), 1, np.float32)
    parts, number, is_winner = (
        aligned.empty_like(won),
        aligned.empty(lost.shape, np.uint8),
        aligned.empty(won.shape, bool),
    )
    order = np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1, 1, 1)
    taps = [(slice(None), slice(r, None, 2), slice(s, None, 2)) for r in range(2) for s in range(2)]

    def passes() -> None:
        for start in range(0, images, at_once):
            block = slice(start, start + at_once)
            source, best, target = x[block], y[block], dx[block]
            np.maximum(source[taps[0]], source[taps[1]], out=best)
            for tap in taps[2:]:
                np.maximum(best, source[tap], out=best)
            if with_winners:
                np.isnan(best.max())
                number.fill(0)
            for tap in taps[:3]:
                np.not_equal(source[tap], best, out=lost)
                if with_winners:
                    np.add(number, 1, out=number)
                    np.multiply(number, lost.view(np.uint8), out=number)
            if with_winners:
                np.equal(number, order, out=is_winner)
                np.copyto(won, is_winner.view(np.uint8))
            np.multiply(won, dy[block], out=parts)
            by_taps = target.reshape(at_once, height // 2, 2, width // 2, 2, channels).transpose(2, 4, 0, 1, 3, 5)
            by_taps[...] = parts

    return passes


def of_products(seconds: float) -> list[Figure]:
    """How many multiply-adds BLAS makes where it copies its factors, and where it need not."""
    found = []
    for M, inner, columns in TALL_PRODUCTS:
        for in_parts, what in (False, "at once"), (True, "as small products"):
            taken = milliseconds(seconds, Job(tall_product, (M, inner, columns, in_parts)))
            rate = M * inner * columns / taken / 1e6
            found.append(Figure(f"({M}, {inner}) x ({inner}, {columns}), one core", what, rate, "per ns"))
    return found


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
        *_of_pytorch(seconds, work, calls.make, (THEIRS, f"conv2d {work}, forward")),
    ]


def _of_pytorch(seconds: float, work: str, make: Callable[..., Call], arguments: tuple[Any, ...]) -> list[Figure]:
    """What PyTorch takes, where it is installed."""
    if find_spec("torch") is None:
        return []
    taken = milliseconds(seconds, Job(make, arguments, of_gpudl=False))
    return [Figure(work, "PyTorch, channels last", taken, "ms")]


def of_pooling(seconds: float) -> list[Figure]:
    """What the passes that NumPy needs at least take, how short rows slow them, and their share of the CNN's step."""
    found = [Figure("max pooling", "maxima of rows that follow each other", _rate(seconds, maximum_of_rows), "per ns")]
    for channels in (64, 32):
        rate = _rate(seconds, maximum_of_neighbours, channels)
        found.append(Figure("max pooling", f"maxima of neighbouring pixels of {channels} channels", rate, "per ns"))
    total = 0.0
    for images, *shape in (*CNN_POOLING, TABLE_POOLING):
        work = f"max pooling 2x2, {shape[2]}, {shape[0]}x{shape[1]}, batch {images}"
        few = CACHED // math.prod(shape)
        passes = milliseconds(seconds, Job(passes_of_pooling, (few, few, *shape))) * images / few / 2
        found.append(Figure(work, f"{PASSES}, in the cache, two cores", passes, "ms"))
        for more, with_winners in (("", False), ("; also who has won", True)):
            half = Job(passes_of_pooling, (images // 8, images // 2, *shape, with_winners), threads=1)
            found.append(Figure(work, f"{PASSES}{more}, in two processes", milliseconds(seconds, half, half), "ms"))
        ours = Job(calls.our_pooling, ("gpudl", (images // 2, *shape)), threads=1)
        apart = milliseconds(seconds, ours, ours)
        needed = milliseconds(seconds, Job(calls.our_pooling, ("gpudl", (images, *shape))))
        found.append(
            Figure(work, "forward and gradient, in two processes of one thread and half the batch each", apart, "ms")
        )
        found.append(Figure(work, "forward and gradient", needed, "ms"))
        found += _of_pytorch(seconds, work, calls.torch_pooling, (THEIRS, (images, *shape)))
        total += needed if (images, *shape) in CNN_POOLING else 0
    found.append(Figure("step: CNN 32-64-128", "of which the two max poolings", total, "ms"))
    return [
        *found,
        Figure("step: CNN 32-64-128", "batch 128", milliseconds(seconds, Job(step, ("cnn", 128))), "ms"),
    ]


def _rate(seconds: float, make: Callable[..., Call], *arguments: int) -> float:
    return MAXIMA / milliseconds(seconds, Job(make, arguments)) / 1e6


LENGTHS, VIEWS, REPEATED = (1 << 15, 1 << 16, 1 << 17, 1 << 18), 10, 64
"""Numbers that a call of NumPy goes over; views that Python makes before each; and how many calls in a row."""


def calls_in_a_row(numbers: int, pieces: int) -> Call:
    """Products in place, with a microsecond of Python before each; threads share the pieces, which are alike."""
    import numpy as np

    from gpudl.backend.numpy.workers import SMALL, blocks, run

    arrays = draw(*[(numbers,)] * pieces)
    ones = [np.ones_like(x) for x in arrays]

    def work(share: Any) -> None:
        for piece, _ in share:
            x, y = arrays[piece], ones[piece]
            for _ in range(REPEATED):
                for _ in range(VIEWS):
                    x[:numbers]
                np.multiply(x, y, out=x)

    return lambda: run(work, blocks(pieces, 1), SMALL)


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


BUSY = 3e-4
"""Seconds between two calls of the other thread, in which it falls asleep."""


def other_thread_and_back() -> Call:
    """Compute for a while, wake another thread, and be woken by it: as where work begins and ends that is shared."""
    there: SimpleQueue[None] = SimpleQueue()
    back: SimpleQueue[None] = SimpleQueue()

    def answer() -> None:
        while True:
            there.get()
            back.put(None)

    threading.Thread(target=answer, daemon=True).start()

    def call() -> None:
        end = time.perf_counter() + BUSY
        while time.perf_counter() < end:
            pass
        there.put(None)
        back.get()

    return call


def of_waking(seconds: float) -> list[Figure]:
    """What it takes until a thread that waits for work has begun."""
    taken = (1e3 * milliseconds(seconds, Job(other_thread_and_back, ())) - 1e6 * BUSY) / 2
    return [Figure("threads", "to wake another", taken, "us")]


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


def of_the_lock(seconds: float) -> list[Figure]:
    """What calls of NumPy take beside those of another thread, and beside those of another process."""
    found = []
    for numbers in LENGTHS:
        one = Job(calls_in_a_row, (numbers, 1), threads=1)
        for what, jobs in (
            ("alone", (one,)),
            ("beside those of another thread", (Job(calls_in_a_row, (numbers, 2)),)),
            ("beside those of another process", (one, one)),
        ):
            taken = 1e3 * milliseconds(seconds, *jobs) / REPEATED
            found.append(Figure(f"a call of NumPy over {numbers:,} numbers", what, taken, "us"))
    return found


def of_small_steps(seconds: float) -> list[Figure]:
    """What there is of a small step whatever its batch, what products take of it, and of a run besides its steps."""
    found = []
    for work, network in (("step: MLP 64-64-10", "mlp64"), ("digits", "digits")):
        times = [milliseconds(seconds, Job(step, (network, size), threads=1)) for size in SIZES]
        found += [Figure(work, f"batch {size}", each, "ms") for size, each in zip(SIZES, times, strict=True)]
        slope, none = statistics.linear_regression(SIZES, times)
        found.append(Figure(work, "batch of none, by the line through these", none, "ms"))
        found.append(Figure(work, "each further sample", 1e3 * slope, "us"))
    for epochs in (1, whole.EPOCHS):
        found.append(Figure("digits", f"from the shell prompt, epochs: {epochs}", _run_of_digits(epochs), "s"))
    work = "step: MLP 784-256-128-10"
    found.append(Figure(work, "its eight products", milliseconds(seconds, Job(products_of_mlp, ())), "ms"))
    return [*found, Figure(work, "batch 128", milliseconds(seconds, Job(step, ("mlp784", 128))), "ms")]


TAPED = 100
"""Ops in a row, of 8 numbers, there and back."""


def ops_on_the_tape(name: str) -> Call:
    """ReLU of ReLU of ReLU ..., or sums with the same number, and the way back, as Tensors do it."""
    import numpy as np

    from gpudl import ops
    from gpudl.autograd import Tensor

    op, dy = getattr(ops, name), np.ones(8, np.float32)
    x, other = (Tensor(np.ones(8, np.float32), requires_grad=True) for _ in range(2))
    more = () if name == "relu" else (other,)

    def chain() -> None:
        y = x
        for _ in range(TAPED):
            y = op(y, *more)
        y.backward(dy)
        x.grad = other.grad = None

    return chain


def ops_by_hand(name: str) -> Call:
    """The same, with the functions that the ops are made of."""
    import numpy as np

    from gpudl import ops

    op, dy = inspect.unwrap(getattr(ops, name)), np.ones(8, np.float32)
    x, other = np.ones(8, np.float32), np.ones(8, np.float32)
    more = () if name == "relu" else (other,)

    def chain() -> None:
        y, gradient, total, ways_back = x, dy, None, []
        for _ in range(TAPED):
            y, way_back = op(y, *more)
            ways_back.append(way_back)
        for way_back in reversed(ways_back):
            if more:
                gradient, part = [back(gradient) for back in way_back]
                total = part if total is None else total + part
            else:
                gradient = way_back(gradient)

    return chain


def of_tape(seconds: float) -> list[Figure]:
    """What the tape adds to an op. The chains take turns, since what a machine does changes from second to second."""
    found = []
    for name, inputs in (("relu", "one Tensor"), ("add", "two Tensors")):
        on, off, added = ops_on_the_tape(name), ops_by_hand(name), []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end or len(added) < 3:
            on()
            between = time.perf_counter()
            off()
            added.append(between - began - (time.perf_counter() - between))
        taken = 1e6 * statistics.median(added) / TAPED
        _quickest[name] = min(taken, _quickest.get(name, taken))
        found.append(Figure("the tape", f"of each op of {inputs}, there and back", _quickest[name], "us"))
    return found


def _run_of_digits(epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        found = whole.run(whole.commands("digits", folder, epochs)["gpudl"])[0]
    _quickest[epochs] = min(found, _quickest.get(epochs, found))
    return _quickest[epochs]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.reasons", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is timed in a turn")
    parser.add_argument("--turns", type=int, default=4, help="how often each takes its turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    figures: list[Figure] = []
    for _ in range(options.turns):
        figures = [
            each
            for of in (
                of_the_lock,
                of_waking,
                of_lines,
                of_relu,
                of_products,
                of_depthwise,
                of_pooling,
                of_small_steps,
                of_tape,
            )
            for each in of(options.seconds)
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
