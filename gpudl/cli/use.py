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
    from gpudl.callbacks.progress import values_line
    from gpudl.cli.plugins import load_files
    from gpudl.experiment.run import evaluate as run

    load_files(plugin)
    for part, values in run(run_or_model).items():
        typer.echo(f"{part:<11}{values_line(values)}")


def predict(
    run_or_model: RunOrModel,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Samples: a .npy file, or a .npz file with an array x, or one for each input of the network.",
        ),
    ],
    out: Annotated[
        str | None, typer.Option(metavar="FILE.npy", help="Write the outputs there instead; several as a .npz file.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Print what a trained network makes of samples: class and probability, or the outputs."""
    from gpudl.cli.plugins import load_files
    from gpudl.experiment.inputs import read_inputs, write_outputs
    from gpudl.experiment.run import find_model
    from gpudl.models import load_model

    load_files(plugin)
    model = load_model(find_model(run_or_model))
    outputs = model.predict(read_inputs(file, model), batch_size=256)
    if isinstance(outputs, (list, tuple)):
        outputs = dict(zip(model.output_names, outputs, strict=True))
    if out is not None:
        write_outputs(out, outputs)
        shapes = {name: y.shape for name, y in outputs.items()} if isinstance(outputs, dict) else outputs.shape
        typer.echo(f"saved      {out}  {shapes}")
    elif isinstance(outputs, dict):
        for name, values in outputs.items():
            typer.echo(f"output {name}")
            _print_table(values, None)
    else:
        _print_table(outputs, model.class_names)


def _print_table(outputs: Any, class_names: tuple[str, ...] | None) -> None:
    """Print class and probability of each sample where the outputs are probabilities, and else the outputs."""
    import numpy as np

    if outputs.ndim == 2 and outputs.shape[1] > 1 and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        typer.echo("sample\tclass\tprobability")
        for i, row in enumerate(outputs):
            chosen = int(row.argmax())
            typer.echo(f"{i}\t{class_names[chosen] if class_names else chosen}\t{row.max():.4f}")
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
