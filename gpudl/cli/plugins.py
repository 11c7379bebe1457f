"""`gpudl plugins`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Plugins: layers, activations and more that others wrote.", no_args_is_help=True)


def load_files(files: list[str] | None) -> None:
    """Load what --plugin names."""
    if files:
        from gpudl.plugins.manager import manager

        for file in files:
            manager().add_file(file)


@app.callback()
def group() -> None:
    """Plugins: layers, activations and more that others wrote."""


@app.command("list")
def list_(
    plugin: Annotated[list[str] | None, typer.Option("--plugin", metavar="FILE", help="Load a plugin file.")] = None,
) -> None:
    """List the plugins and what each registers."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from gpudl import registry
    from gpudl.hookspecs import KINDS
    from gpudl.plugins.manager import manager

    load_files(plugin)
    table = Table("plugin", "from", "registers")
    for found in manager().plugins:
        lines = [f"[red]skipped: {escape(found.error)}[/red]"] if found.error else []
        for kind in KINDS:
            names = [name for name in registry.table(kind) if registry.owner(kind, name) == found.name]
            if names:
                lines.append(f"[bold]{kind}[/bold]: {', '.join(names)}")
        table.add_row(escape(f"{found.name} {found.version}".strip()), escape(found.source), "\n".join(lines))
    Console(highlight=False).print(table)
