"""What max pooling 2x2 and its gradient are made of, beside PyTorch's, in turns: `python -m bench.cpu.pooling`.

NumPy's passes are added one by one until there are all that gpudl makes, without anything of gpudl's. They are made by
two processes of one thread, each with half of the batch, so that they share nothing but the memory.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cpu import calls
from bench.cpu.__main__ import machine
from bench.cpu.calls import draw
from bench.cpu.turns import Turn, Way, table_of, take_turns

PASSES = "taken apart", "maxima", "comparisons", "gradients", "put together"
"""Pixels of images copied into planes of taps; three maxima; NaN looked for, three comparisons with the last maxima,
and their sum, which tells who has won; masks of that as integers, and their products with gradients; planes of these
copied to where pixels belong."""

TAP_BY_TAP = "tap by tap"
"""Another way, without planes: maxima, comparisons and gradients of pixels where they lie, rows of their channels."""

BLOCKS = 4
"""That half of a batch is cut into, as gpudl does."""

CACHED = 1 << 16
"""Numbers of images that, with what becomes of them, lie in a second-level cache of a mebibyte."""

Shape = tuple[int, int, int, int]


def passes(shape: Shape, at_once: int, again: int, *wanted: str) -> Callable[[], None]:
    """Return what makes the passes wanted over images (N, H, W, C), so many at once, again and again.

    Those that are not wanted before one that is have been made once, so that it finds what they have left there.
    """
    import numpy as np

    from gpudl.backend.numpy import aligned
    from gpudl.backend.numpy.pool_planes import pixels

    images, height, width, channels = shape
    halved = images, height // 2, width // 2, channels
    x, dx, y, dy = (aligned.empty(of, np.float32) for of in (shape, shape, halved, halved))
    x[:], dy[:] = draw(shape, halved)
    number = aligned.empty(halved, np.uint8)
    planes = aligned.empty((4, at_once, *halved[1:]), np.float32)
    flags = aligned.empty(planes.shape, bool)
    tiles = 2, 2, at_once, *halved[1:3]
    places = np.arange(math.prod(tiles)).reshape(tiles).transpose(2, 3, 0, 4, 1).flatten()
    order = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1, 1)
    of_planes, of_x, of_dx = (pixels(a).reshape(-1, at_once * height * width) for a in (planes, x, dx))
    blocks = [slice(start, start + at_once) for start in range(0, images, at_once)]

    def forward(block: slice, wanted: Sequence[str]) -> None:
        best = y[block]
        if "taken apart" in wanted:
            of_planes[0][places] = of_x[block.start // at_once]
        if "maxima" in wanted:
            np.maximum(planes[0], planes[1], out=planes[1])
            np.maximum(planes[1], planes[2], out=planes[2])
            np.maximum(planes[2], planes[3], out=best)
        if "comparisons" in wanted:
            best.max()
            np.not_equal(planes[:3], best, out=flags[:3])
            np.add.reduce(flags[:3].view(np.uint8), axis=0, dtype=np.uint8, out=number[block])

    def backward(block: slice, wanted: Sequence[str]) -> None:
        if "gradients" in wanted:
            np.equal(number[block], order, out=flags)
            np.copyto(planes.view(np.int32), flags)
            np.multiply(planes.view(np.int32), dy[block].view(np.int32), out=planes.view(np.int32))
        if "put together" in wanted:
            np.take(of_planes[0], places, out=of_dx[block.start // at_once], mode="clip")

    def call(wanted: Sequence[str] = wanted) -> None:
        for _ in range(again):
            for block in blocks:
                forward(block, wanted)
            for block in blocks:
                backward(block, wanted)

    call(PASSES)
    return call


def tap_by_tap(shape: Shape, at_once: int) -> Callable[[], None]:
    """Return what makes the same of images (N, H, W, C), so many at once, without planes."""
    import numpy as np

    from gpudl.backend.numpy import aligned

    images, height, width, channels = shape
    halved = images, height // 2, width // 2, channels
    x, dx, y, dy = (aligned.empty(of, np.float32) for of in (shape, shape, halved, halved))
    x[:], dy[:] = draw(shape, halved)
    number, lost = aligned.empty(halved, np.uint8), aligned.empty((at_once, *halved[1:]), bool)
    won = aligned.empty((2, 2, *lost.shape), bool)
    order = np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1, 1, 1)
    blocks = [slice(start, start + at_once) for start in range(0, images, at_once)]
    taps = [(slice(None), slice(r, None, 2), slice(s, None, 2)) for r in range(2) for s in range(2)]

    def forward(source: Any, best: Any, count: Any) -> None:
        source.max()  # which also reads it in order
        np.maximum(source[taps[0]], source[taps[1]], out=best)
        for tap in taps[2:]:
            np.maximum(best, source[tap], out=best)
        np.not_equal(source[taps[2]], best, out=count.view(bool))
        for tap in taps[1::-1]:
            np.not_equal(source[tap], best, out=lost)
            np.add(count, 1, out=count)
            np.multiply(count, lost.view(np.uint8), out=count)

    def backward(gradient: Any, count: Any, target: Any) -> None:
        target.fill(0)
        np.equal(count, order, out=won)
        by_taps = target.reshape(at_once, height // 2, 2, width // 2, 2, channels).transpose(2, 4, 0, 1, 3, 5)
        np.multiply(gradient.view(np.int32), won, out=by_taps.view(np.int32))

    def call() -> None:
        with np.errstate():
            np.setbufsize(1 << 11)  # with short rows quicker than its own 8,192
            for block in blocks:
                forward(x[block], y[block], number[block])
            for block in blocks:
                backward(dy[block], number[block], dx[block])

    return call


def ways(shape: Shape) -> list[Way]:
    """Return what is compared, PyTorch first where it is installed."""
    images, *each = shape
    half = images // 2, *each
    at_once = half[0] // BLOCKS
    few = math.gcd(half[0], max(1, CACHED // math.prod(each)))

    def apart(name: str, make: Callable[..., Any], *arguments: Any) -> Way:
        return Way(name, make, arguments, processes=2, threads=1)

    ours = [
        Way("gpudl, two threads", calls.our_pooling, ("gpudl", shape)),
        Way("gpudl, one thread", calls.our_pooling, ("gpudl", shape), threads=1),
        apart("gpudl, two processes", calls.our_pooling, "gpudl", half),
        apart("tap by tap, without planes", tap_by_tap, half, at_once),
        apart("all passes, in the cache", passes, (few, *each), few, half[0] // few, *PASSES),
        *(apart(f"and {PASSES[n]}" if n else PASSES[n], passes, half, at_once, 1, *PASSES[: n + 1]) for n in range(5)),
    ]
    theirs = Way("PyTorch, channels last", calls.torch_pooling, ("torch channels last", shape), of_gpudl=False)
    return [theirs, *ours] if find_spec("torch") else ours


def joined(times: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows of several times: medians of each figure, and the quickest turn of all.

    Processes alike differ by up to a fifth for as long as they live, by where their arrays have come to lie.
    """
    found = []
    for alike in zip(*times, strict=True):
        halves = zip(*(row["half of the ratios"] for row in alike), strict=True)
        of_all = {name: statistics.median(row[name] for row in alike) for name in (*Turn._fields, "ratio")}
        quickest = min(row["quickest"] for row in alike)
        found.append(
            {
                "way": alike[0]["way"],
                **of_all,
                "quickest": quickest,
                "half of the ratios": [*map(statistics.median, halves)],
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.pooling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="how often the processes are started anew")
    parser.add_argument("--turns", type=int, default=8, help="how often each takes its turn then")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of a turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    written = []
    for name, shape in calls.POOLING.items():
        rows = joined([take_turns(ways(shape), options.turns, options.seconds) for _ in range(options.times)])
        Console(width=120).print(table_of(f"max pooling {name}, forward and gradient", rows))
        written.append({"work": name, "rows": rows})
    if options.out:
        facts = {"machine": machine(), "unit": "ms", "times": options.times, "turns": options.turns, "works": written}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
