"""Tables of what was found: plain, at most 100 columns wide. The single layers come first, the summaries last."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from bench.gpu.kernels import LIMITS
from bench.gpu.layers import TARGETS, best_of_theirs, geometric_mean, ratio

WIDTH = 100
SECTIONS = ("kernels", "networks", "mnist", "convolutions", "launches", "steps")
ON_DEMAND = ("tiles",)
"""Sections that are run only where they are asked for."""

CHECKS = SECTIONS[:3]
"""Sections whose failures are failures of the program."""

Results = dict[str, list[dict[str, Any]]]
"""For each section what its parts returned."""


def number(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


def rows_of(results: Results, section: str) -> list[dict[str, Any]]:
    return [row for part in results.get(section, []) for row in part.get("rows", [])]


def plain(title: str, *columns: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption, box=box.MARKDOWN)
    for position, name in enumerate(columns):
        table.add_column(name, justify="right" if position else "left", overflow="fold")
    return table


def failures_of(results: Results, sections: Iterable[str]) -> list[str]:
    """Say what failed: checks, and parts that raised or, being checks, were not run."""
    found: list[str] = []
    for section in sections:
        for part in results.get(section, []):
            found += [f"{section}: {failure}" for failure in part.get("failures", [])]
            more = part.get("failed", 0) - len(part.get("failures", []))
            found += [f"{section}: {part['part']}: {more} more"] if more > 0 else []
            if "error" in part:
                found.append(f"{section}: {part['part']}: {part['error'].strip().splitlines()[-1]}")
            if section in CHECKS and "skipped" in part:
                found.append(f"{section}: {part['part']} was not run: {part['skipped']}")
    return found


def notes_of(results: Results) -> list[str]:
    """Say what was left out, or stopped before its end."""
    found: list[str] = []
    for section, parts in results.items():
        reasons = {part["skipped"] for part in parts if "skipped" in part}
        if len(reasons) == 1 and all("skipped" in part for part in parts):
            found.append(f"{section}: skipped: {reasons.pop()}")
            continue
        for part in parts:
            found += [f"{section}: {note}" for note in part.get("notes", [])]
            found += [f"{section}: {part['part']}: skipped: {part['skipped']}"] if "skipped" in part else []
            for row in part.get("rows", []):
                found += [f"{section}: {part['part']}: {row['stopped']}"] if "stopped" in row else []
    return found


def kernels(results: Results) -> list[Table]:
    rows = rows_of(results, "kernels")
    names = [name for name in LIMITS if any(row["precision"] == name for row in rows)]
    limits = ", ".join(f"{name} {LIMITS[name]:g}" for name in names)
    table = plain(
        "kernels against float64: largest error / largest sum of absolute terms",
        *("family", "cases", *names, "failed"),
        caption=f"limits of a sum: {limits}. Failed: too far off, or other bits when run again.",
    )
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = {row["precision"]: row for row in rows if row["family"] == family}
        cells = [("-" if "refused" in mine[n] else f"{mine[n]['largest']:.0e}") if n in mine else "" for n in names]
        ran = [row for row in mine.values() if "refused" not in row]
        failed = sum(row["failures"] + row["other_bits"] for row in ran)
        table.add_row(family, str(sum(row["cases"] for row in ran)), *cells, str(failed))
    return [table] if rows else []


def networks(results: Results) -> list[Table]:
    table = plain(
        "one training step on GPU and CPU: largest relative differences",
        *("network", "precision", "loss", "weights", "steps of weights", "limits: loss, others"),
    )
    for row in rows_of(results, "networks"):
        found = [f"{row[name]:.1e}" for name in ("loss", "weights", "steps")]
        table.add_row(row["network"], row["precision"], *found, "{:g}, {:g}".format(*row["limits"]))
    return [table] if table.rows else []


def mnist(results: Results) -> list[Table]:
    columns = ("data", "test accuracy", "goal", "epochs", "seconds", "seconds of a later epoch")
    table = plain("trained on the GPU (the first epoch compiles kernels; seconds with testing)", *columns)
    for row in rows_of(results, "mnist"):
        later = sorted(row["seconds_of_later_epochs"])
        middle = number(later[len(later) // 2] if later else None)
        accuracy = f"{row['accuracy']:.4f}"
        table.add_row(row["data"], accuracy, str(row["goal"]), str(row["epochs"]), number(row["seconds"]), middle)
    return [table] if table.rows else []


def ceilings(results: Results) -> dict[str, float]:
    """Return TFLOP/s of large products by precision, and GB/s of a copy."""
    rows = [row for row in rows_of(results, "convolutions") if "ceiling" in row]
    return {row["ceiling"]: row["tflops"] if "tflops" in row else row["gb_per_s"] for row in rows}


def _measured(results: Results) -> list[dict[str, Any]]:
    return [row for row in rows_of(results, "convolutions") if "what" in row]


def _share(row: dict[str, Any], most: dict[str, float]) -> float | None:
    top = most.get(row["precision"] if "tflops" in row else "copy")
    return _rate(row) / top if top else None


def _rate(row: dict[str, Any]) -> float:
    return row["tflops"] if "tflops" in row else row["gb_per_s"]


def layers(results: Results) -> list[Table]:
    """Every layer that was timed: ratio, rate, share of the ceiling."""
    rows, most = _measured(results), ceilings(results)
    tables: list[Table] = []
    for kind, precision, batch in dict.fromkeys((r["kind"], r["precision"], r["batch"]) for r in rows):
        mine = [r for r in rows if (r["kind"], r["precision"], r["batch"]) == (kind, precision, batch)]
        whats = list(dict.fromkeys(row["what"] for row in mine))
        unit = "TFLOP/s" if "tflops" in mine[0] else "GB/s"
        title = f"{kind}, {precision}, batch {batch}: PyTorch/ours, {unit}, share of the ceiling"
        table = plain(title, "layer", *whats)
        for layer in dict.fromkeys(row["layer"] for row in mine):
            cells: list[str] = []
            for row in (row for row in mine if row["layer"] == layer):
                cells.append(f"{number(ratio(row))} {_rate(row):7.1f} {number(_share(row, most), '5.0%')}")
            table.add_row(layer, *cells)
        tables.append(table)
    return tables


def means(results: Results) -> list[Table]:
    """Geometric means for each kind and precision, over layers and batch sizes, beside the targets."""
    rows, most = _measured(results), ceilings(results)
    columns = ("kind", "precision", "forward", "input grad.", "kernel grad.", "all", "target", "timed")
    ceiling = ", ".join(f"{name} {rate:.0f} {'GB/s' if name == 'copy' else 'TFLOP/s'}" for name, rate in most.items())
    table = plain("PyTorch's best / ours, geometric means (above 1: gpudl is faster)", *columns)
    table.caption = f"ceilings measured: {ceiling}. The target of max pooling is its gradient's." if most else None
    for kind, precision in dict.fromkeys((row["kind"], row["precision"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["precision"]) == (kind, precision)]
        convolves = "tflops" in mine[0]
        whats = ("forward", "input gradient", "kernel gradient") if convolves else ("forward", "gradient")
        by_what = [geometric_mean([r for row in mine if row["what"] == what and (r := ratio(row))]) for what in whats]
        cells = [number(mean) for mean in by_what] + ([] if convolves else [""])
        every = number(geometric_mean([r for row in mine if (r := ratio(row))]))
        target = number(TARGETS.get((kind, precision), TARGETS.get((kind, "gradient"))))
        table.add_row(kind, precision, *cells, every, target, str(len(mine)))
    return [table] if rows else []


def bandwidths(results: Results) -> list[Table]:
    rows, top = [row for row in _measured(results) if "gb_per_s" in row], ceilings(results).get("copy")
    table = plain("bound by the memory: GB/s, share of a copy on the device", "kind", "forward", "gradient")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        cells: list[str] = []
        for what in ("forward", "gradient"):
            mean = geometric_mean([row["gb_per_s"] for row in rows if (row["kind"], row["what"]) == (kind, what)])
            cells.append(f"{number(mean, '.0f')} {number(mean / top if mean and top else None, '5.0%')}")
        table.add_row(kind, *cells)
    return [table] if rows else []


def steps(results: Results) -> list[Table]:
    columns = ("network", "precision", "gpudl", "eager", "channels last", "compiled", "best / gpudl")
    table = plain("training step with Adam, ms", *columns)
    for row in rows_of(results, "steps"):
        ms = row["ms"]
        cells = [number(ms.get(name), ".3f") for name in ("gpudl", "contiguous", "channels last", "compiled")]
        best = best_of_theirs(row)
        table.add_row(row["network"], row["precision"], *cells, number(best / ms["gpudl"] if best else None))
    return [table] if table.rows else []


def launches(results: Results) -> list[Table]:
    rows = rows_of(results, "launches")
    table = plain("one call on tiny arrays, microseconds", "", "relu", "add", "dense", "conv2d")
    for who in dict.fromkeys(row["who"] for row in rows):
        mine = {row["op"]: row["microseconds"] for row in rows if row["who"] == who}
        table.add_row(who, *(number(mine.get(op), ".1f") for op in ("relu", "add", "dense", "conv2d")))
    return [table] if rows else []


def tiles(results: Results) -> list[Table]:
    rows = rows_of(results, "tiles")
    columns = ("direction", "precision", "chosen / best", "worst", "128x64, found / expected", "64x64")
    table = plain(
        "tiles of convolutions: what the choice takes; what others take beside 128x128, found / expected", *columns
    )
    for what, precision in dict.fromkeys((row["what"], row["precision"]) for row in rows):
        mine = [row for row in rows if (row["what"], row["precision"]) == (what, precision)]
        lost = [row["ms"][row["chosen"]] / min(row["ms"].values()) for row in mine]
        cells = [number(geometric_mean(lost)), number(max(lost))]
        for label in ("128x64", "64x64"):
            both = [row for row in mine if "128x128" in row["ms"] and label in row["ms"]]
            a, b = ([row["ms"][name] / row["expected"][name] for row in both] for name in (label, "128x128"))
            cells.append(number(geometric_mean([x / y for x, y in zip(a, b, strict=True)])))
        table.add_row(what, precision, *cells)
    return [table] if rows else []


def first_of(lines: list[str], most: int = 12) -> list[str]:
    """Return the first lines, and how many more there are."""
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most} more, in gpu_check.json"]


def text(report: dict[str, Any]) -> str:
    """Return all tables as text."""
    results: Results = {name: section["parts"] for name, section in report["sections"].items()}
    lines = [f"{name}: {value}" for name, value in report["machine"].items()]
    lines += [f"{report['date']}: {report['command']}"]
    if report["rehearsal"]:
        lines.append("A REHEARSAL ON THE CPU: nothing is timed, each time below is 1.")
    parts: list[RenderableType] = [*layers(results), *lines, ""]
    for table in (kernels, networks, mnist, means, bandwidths, steps, launches, tiles):
        parts += table(results)
    took = ", ".join(f"{name} {section['seconds']:.0f}" for name, section in report["sections"].items())
    parts.append(f"seconds: {took}")
    failed = failures_of(results, CHECKS)
    parts += first_of([f"note: {note}" for note in notes_of(results)])
    parts += first_of([f"not as it should be: {failure}" for failure in failures_of(results, SECTIONS[3:])])
    parts += first_of([f"FAILED: {failure}" for failure in failed])
    checked = [name for name in CHECKS if name in results]
    parts.append(f"checks ({', '.join(checked)}): {'FAILED' if failed else 'passed'}" if checked else "no checks asked")
    output = io.StringIO()
    console = Console(file=output, width=WIDTH, markup=False, highlight=False, color_system=None, emoji=False)
    for part in parts:
        if not isinstance(part, Table):
            console.print(part)
            continue
        title, caption, part.title, part.caption = part.title, part.caption, None, None  # not to be as narrow as it is
        for piece in (title, part, caption):
            if piece:
                console.print(piece)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"
