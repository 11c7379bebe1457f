"""From the checked [[model.layers]] of an experiment to a compiled model.

Layers follow one another, which makes a Sequential; as soon as one of them says `inputs = [...]`, or [model] says
`outputs = [...]`, they are a graph: layers may be listed in any order, and share inputs. A table that says
`shares = "name"` in the place of a type calls the layer of that name once more, with the same weights.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from gpudl import registry
from gpudl.errors import ShapeError, did_you_mean
from gpudl.experiment.checking import Problems, build_block, shown
from gpudl.experiment.positions import Path
from gpudl.layers import Input, InputLayer, Layer
from gpudl.models import Model, Sequential
from gpudl.shapes import shown as shape_shown

SAMPLES = "input"
"""What the samples are called in `inputs = [...]` where no layer of type input names them."""

SampleShape = Sequence[int] | Mapping[str, Sequence[int]]
"""The shape of one sample; where a sample has several parts, theirs by name."""


def is_graph(model: Mapping[str, Any]) -> bool:
    """Whether the layers of a [model] are more than a chain."""
    tables = [layer for layer in model["layers"] if isinstance(layer, dict)]
    return bool(model.get("outputs")) or any("inputs" in table or "shares" in table for table in tables)


def check_wiring(layers: Sequence[Any], outputs: Any, problems: Problems) -> None:
    """See that `inputs` and `outputs` name layers, and that no layer waits for itself; what is wrong is a problem."""
    tables = [layer if isinstance(layer, dict) else {} for layer in layers]
    names = [table.get("name") for table in tables]
    known = [name for name in names if isinstance(name, str)]
    if not any(_is_input(table) for table in tables):
        known.append(SAMPLES)
    for i, table in enumerate(tables):
        if "shares" in table:
            owners = [names[j] for j, other in enumerate(tables) if not ("shares" in other or _is_input(other))]
            path = ("model", "layers", i, "shares")
            _check_names([table["shares"]], [name for name in owners if isinstance(name, str)], path, problems)
        if "inputs" not in table:
            continue
        path: Path = ("model", "layers", i, "inputs")
        _check_names(table["inputs"], known, path, problems)
        if _is_input(table):
            problems.add(path, "an input takes its samples from the data set; it cannot have inputs")
    if outputs is not None:
        _check_names(outputs, known, ("model", "outputs"), problems)
    if problems.found:
        return
    after = [_sources(i, tables) for i in range(len(tables))]
    positions = {name: i for i, name in enumerate(names) if isinstance(name, str)}
    for i in range(len(tables)):
        circle = _circle(i, after, positions)
        if circle:
            way = " -> ".join(str(names[j] or f"layer {j}") for j in circle)
            problems.add(("model", "layers", i, "inputs"), f"the layers wait for one another in a circle: {way}")
            return


def _is_input(table: Mapping[str, Any]) -> bool:
    return str(table.get("type")).lower() in ("input", "inputlayer", "input_layer")


def _check_names(given: Any, known: Sequence[str], path: Path, problems: Problems) -> None:
    if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
        problems.add(path, f"expected a list of names of layers, but got {shown(given)}")
        return
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; layers with a name are {', '.join(known) or 'none'}"
            problems.add(path, f'there is no layer named "{name}"{hint}')


def _sources(i: int, tables: Sequence[Mapping[str, Any]]) -> list[str | int]:
    """What layer i is called on: names, or the position of the layer above it; nothing for an input."""
    table = tables[i]
    if _is_input(table):
        return []
    if "inputs" in table:
        return list(table["inputs"])
    return [i - 1] if i else [SAMPLES]


def _circle(start: int, after: list[list[str | int]], positions: Mapping[str, int]) -> list[int]:
    """Return the layers on a way from a layer back to itself, or nothing."""
    ways = [[start]]
    seen: set[int] = set()
    while ways:
        way = ways.pop()
        for source in after[way[-1]]:
            i = positions.get(source, -1) if isinstance(source, str) else source
            if i == start:
                return [*way, start]
            if i >= 0 and i not in seen:
                seen.add(i)
                ways.append([*way, i])
    return []


def build_model(values: Mapping[str, Any], sample_shape: SampleShape | None, problems: Problems) -> Model:
    """Make and compile the model of checked values.

    Raises: UsageError with all that its layers' constructors refuse, or naming two layers that do not fit.
    """
    settings = [dict(x) if isinstance(x, dict) else {"type": x} for x in values["model"]["layers"]]
    names = {table.get("name") for table in settings}
    for table in settings:
        if not table.get("name"):
            kind = table["shares"] if "shares" in table else registry.snake_case(table["type"])
            free = (name for count in itertools.count() if (name := f"{kind}_{count}" if count else kind) not in names)
            table["name"] = next(free)
            names.add(table["name"])
    owners = {
        table["name"]: build_block(
            "layers", {k: copy.deepcopy(v) for k, v in table.items() if k != "inputs"}, _path(i), problems
        )
        for i, table in enumerate(settings)
        if "shares" not in table
    }
    layers = [owners[table.get("shares", table["name"])] for table in settings]
    training = values["training"]
    loss = build_by_output("losses", training["loss"], ("training", "loss"), problems)
    optimizer = build_block("optimizers", values["optimizer"], ("optimizer",), problems)
    problems.raise_any()
    if is_graph(values["model"]):
        model = _graph(values, settings, layers, sample_shape, problems)
    else:
        model = _chain(values, layers, sample_shape, problems)
    weights, metrics = training["loss_weights"], training["metrics"]
    # One after the other, so that each mistake is told at its own line.
    with problems.catching(("training", "loss")):
        model.compile(optimizer, loss)
    with problems.catching(("training", "loss_weights")):
        model.compile(optimizer, loss, loss_weights=weights)
    with problems.catching(("training", "metrics")):
        model.compile(optimizer, loss, loss_weights=weights, metrics=metrics)
    return model


def _path(i: int) -> Path:
    return ("model", "layers", i)


def build_by_output(kind: str, value: Any, path: Path, problems: Problems) -> Any:
    """Make one block, or a table of blocks by the name of the output each is for."""
    if isinstance(value, dict) and "type" not in value:
        return {name: build_block(kind, block, (*path, name), problems) for name, block in value.items()}
    return build_block(kind, value, path, problems)


def _chain(
    values: Mapping[str, Any], layers: Sequence[Layer], sample_shape: SampleShape | None, problems: Problems
) -> Sequential:
    model = Sequential(name=values["model"]["name"])
    for i, layer in enumerate(layers):
        with problems.catching(_path(i)):
            if i == 0 and isinstance(sample_shape, Mapping):
                raise ShapeError(
                    f"the samples have parts, {', '.join(sample_shape)}; give each a layer of type input with that "
                    "name, and say with inputs = [...] which layer takes which"
                )
            model.add(layer)
            if i == 0 and sample_shape is not None and not isinstance(sample_shape, Mapping):
                model.build((None, *sample_shape))
                if model.sample_shape != tuple(sample_shape):
                    raise _misfit(layer, model.sample_shape or (), sample_shape, values)
    return model


def _misfit(layer: Layer, wanted: Sequence[int | None], given: Sequence[int], values: Mapping[str, Any]) -> ShapeError:
    return ShapeError(
        f"{layer} is for samples of shape {shape_shown(wanted)}, but those of the data set "
        f'"{values["data"]["dataset"]}" have shape {shape_shown(tuple(given))}'
    )


def _graph(
    values: Mapping[str, Any],
    settings: Sequence[Mapping[str, Any]],
    layers: Sequence[Layer],
    sample_shape: SampleShape | None,
    problems: Problems,
) -> Model:
    """Call the layers on one another, each as soon as all it takes is there."""
    made: dict[str | int, Any] = {}
    inputs: list[Any] = []
    for i, layer in enumerate(layers):
        if isinstance(layer, InputLayer):
            inputs.append(layer.output)
            made[i] = made[layer.name] = layer.output
            given = sample_shape.get(layer.name) if isinstance(sample_shape, Mapping) else sample_shape
            wanted = layer.output.shape[1:]
            if given is not None and tuple(given) != wanted:
                with problems.catching(_path(i)):
                    raise _misfit(layer, wanted, given, values)
    if not inputs:
        with problems.catching(("model",)):
            if sample_shape is None or isinstance(sample_shape, Mapping):
                parts = f" ({', '.join(sample_shape)})" if isinstance(sample_shape, Mapping) else ""
                raise ShapeError(
                    f"the shape of the samples is not one{parts}; list a layer of type input, with name and shape, for "
                    "each part of a sample"
                )
            inputs.append(Input(tuple(sample_shape), name=SAMPLES))
            made[SAMPLES] = inputs[0]
    waiting = [i for i, layer in enumerate(layers) if not isinstance(layer, InputLayer)]
    while waiting:
        for i in waiting:
            sources = _sources(i, settings)
            if all(source in made for source in sources):
                with problems.catching(_path(i)):
                    given = [made[source] for source in sources]
                    made[i] = made[settings[i]["name"]] = layers[i](given[0] if len(given) == 1 else given)
                waiting.remove(i)
                break
        else:
            raise AssertionError("check_wiring lets no layer wait for ever")
    outputs = [made[name] for name in values["model"]["outputs"] or [settings[-1]["name"]]]
    with problems.catching(("model",)):
        model = Model(
            inputs[0] if len(inputs) == 1 else inputs,
            outputs[0] if len(outputs) == 1 else outputs,
            name=values["model"]["name"],
        )
        for i, layer in enumerate(layers):
            if not any(layer is other for other in model.layers):
                problems.add(
                    _path(i), f"{layer} leads to no output: no other layer takes it; name it in inputs or in outputs"
                )
        problems.raise_any()
        return model
    raise AssertionError("catching raises")
