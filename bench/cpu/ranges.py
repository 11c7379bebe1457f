"""How far the ratios of several runs lie apart: `python -m bench.cpu.ranges RUN/cpu.json ... --out FILE`.

Machines that others work on, too, give other ratios in every quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def ranges(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, of each piece of work, the ratios of all runs that have it, in their order, and the first one's goal."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        for row in run["rows"]:
            about = found.setdefault(row["work"], {"work": row["work"], "goal": row["goal"], "ratios": []})
            about["ratios"].append(round(row["ratio"], 3))
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cpu.ranges", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", metavar="FILE", type=Path, nargs="+", help="what `python -m bench.cpu --out` wrote")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the ratios there as JSON")
    options = parser.parse_args()
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in options.runs]
    machines = sorted({run["machine"] for run in runs})
    if len(machines) > 1:
        parser.error("these runs are of different machines, libraries or threads: " + "; ".join(machines))
    rows = ranges(runs)
    table = Table(title=f"PyTorch's time / gpudl's, {machines[0]}", box=box.MARKDOWN)
    for position, column in enumerate(("work", "runs", "least", "middle", "largest", "goal")):
        table.add_column(column, justify="right" if position else "left")
    for row in rows:
        ratios = row["ratios"]
        figures = [f"{each:.2f}" for each in (min(ratios), statistics.median(ratios), max(ratios))]
        table.add_row(row["work"], str(len(ratios)), *figures, "" if row["goal"] is None else f"{row['goal']:.1f}")
    Console(width=130).print(table)
    if options.out:
        options.out.write_text(json.dumps({"machine": machines[0], "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
