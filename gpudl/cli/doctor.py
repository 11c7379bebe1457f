"""`gpudl doctor`: what this machine has, and what keeps a GPU from being used."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(doctor)


def doctor() -> None:
    """Show what gpudl finds on this machine: versions, driver, CuPy, GPU; and what to do where a GPU is not used."""
    import platform
    from importlib.metadata import version

    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from gpudl.backend.diagnosis import checks, why_no_gpu
    from gpudl.backend.numpy.workers import thread_count

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rows = [
        ("gpudl", version("gpudl")),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("NumPy", f"{np.__version__}, {thread_count()} threads"),
        *checks(),
    ]
    for name, found in rows:
        table.add_row(name, found)
    reason = why_no_gpu()
    table.add_row("trains on", "the GPU" if reason is None else "the CPU")
    console = Console(highlight=False, markup=False)
    console.print(table)
    if reason is not None:
        console.print(f"\nno GPU: {reason.problem}\nto mend it: {reason.remedy}", soft_wrap=True)
