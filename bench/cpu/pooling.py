"""What max pooling 2x2 and its gradient are made of, beside PyTorch's, in turns: `python -m bench.cpu.pooling`.

NumPy's passes are added one by one until there are all that gpudl makes, without anything of gpudl's. They are made by
two processes of one thread, each with half of the batch, so that they share nothing but the memory.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cpu import calls
from bench.cpu.__main__ import machine
from bench.cpu.calls import draw
from bench.cpu.turns import Turn, Way, table_of, take_turns

PASSES = "in order", "maxima", "comparisons", "gradients", "winners"
"""Images read and gradients filled in order; three maxima; three comparisons of inputs with them; gradients put in
place; and what tells who has won: a count in bytes, and masks of it."""

ROWS_FIRST = "maxima, rows first"
"""Another way to the maxima: of neighbouring rows first, which are long, then of neighbouring pixels of these."""

BLOCKS = 4
"""That half of a batch is cut into, as gpudl does."""

CACHED = 1 << 16
"""Numbers of images that, with what becomes of them, lie in a second-level cache of a mebibyte."""

Shape = tuple[int, int, int, int]


def passes(shape: Shape, at_once: int, again: int, *wanted: str) -> Callable[[], None]:
    """Return what makes the passes wanted over images (N, H, W, C), so many at once, again and again.

    Without winners every input of a window gets its gradient.
    """
    import numpy as np

    from gpudl.backend.numpy import aligned, rows

    images, height, width, channels = shape
    halved = images, height // 2, width // 2, channels
    x, dx, y, dy = (aligned.empty(of, np.float32) for of in (shape, shape, halved, halved))
    x[:], dy[:] = draw(shape, halved)
    y[:] = 0
    number, lost = aligned.full(halved, 0, np.uint8), aligned.full((at_once, *halved[1:]), 0, bool)
    won = aligned.full((2, 2, *lost.shape), 1, bool)
    over_rows = aligned.empty((at_once, height // 2, width, channels), np.float32)
    order = np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1, 1, 1)
    blocks = [slice(start, start + at_once) for start in range(0, images, at_once)]
    taps = [(slice(None), slice(r, None, 2), slice(s, None, 2)) for r in range(2) for s in range(2)]

    def forward(source: Any, best: Any, number: Any) -> None:
        if "in order" in wanted:
            source.max()
        if "maxima" in wanted:
            np.maximum(source[taps[0]], source[taps[1]], out=best)
            for tap in taps[2:]:
                np.maximum(best, source[tap], out=best)
        if ROWS_FIRST in wanted:
            np.maximum(source[:, ::2], source[:, 1::2], out=over_rows)
            np.maximum(over_rows[:, :, ::2], over_rows[:, :, 1::2], out=best)
        for tap in reversed(taps[:3]) if "comparisons" in wanted else ():
            counts = "winners" in wanted and tap is not taps[2]
            np.not_equal(source[tap], best, out=lost if counts else number.view(bool))
            if counts:
                np.add(number, 1, out=number)
                np.multiply(number, lost.view(np.uint8), out=number)

    def backward(gradient: Any, number: Any, target: Any) -> None:
        if "in order" in wanted:
            target.fill(0)
        if "winners" in wanted:
            np.equal(number, order, out=won)
        if "gradients" in wanted:
            by_taps = target.reshape(at_once, height // 2, 2, width // 2, 2, channels).transpose(2, 4, 0, 1, 3, 5)
            np.multiply(gradient.view(np.int32), won, out=by_taps.view(np.int32))

    def call() -> None:
        with rows.short():
            for _ in range(again):
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
        *(
            apart(name, passes, (few, *each), few, half[0] // few, *wanted)
            for name, wanted in (
                ("in the cache, but those in order", PASSES[1:]),
                ("in the cache, rows first", (ROWS_FIRST, *PASSES[2:])),
            )
        ),
        apart("all but those in order", passes, half, at_once, 1, *PASSES[1:]),
        apart("all but those in order, rows first", passes, half, at_once, 1, ROWS_FIRST, *PASSES[2:]),
        apart("all, rows first", passes, half, at_once, 1, PASSES[0], ROWS_FIRST, *PASSES[2:]),
        apart("only in order", passes, half, at_once, 1, *PASSES[:1]),
        *(apart(f"and {PASSES[n]}", passes, half, at_once, 1, *PASSES[: n + 1]) for n in range(1, len(PASSES))),
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
