"""`gpudl data`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Data sets.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Data sets."""


@app.command("list")
def list_() -> None:
    """List the data sets, and where each is found."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from gpudl import registry

    table = Table("data set", "what it is", "state")
    for name, dataset in registry.table("datasets").items():
        table.add_row(name, escape(dataset.description), escape(dataset.status()))
    Console(highlight=False).print(table)
