"""The code of two commits on the same work, in turns: `python -m bench.cpu.commits OLD [NEW] --of NAME ...`.

Names are those of networks in profile.py, whose training step is made, of calls in calls.py, or such as "input gradient
5x5, stride 2, 16 to 32, 28x28, batch 32". Without NEW it is the code as it lies here. Only gpudl is taken from the
commits, so a commit has to know what the benchmark calls.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cpu import calls
from bench.cpu.__main__ import machine
from bench.cpu.turns import Way, table_of, take_turns

ROOT = Path(__file__).parents[2]


STRIDED = re.compile(r"input gradient (\d+)x\1, stride (\d+), (\d+) to (\d+), (\d+)x\5, batch (\d+)")


def make(name: str) -> Callable[[], Any]:
    """Return a network's training step, or a call."""
    strided = STRIDED.fullmatch(name)
    if strided:
        return input_gradient(*map(int, strided.groups()))
    if name in calls.names():
        return calls.make("gpudl", name)
    from bench.cpu.profile import built, step

    return step(name, built(name)[1])


def input_gradient(window: int, stride: int, channels: int, filters: int, side: int, batch: int) -> Callable[[], Any]:
    """Return the gradient for the input of a convolution, "same"."""
    from gpudl.backend import kernels
    from gpudl.shapes import ConvGeometry

    conv = ConvGeometry.of((batch, side, side, channels), (window, window, channels, filters), stride, "same")
    dy, kernel = calls.draw(conv.y_shape, conv.kernel_shape)
    twin = kernels("conv2d", dy)
    return lambda: twin.input_gradient(dy, kernel, conv)


def unpack(commit: str, folder: str) -> str:
    """Write gpudl of a commit into a new folder in this one; return its path."""
    packed = subprocess.run(["git", "archive", commit, "gpudl"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        raise SystemExit(f"git archive {commit}: {packed.stderr.decode().strip()}")
    target = tempfile.mkdtemp(dir=folder)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(target, filter="data")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.commits", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", metavar="OLD", help="a commit")
    parser.add_argument("new", metavar="NEW", nargs="?", help="another; else the code as it lies here")
    parser.add_argument(
        "--of", metavar="NAME", nargs="+", required=True, help="networks, or calls by their whole names"
    )
    parser.add_argument("--turns", type=int, default=40, help="how often each takes its turn")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    from bench.cpu.profile import NETWORKS  # not above: it imports gpudl, which the processes take from elsewhere

    known = *NETWORKS, *calls.names()
    for name in options.of:
        if name not in known and not STRIDED.fullmatch(name):
            parser.error(f"no work {name!r}; there are: {'; '.join(known)}")
    written = []
    with tempfile.TemporaryDirectory() as folder:
        old = unpack(options.old, folder)
        new = unpack(options.new, folder) if options.new else str(ROOT)
        for name in options.of:
            ways = [
                Way(commit or "here", make, (name,), source=source)
                for commit, source in ((options.old, old), (options.new, new))
            ]
            rows = take_turns(ways, options.turns, options.seconds)
            Console(width=120).print(table_of(name, rows))
            written.append({"work": name, "rows": rows})
    if options.out:
        facts = {"machine": machine(), "unit": "ms", "turns": options.turns, "works": written}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
