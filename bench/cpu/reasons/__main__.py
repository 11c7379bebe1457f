"""Why some work falls short of its goal on the CPU: `python -m bench.cpu.reasons`.

What docs/performance.md says of them rests on these figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cpu.__main__ import machine
from bench.cpu.reasons.depthwise import of_depthwise
from bench.cpu.reasons.lines import of_lines
from bench.cpu.reasons.lock import of_the_lock, of_waking
from bench.cpu.reasons.pooling import of_pooling
from bench.cpu.reasons.products import of_products
from bench.cpu.reasons.relu import of_relu
from bench.cpu.reasons.small_steps import of_small_steps
from bench.cpu.reasons.tape import of_tape
from bench.cpu.reasons.timing import Figure

REASONS = of_the_lock, of_waking, of_lines, of_relu, of_products, of_depthwise, of_pooling, of_small_steps, of_tape


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.reasons", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is timed in a turn")
    parser.add_argument("--turns", type=int, default=4, help="how often each takes its turn")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    figures: list[Figure] = []
    for _ in range(options.turns):
        figures = [each for of in REASONS for each in of(options.seconds)]
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
