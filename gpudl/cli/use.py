"""`gpudl evaluate`, `gpudl predict`, `gpudl summary`: what to do with a trained network."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gpudl.cli.train import Plugins

RunOrModel = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run folder or a .safetensors file.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(evaluate)
    app.command()(predict)
    app.command()(summary)


def evaluate(run_or_model: RunOrModel, plugin: Plugins = None) -> None:
    """Evaluate a trained network on the validation and test data of its run."""
    from gpudl.cli.plugins import load_files
    from gpudl.experiment.run import evaluate as run

    load_files(plugin)
    for part, values in run(run_or_model).items():
        typer.echo(f"{part:<11}" + "  ".join(f"{name} {value:.4f}" for name, value in values.items()))


def predict(
    run_or_model: RunOrModel,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Samples: a .npy file, or a .npz file with an array x.")],
    out: Annotated[str | None, typer.Option(metavar="FILE.npy", help="Write the outputs there instead.")] = None,
    plugin: Plugins = None,
) -> None:
    """Print what a trained network makes of samples: class and probability, or the outputs."""
    import numpy as np

    from gpudl.cli.plugins import load_files
    from gpudl.experiment.inputs import read_samples, write_outputs
    from gpudl.experiment.run import find_model
    from gpudl.models import load_model

    load_files(plugin)
    model = load_model(find_model(run_or_model))
    outputs = model.predict(read_samples(file, model.sample_shape), batch_size=256)
    if out is not None:
        write_outputs(out, outputs)
        typer.echo(f"saved      {out}  {outputs.shape}")
        return
    if outputs.ndim == 2 and outputs.shape[1] > 1 and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        typer.echo("sample\tclass\tprobability")
        for i, row in enumerate(outputs):
            chosen = int(row.argmax())
            typer.echo(f"{i}\t{model.class_names[chosen] if model.class_names else chosen}\t{row.max():.4f}")
    else:
        typer.echo("sample\toutput")
        for i, row in enumerate(outputs.reshape(len(outputs), -1)):
            typer.echo(f"{i}\t" + "\t".join(f"{value:.6g}" for value in row))


def summary(
    file_or_model: Annotated[str, typer.Argument(help="An experiment file, a run folder or a .safetensors file.")],
    plugin: Plugins = None,
) -> None:
    """Show the layers of a network: output shapes, parameters, multiply-adds."""
    from gpudl.cli.plugins import load_files

    load_files(plugin)
    model: Any
    if file_or_model.endswith(".toml"):
        from gpudl.experiment.experiment import read
        from gpudl.experiment.run import load_data, sample_shape

        experiment = read(file_or_model)
        shape = sample_shape(experiment)
        model = experiment.model(sample_shape(experiment, load_data(experiment)) if shape is None else shape)
    else:
        from gpudl.experiment.run import find_model
        from gpudl.models import load_model

        model = load_model(find_model(file_or_model), compile=False)
    model.summary()
