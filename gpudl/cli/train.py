"""`gpudl train`."""

from __future__ import annotations

from typing import Annotated

import typer

Plugins = Annotated[list[str] | None, typer.Option("--plugin", metavar="FILE", help="Load a plugin from a file.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(train)


def train(
    file: Annotated[str, typer.Argument(help="The experiment, a TOML file; or the folder of an interrupted run.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in --set optimizer.learning_rate=0.01."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Change the number of epochs.")] = None,
    device: Annotated[str | None, typer.Option(help='Where to train: "auto", "cpu" or "cuda".')] = None,
    run_dir: Annotated[str | None, typer.Option(metavar="DIR", help="The run folder; default runs/NAME/TIME.")] = None,
    plugin: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, show the network, train nothing.")
    ] = False,
) -> None:
    """Train the network of an experiment file, evaluate it and save it."""
    from pathlib import Path

    from gpudl.cli.plugins import load_files
    from gpudl.errors import UsageError
    from gpudl.experiment.experiment import read
    from gpudl.experiment.run import dry_run as check
    from gpudl.experiment.run import plugin_options, resume
    from gpudl.experiment.run import train as run

    load_files(plugin)
    if Path(file).is_dir():
        given = {
            "--set": bool(set_), "--epochs": epochs is not None, "--device": device is not None,
            "--run-dir": run_dir is not None, "--dry-run": dry_run,
        }  # fmt: skip
        for option in [option for option, is_given in given.items() if is_given]:
            raise UsageError(
                f"{option} does not go with the run folder {file}: a run continues as it began; "
                f"leave {option} out, or give its file, {Path(file) / 'experiment.toml'}, to train anew"
            )
        folder = resume(Path(file), typer.echo)
    else:
        experiment = read(file, set_ or [], epochs, device)
        if dry_run:
            check(experiment).summary()
            typer.echo(f"{file}: nothing is wrong; without --dry-run this network is trained")
            return
        folder = run(experiment, run_dir, typer.echo)
    typer.echo(f"saved      {folder}")
    typer.echo(f"next       gpudl evaluate {folder}{plugin_options()}")
    typer.echo(f"           gpudl predict {folder} FILE.npy{plugin_options()}")
