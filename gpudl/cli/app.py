"""The Typer app: options common to all commands, and what a person sees when something goes wrong."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from gpudl.cli import data, describe, doctor, plugins, train, use
from gpudl.errors import GpudlError, Interrupted, PluginError, TrainingError

app = typer.Typer(
    name="gpudl",
    help="Train neural networks from one TOML file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"gpudl {version('gpudl')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Fail where a plugin cannot be imported, instead of skipping it.")
    ] = False,
) -> None:
    """Options that stand before the command."""


train.add_to(app)
use.add_to(app)
describe.add_to(app)
doctor.add_to(app)
app.add_typer(plugins.app, name="plugins")
app.add_typer(data.app, name="data")


OWN_COMMANDS = tuple(app.registered_commands)


def add_plugin_commands(strict: bool) -> None:
    """Add what plugins register through `register_commands`. Raises: PluginError where gpudl has such a command."""
    from gpudl import registry
    from gpudl.plugins import manager

    manager.start(strict)
    app.registered_commands[:] = OWN_COMMANDS
    own = {getattr(command.callback, "__name__", "") for command in OWN_COMMANDS}
    own |= {group.name for group in app.registered_groups}
    for name, function in registry.table("commands").items():
        if name in own:
            owner = registry.owner("commands", name)
            raise PluginError(
                f'commands: the name "{name}" is registered by {owner}, but gpudl has it already; rename the one of '
                f"{owner}"
            )
        app.command(name.replace("_", "-"), rich_help_panel="Plugins")(function)


def _common_first(arguments: list[str]) -> list[str]:
    """Put the options common to all commands before the command, wherever they were written."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    common = [a for a in arguments[:end] if a in ("--debug", "--strict-plugins")]
    return [*common, *(a for a in arguments[:end] if a not in common), *arguments[end:]]


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Say a warning as errors are said: in one line, without the line of code it came from."""
    typer.secho("warning: ", fg=typer.colors.YELLOW, bold=True, nl=False, err=True)
    typer.echo(str(message), err=True)


def run(arguments: list[str]) -> int:
    """Run the app on these arguments and return the exit code; errors become one message on stderr."""
    arguments = _common_first(arguments)
    debug = "--debug" in arguments
    try:
        add_plugin_commands("--strict-plugins" in arguments)
        with warnings.catch_warnings():  # of NumPy's arithmetic: what comes of it is reported as divergence
            warnings.filterwarnings("ignore", ".* encountered in ", RuntimeWarning)
            warnings.showwarning = _show_warning
            result: Any = app(args=arguments, standalone_mode=False)
        if result == 130:  # what Typer makes of KeyboardInterrupt
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except GpudlError as error:
        if debug:
            traceback.print_exc()
        color = typer.colors.YELLOW if isinstance(error, Interrupted) else typer.colors.RED
        label = "interrupted" if isinstance(error, Interrupted) else "error"
        typer.secho(f"{label}: ", fg=color, bold=True, nl=False, err=True)
        typer.echo(str(error), err=True)
        return error.exit_code
    except MemoryError as error:
        if debug:
            traceback.print_exc()
        typer.secho("error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
        needed = str(error) or "the system gave no more"
        typer.echo(f"out of memory: {needed}; make the layers or data.batch_size smaller", err=True)
        return TrainingError.exit_code
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.secho("interrupted: ", fg=typer.colors.YELLOW, bold=True, nl=False, err=True)
        typer.echo("stopped at once; nothing is saved of the epoch under way", err=True)
        return 130
    except Exception as error:
        show = getattr(error, "show", None)
        if show is not None and hasattr(error, "exit_code"):  # a mistake on the command line, which Typer words
            show(file=sys.stderr)
            return 2
        if debug:
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        typer.secho("error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
        typer.echo(
            f"{last.filename}:{last.lineno}: {type(error).__name__}: {error}\n"
            "This is a bug in gpudl or a plugin; --debug shows the way there.",
            err=True,
        )
        return 1
