"""An experiment: what one TOML file says, checked and with every default filled in."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from gpudl import registry
from gpudl.datasets import Dataset
from gpudl.errors import GpudlError, ShapeError, UsageError, did_you_mean
from gpudl.experiment.checking import Problems, build_block, check_block, check_settings, shown
from gpudl.experiment.positions import Path, dotted, line_numbers
from gpudl.experiment.schema import Setting, settings_of
from gpudl.models import Sequential

SECTIONS = ("run", "data", "model", "training", "optimizer", "callbacks")

RUN = (
    Setting("name", str, "experiment", None),
    Setting("seed", int, 0, None),
    Setting("device", str, "auto", None),
)
DATA = (
    Setting("dataset", str, ..., None),
    Setting("batch_size", int, 32, None),
    Setting("validation_split", float, 0.1, None),
    Setting("shuffle", bool, True, None),
)
TRAINING = (
    Setting("epochs", int, 1, None),
    Setting("loss", Any, ..., None),
    Setting("metrics", list[Any], [], None),
)


class Experiment:
    """A checked experiment file. `values` is the whole of it, defaults included; `source` says where it came from."""

    def __init__(self, values: dict[str, Any], problems: Problems, text: str) -> None:
        self.values = values
        self.problems = problems
        self.text = text

    @property
    def source(self) -> str:
        return self.problems.file

    def dataset(self) -> Dataset:
        """Return the data set that the file names."""
        return build_dataset(self.values["data"], self.problems)

    def model(self, sample_shape: Sequence[int] | None = None) -> Sequential:
        """Return the compiled model, built where the shape of a sample is known.

        Raises: UsageError with all that its layers' constructors refuse, or naming two layers that do not fit.
        """
        return build_model(self.values, sample_shape, self.problems)

    def callbacks(self) -> list[Any]:
        """Return the callbacks that the file lists."""
        return build_callbacks(self.values, self.problems)


def read(path: str, overrides: Sequence[str] = (), epochs: int | None = None, device: str | None = None) -> Experiment:
    """Read and check an experiment file. `overrides` are texts like `training.epochs=3`.

    Raises: UsageError listing all problems of the file, each with its key and line.
    """
    file = FilePath(path)
    if file.is_dir():
        raise UsageError(f"{path} is a folder; give a TOML file, as in examples/digits_cnn.toml")
    if not file.is_file():
        near = did_you_mean(file.name, [p.name for p in file.parent.glob("*.toml")] if file.parent.is_dir() else [])
        raise UsageError(f"{path}: there is no such file{near}")
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    problems = Problems(path, line_numbers(text))
    for override in overrides:
        _override(values, override, problems)
    if epochs is not None:
        _put(values, ("training", "epochs"), epochs, "--epochs", problems)
    if device is not None:
        _put(values, ("run", "device"), device, "--device", problems)
    checked = _check(values, problems)
    problems.raise_any()
    return Experiment(checked, problems, text)


def _override(values: dict[str, Any], override: str, problems: Problems) -> None:
    key, equals, written = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {override}: expected key=value, as in --set training.epochs=3")
    try:
        value = tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        value = written
    parts = key.strip().replace("[", ".").replace("]", "").split(".")
    path: Path = tuple(int(part) if part.isdigit() else part for part in parts)
    _put(values, path, value, f"--set {key.strip()}", problems)


def _put(values: dict[str, Any], path: Path, value: Any, origin: str, problems: Problems) -> None:
    target: Any = values
    for i, part in enumerate(path[:-1]):
        if isinstance(part, int):
            if not isinstance(target, list) or part >= len(target):
                has = f"has {len(target)} entries, counted from 0" if isinstance(target, list) else "is no list"
                raise UsageError(f"{origin}: {dotted(path[:i])} {has}")
            target = target[part]
        elif isinstance(target, dict):
            target = target.setdefault(part, {})
        else:
            raise UsageError(f"{origin}: {dotted(path[:i])} is no table")
    last = path[-1]
    try:
        target[last] = value
    except (TypeError, IndexError):
        raise UsageError(f"{origin}: there is no {dotted(path)} to set") from None
    problems.overridden[path] = origin


def _table(values: Mapping[str, Any], name: str, problems: Problems) -> dict[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        problems.add((name,), f"expected a table, [{name}], but got {shown(table)}")
        return {}
    return dict(table)


def _check(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name in values:
        if name not in SECTIONS:
            hint = did_you_mean(name, SECTIONS) or f"; there are {', '.join(SECTIONS)}"
            problems.add((name,), f"unknown section{hint}")
    for needed in ("data", "model", "training"):
        if needed not in values:
            problems.add((needed,), f"the section [{needed}] is missing")

    checked["run"] = run = check_settings("run", RUN, _table(values, "run", problems), ("run",), problems)
    if run["device"] not in ("auto", "cpu", "cuda"):
        problems.add(("run", "device"), f'expected "auto", "cpu" or "cuda", but got {shown(run["device"])}')
    if isinstance(run["seed"], int) and run["seed"] < 0:
        problems.add(("run", "seed"), f"expected an integer of at least 0, but got {run['seed']}")
    name = run["name"]
    if isinstance(name, str) and (not name or any(c in '/\\:*?"<>|' for c in name) or name.startswith(".")):
        problems.add(("run", "name"), f'"{name}" cannot be the name of a folder; use letters, digits, "-" and "_"')

    if "data" in values:
        checked["data"] = _check_data(_table(values, "data", problems), problems)
    if "model" in values:
        checked["model"] = _check_model(_table(values, "model", problems), problems)
    if "training" in values:
        checked["training"] = _check_training(_table(values, "training", problems), problems)

    optimizer = _table(values, "optimizer", problems) or {"type": "adam"}
    checked["optimizer"] = check_block("optimizers", optimizer, ("optimizer",), problems)
    callbacks = values.get("callbacks", [])
    if not isinstance(callbacks, list):
        problems.add(("callbacks",), f"expected tables, [[callbacks]], but got {shown(callbacks)}")
        callbacks = []
    checked["callbacks"] = [check_block("callbacks", c, ("callbacks", i), problems) for i, c in enumerate(callbacks)]
    return checked


def _check_data(table: dict[str, Any], problems: Problems) -> dict[str, Any]:
    settings = DATA
    if isinstance(table.get("dataset"), str):
        try:
            settings = (*DATA, *settings_of(registry.lookup("datasets", table["dataset"])))
        except GpudlError as error:
            problems.add(("data", "dataset"), str(error))
            table = {name: v for name, v in table.items() if name in {s.name for s in DATA}}
    elif "dataset" not in table:
        problems.add(("data",), f'needs "dataset": one of {", ".join(registry.table("datasets"))}')
        table = {name: v for name, v in table.items() if name in {s.name for s in DATA}}
    checked = check_settings("data", settings, table, ("data",), problems)
    size, share = checked["batch_size"], checked["validation_split"]
    if isinstance(size, int) and size < 1:
        problems.add(("data", "batch_size"), f"expected an integer of at least 1, but got {size}")
    if isinstance(share, (int, float)) and not 0 <= share < 1:
        problems.add(("data", "validation_split"), f"expected a number from 0 to below 1, but got {share}")
    return checked


def _check_model(table: dict[str, Any], problems: Problems) -> dict[str, Any]:
    for name in table:
        if name not in ("layers", "name"):
            problems.add(("model", name), f"model has no setting of that name{did_you_mean(name, ('layers', 'name'))}")
    layers = table.get("layers")
    if not isinstance(layers, list) or not layers:
        problems.add(("model",), "needs layers: one [[model.layers]] for each")
        return {"layers": []}
    checked: dict[str, Any] = {"name": table.get("name", "model")}
    checked["layers"] = [
        check_block("layers", layer, ("model", "layers", i), problems) for i, layer in enumerate(layers)
    ]
    names: dict[str, int] = {}
    for i, layer in enumerate(layers):
        called = layer.get("name") if isinstance(layer, dict) else None
        if isinstance(called, str):
            if called in names:
                problems.add(("model", "layers", i, "name"), f'"{called}" is the name of layer {names[called]} already')
            names.setdefault(called, i)
    return checked


def _check_training(table: dict[str, Any], problems: Problems) -> dict[str, Any]:
    if "loss" not in table:
        names = ", ".join(registry.table("losses"))
        problems.add(("training",), f'needs "loss": one of {names}')
    checked = check_settings("training", TRAINING, table, ("training",), problems)
    if isinstance(checked["epochs"], int) and checked["epochs"] < 0:
        problems.add(("training", "epochs"), f"expected an integer of at least 0, but got {checked['epochs']}")
    if "loss" in table:
        checked["loss"] = check_block("losses", table["loss"], ("training", "loss"), problems)
    if isinstance(checked["metrics"], list):
        checked["metrics"] = [
            check_block("metrics", metric, ("training", "metrics", i), problems)
            for i, metric in enumerate(checked["metrics"])
        ]
    return checked


def build_dataset(data: Mapping[str, Any], problems: Problems) -> Dataset:
    """Make the data set of a checked [data] table."""
    common = {setting.name for setting in DATA}
    own = {name: value for name, value in data.items() if name not in common}
    dataset = build_block("datasets", {"type": data["dataset"], **own}, ("data",), problems)
    problems.raise_any()
    return dataset


def build_model(values: Mapping[str, Any], sample_shape: Sequence[int] | None, problems: Problems) -> Sequential:
    """Make and compile the model of checked values."""
    layers, counts = [], dict[str, int]()
    for i, settings in enumerate(values["model"]["layers"]):
        named = copy.deepcopy(settings)
        if not named.get("name"):
            kind = named["type"]
            counts[kind] = counts.get(kind, -1) + 1
            named["name"] = f"{kind}_{counts[kind]}" if counts[kind] else kind
        layers.append(build_block("layers", named, ("model", "layers", i), problems))
    training = values["training"]
    loss = build_block("losses", training["loss"], ("training", "loss"), problems)
    optimizer = build_block("optimizers", values["optimizer"], ("optimizer",), problems)
    problems.raise_any()
    try:
        model = Sequential(layers, name=values["model"]["name"])
        if sample_shape is not None:
            model.build_for((None, *sample_shape))
    except ShapeError as error:
        failed = next((i for i, layer in enumerate(layers) if layer.name == getattr(error, "layer", None)), None)
        problems.add(("model", "layers") if failed is None else ("model", "layers", failed), str(error))
        problems.raise_any()
        raise
    except UsageError as error:
        problems.add(("model", "layers"), str(error))
        problems.raise_any()
        raise
    model.compile(optimizer, loss, training["metrics"])
    return model


def build_callbacks(values: Mapping[str, Any], problems: Problems) -> list[Any]:
    """Make the callbacks of checked values."""
    made = [build_block("callbacks", c, ("callbacks", i), problems) for i, c in enumerate(values["callbacks"])]
    problems.raise_any()
    return made
