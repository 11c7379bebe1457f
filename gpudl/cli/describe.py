"""`gpudl describe`: what can be written in an experiment file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gpudl.cli.train import Plugins


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(describe)


def describe(
    name: Annotated[str, typer.Argument(help="A layer, optimizer, loss, ... or a section: run, data, training.")],
    plugin: Plugins = None,
) -> None:
    """Show what a layer, an optimizer, a data set, ... does, and the settings it takes in an experiment file."""
    import inspect

    from rich.console import Console
    from rich.table import Table

    from gpudl import registry
    from gpudl.cli.plugins import load_files
    from gpudl.errors import UnknownNameError, did_you_mean
    from gpudl.experiment.experiment import SECTION_SETTINGS
    from gpudl.experiment.schema import settings_of
    from gpudl.hookspecs import KINDS
    from gpudl.registry import singular

    load_files(plugin)
    found: list[tuple[str, str, Any]] = []
    if name in SECTION_SETTINGS:
        found.append(("section", f"The section [{name}] of an experiment file.", SECTION_SETTINGS[name]))
    for kind in KINDS:
        item = registry.table(kind).get(name)
        if item is not None and kind != "commands":
            found.append((singular(kind), inspect.getdoc(item) or "", settings_of(item)))
    if not found:
        known = sorted({*SECTION_SETTINGS, *(name for kind in KINDS for name in registry.table(kind))})
        raise UnknownNameError(
            f'nothing is called "{name}"{did_you_mean(name, known)}; gpudl plugins list shows all names'
        )
    console = Console(highlight=False)
    for kind, text, settings in found:
        console.print(f"[bold]{name}[/bold] ({kind})\n")
        for paragraph in text.split("\n\n"):
            console.print(" ".join(paragraph.split()), markup=False)
        table = Table("setting", "takes", "default")
        for setting in settings:
            default = (
                "needed" if setting.required else "" if setting.default in (None, ...) else _written(setting.default)
            )
            table.add_row(setting.name, setting.expected, default)
        if settings:
            console.print(table)
        console.print()


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)
