"""What a run that trains the digits is made of, from the shell prompt: `python -m bench.cpu.whole_account`.

Several runs take the time of their parts (clocked_run.py); the figures are the medians of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cpu.__main__ import machine
from bench.cpu.whole import EPOCHS, run

Parts = dict[str, float]


def parts_of_a_run(epochs: int = EPOCHS) -> Parts:
    """Return the seconds of each part of one run, and of the whole of it."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run([sys.executable, "-m", "bench.cpu.clocked_run", repr(began), folder, str(epochs)])
        whole = time.perf_counter() - began
        parts = json.loads(Path(folder, "parts.json").read_text())
    return {**parts, "the program's end": whole - sum(parts.values()), "all": whole}


def medians(runs: list[Parts]) -> Parts:
    """Return the median of each part. They need not add up to the median of the whole."""
    return {part: statistics.median(each[part] for each in runs) for part in runs[0]}


def table_of(parts: Parts, title: str) -> Table:
    """Show each part in milliseconds."""
    table = Table("part", title=title, box=box.MARKDOWN)
    table.add_column("ms", justify="right")
    for part, seconds in parts.items():
        table.add_row(part, f"{1e3 * seconds:.0f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cpu.whole_account", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    parts_of_a_run()  # compiles Python's files
    parts = medians([parts_of_a_run() for _ in range(options.runs)])
    Console(width=100).print(table_of(parts, f"digits: {machine()}"))
    if options.out:
        facts = {"machine": machine(), "unit": "s", "runs": options.runs, "parts": parts}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
