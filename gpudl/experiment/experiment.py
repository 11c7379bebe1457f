"""An experiment: what one TOML file says, checked and with every default filled in."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, cast

from gpudl import registry
from gpudl.datasets import Dataset
from gpudl.errors import GpudlError, UsageError, did_you_mean
from gpudl.experiment.checking import Problems, build_block, check_block, check_settings, is_number, shown
from gpudl.experiment.network import SampleShape, build_by_output, build_model, check_wiring, is_graph
from gpudl.experiment.positions import Path, dotted, line_numbers
from gpudl.experiment.schema import Setting, settings_of
from gpudl.models import Model

SECTIONS = ("run", "data", "model", "training", "optimizer", "callbacks")

RUN = (
    Setting("name", str, "experiment", None),
    Setting("seed", int, 0, None),
    Setting("device", str, "auto", None),
)
DATA = (
    Setting("dataset", str, ..., None, "the name of a dataset"),
    Setting("batch_size", int, 32, None),
    Setting("validation_split", float, 0.1, None),
    Setting("shuffle", bool, True, None),
)
TRAINING = (
    Setting("epochs", int, 1, None),
    Setting("loss", Any, ..., None, 'the name of a loss, a table with "type", or a table of losses by output'),
    Setting("loss_weights", Any, None, None, "a list of numbers, one for each output, or a table of them by output"),
    Setting(
        "metrics", Any, [], None, 'a list of names of metrics, or of tables with "type"; or a table of them by output'
    ),
)


MODEL = (
    Setting("name", str, "model", None),
    Setting("outputs", list[str], None, None, "a list of names of layers"),
)
SECTION_SETTINGS = {"run": RUN, "data": DATA, "model": MODEL, "training": TRAINING}


class Experiment:
    """A checked experiment file. `values` is the whole of it, defaults included; `source` says where it came from."""

    def __init__(self, values: dict[str, Any], problems: Problems) -> None:
        self.values = values
        self.problems = problems

    @property
    def source(self) -> str:
        return self.problems.file

    def dataset(self) -> Dataset:
        """Return the data set that the file names."""
        return build_dataset(self.values["data"], self.problems)

    def model(self, sample_shape: SampleShape | None = None) -> Model:
        """Return the compiled model, built where the shape of a sample is known.

        Raises: UsageError with all that its layers' constructors refuse, or naming two layers that do not fit.
        """
        return build_model(self.values, sample_shape, self.problems)

    def callbacks(self, folder: FilePath | None = None) -> list[Any]:
        """Return the callbacks that the file lists; what they write under relative paths goes into `folder`."""
        return build_callbacks(self.values, self.problems, folder)


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
        text = file.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start}); expected an experiment in TOML"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, an endless integer, thousands of brackets
        raise UsageError(_not_toml(path, str(error))) from None
    problems = Problems(path, line_numbers(text))
    for override in overrides:
        _override(values, override, problems)
    if epochs is not None:
        _put(values, ("training", "epochs"), epochs, "--epochs", problems)
    if device is not None:
        _put(values, ("run", "device"), device, "--device", problems)
    if isinstance(values.get("run", {}), dict) and re.fullmatch(r"[\w-][\w. -]*", file.stem):
        values["run"] = {"name": file.stem, **values.get("run", {})}
    checked = _check(values, problems)
    _try_out(checked, problems)
    problems.raise_any()
    return Experiment(checked, problems)


def _not_toml(path: str, message: str) -> str:
    """Word what the TOML parser says, with the line where other messages have it, and what people often mean."""
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    hint = ""
    if "'model', 'layers'" in message:
        hint = "; write [[model.layers]], with two brackets, for each layer"
    elif message.startswith(("Invalid value", "Expected newline or end of document after a statement")):
        hint = '; texts stand in quotes, as in type = "dense", and decimals have a point'
    elif message.startswith("Illegal character '\\n'"):
        hint = "; a quote is missing at the end of the line"
    if place is None:
        return f"{path}: not valid TOML: {message}{hint}"
    return f"{path}:{place[1]}: not valid TOML: {message[: place.start()]} (column {place[2]}){hint}"


def _override(values: dict[str, Any], override: str, problems: Problems) -> None:
    key, equals, written = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {override}: expected key=value, as in --set training.epochs=3")
    try:
        parsed = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError):
        parsed = {}
    value = parsed["value"] if len(parsed) == 1 else written
    parts = key.strip().replace("[", ".").replace("]", "").split(".")
    if not all(parts):
        raise UsageError(f"--set {override}: a name is missing between the dots; expected a key as in training.epochs")
    path: Path = tuple(int(part) if re.fullmatch(r"-?[0-9]+", part) else part for part in parts)
    _put(values, path, value, f"--set {key.strip()}", problems)


def _put(values: dict[str, Any], path: Path, value: Any, origin: str, problems: Problems) -> None:
    target: Any = values
    for i, part in enumerate(path):
        above = dotted(path[:i]) or "the experiment"
        if isinstance(target, list):
            if not isinstance(part, int):
                raise UsageError(
                    f'{origin}: {above} is a list, which has no "{part}"; choose an entry, as in {above}[0].{part}'
                )
            if not 0 <= part < len(target):
                entries = "1 entry" if len(target) == 1 else f"{len(target)} entries"
                raise UsageError(f"{origin}: {above} has {entries}, counted from 0; there is no {above}[{part}]")
        elif not isinstance(target, dict):
            raise UsageError(f"{origin}: {above} is {shown(target)}, not a table; it has no settings of its own")
        elif isinstance(part, int):
            raise UsageError(f"{origin}: {above} is a table, not a list; expected the name of a setting, not {part}")
        holder = cast(Any, target)  # a list with an index, or a table with a name
        if i == len(path) - 1:
            holder[part] = value
        else:
            target = holder[part] if isinstance(part, int) else holder.setdefault(part, {})
    problems.overridden[path] = origin


def _table(values: Mapping[str, Any], name: str, problems: Problems) -> dict[str, Any] | None:
    """Return a section; None where it is missing, or is no table, which is a problem."""
    table = values.get(name)
    if name in values and not isinstance(table, Mapping):
        problems.add((name,), f"expected a table, [{name}], but got {shown(table)}")
    return dict(table) if isinstance(table, Mapping) else None


def _check(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name in values:
        if name not in SECTIONS:
            hint = did_you_mean(name, SECTIONS) or f"; there are {', '.join(SECTIONS)}"
            problems.add((name,), f"unknown section{hint}")
    for needed in ("data", "model", "training"):
        if needed not in values:
            problems.add((needed,), f"the section [{needed}] is missing")

    checked["run"] = run = check_settings("[run]", RUN, _table(values, "run", problems) or {}, ("run",), problems)
    if run["device"] not in ("auto", "cpu", "cuda"):
        problems.add(("run", "device"), f'expected "auto", "cpu" or "cuda", but got {shown(run["device"])}')
    if is_number(run["seed"], int) and run["seed"] < 0:
        problems.add(("run", "seed"), f"expected an integer of at least 0, but got {run['seed']}")
    name = run["name"]
    if isinstance(name, str):
        forbidden = any(c in '/\\:*?"<>|' or not c.isprintable() for c in name)
        if not name.strip() or forbidden or name.startswith(".") or len(name.encode()) > 200:
            written = json.dumps(name, ensure_ascii=False)
            problems.add(("run", "name"), f'{written} cannot be the name of a folder; use letters, digits, "-" and "_"')

    for section, check in (("data", _check_data), ("model", _check_model), ("training", _check_training)):
        table = _table(values, section, problems)
        if table is not None:
            checked[section] = check(table, problems)

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
        for name in table.keys() - {s.name for s in DATA}:
            if near := did_you_mean(name, [s.name for s in DATA]):
                problems.add(("data", name), f"[data] has no setting of that name{near}")
        table = {name: v for name, v in table.items() if name in {s.name for s in DATA}}
    owner = "[data]" if settings is DATA else f'[data] with dataset = "{table["dataset"]}"'
    checked = check_settings(owner, settings, table, ("data",), problems)
    size, share = checked["batch_size"], checked["validation_split"]
    if is_number(size, int) and size < 1:
        problems.add(("data", "batch_size"), f"expected an integer of at least 1, but got {size}")
    if is_number(share, int, float) and not 0 <= share < 1:
        problems.add(("data", "validation_split"), f"expected a number from 0 to below 1, but got {share}")
    return checked


def _check_model(table: dict[str, Any], problems: Problems) -> dict[str, Any]:
    layers = table.pop("layers", None)
    checked = check_settings("[model]", MODEL, table, ("model",), problems, also=("layers",))
    if not isinstance(layers, list) or not layers:
        got = "" if layers is None else f", but got {shown(layers)}"
        problems.add(("model",), f"needs layers: one [[model.layers]] for each{got}")
        return {**checked, "layers": []}
    checked["layers"] = [_check_layer(layer, ("model", "layers", i), problems) for i, layer in enumerate(layers)]
    names: dict[str, int] = {}
    for i, layer in enumerate(layers):
        called = layer.get("name") if isinstance(layer, dict) else None
        if isinstance(called, str):
            if called in names:
                problems.add(("model", "layers", i, "name"), f'"{called}" is the name of layer {names[called]} already')
            names.setdefault(called, i)
    if is_graph({"layers": layers, "outputs": checked["outputs"]}):
        check_wiring(layers, table.get("outputs"), problems)
    return checked


def _check_layer(layer: Any, path: Path, problems: Problems) -> Any:
    """Check a layer's table. `inputs` is the graph's, not the layer's."""
    if not isinstance(layer, dict) or not ("inputs" in layer or "shares" in layer):
        return check_block("layers", layer, path, problems)
    if "shares" in layer:
        for name in layer.keys() - {"shares", "inputs", "name"}:
            problems.add((*path, name), 'beside "shares" there can be "name" and "inputs" alone')
        return layer
    block = check_block("layers", {name: v for name, v in layer.items() if name != "inputs"}, path, problems)
    return {**block, "inputs": layer["inputs"]}


def _check_training(table: dict[str, Any], problems: Problems) -> dict[str, Any]:
    if "loss" not in table:
        names = ", ".join(registry.table("losses"))
        problems.add(("training",), f'needs "loss": one of {names}')
    checked = check_settings("[training]", TRAINING, table, ("training",), problems)
    if is_number(checked["epochs"], int) and checked["epochs"] < 0:
        problems.add(("training", "epochs"), f"expected an integer of at least 0, but got {checked['epochs']}")
    if "loss" in table:
        checked["loss"] = _check_losses(table["loss"], ("training", "loss"), problems)
    checked["metrics"] = _check_metrics(checked["metrics"], ("training", "metrics"), problems)
    return checked


def _check_losses(value: Any, path: Path, problems: Problems) -> Any:
    """Check one loss, or a table of losses by the name of the output each is for."""
    if _by_output(value):
        return {name: check_block("losses", loss, (*path, name), problems) for name, loss in value.items()}
    return check_block("losses", value, path, problems)


def _by_output(value: Any) -> bool:
    """Whether a table holds a loss for each output, and is not one loss that lacks its type."""
    if not isinstance(value, dict) or not value or any(did_you_mean(key, ["type"]) for key in value):
        return False
    return all(isinstance(loss, str) or (isinstance(loss, dict) and "type" in loss) for loss in value.values())


def _check_metrics(value: Any, path: Path, problems: Problems) -> Any:
    if isinstance(value, dict):
        return {name: _check_metrics(some, (*path, name), problems) for name, some in value.items()}
    if not isinstance(value, list):
        problems.add(path, f"expected {TRAINING[-1].expected}, but got {shown(value)}")
        return []
    checked = [check_block("metrics", metric, (*path, i), problems) for i, metric in enumerate(value)]
    for i, metric in enumerate(checked):
        if metric in checked[:i]:
            problems.add(path, f"{shown(metric)} is listed twice")
    return checked


def _try_out(checked: Mapping[str, Any], problems: Problems) -> None:
    """Make every block in which no problem was found so far, so that what constructors refuse is said along with it."""
    wrong = [path for path, _ in problems.found]
    blocks: list[tuple[str, Any, Path]] = [
        ("layers", _without_inputs(layer), ("model", "layers", i))
        for i, layer in enumerate(checked.get("model", {}).get("layers", []))
        if not (isinstance(layer, dict) and "shares" in layer)
    ]
    blocks.append(("optimizers", checked["optimizer"], ("optimizer",)))
    blocks.extend(("callbacks", callback, ("callbacks", i)) for i, callback in enumerate(checked["callbacks"]))
    if "dataset" in checked.get("data", {}):
        blocks.append(("datasets", _dataset_settings(checked["data"]), ("data",)))
    for kind, value, path in blocks:
        if not any(other[: len(path)] == path for other in wrong):
            build_block(kind, value, path, problems)
    path = ("training", "loss")
    if "loss" in checked.get("training", {}) and not any(other[: len(path)] == path for other in wrong):
        build_by_output("losses", checked["training"]["loss"], path, problems)


def _without_inputs(layer: Any) -> Any:
    return {name: v for name, v in layer.items() if name != "inputs"} if isinstance(layer, dict) else layer


def _dataset_settings(data: Mapping[str, Any]) -> dict[str, Any]:
    common = {setting.name for setting in DATA}
    return {"type": data["dataset"], **{name: value for name, value in data.items() if name not in common}}


def build_dataset(data: Mapping[str, Any], problems: Problems) -> Dataset:
    """Make the data set of a checked [data] table."""
    dataset = build_block("datasets", _dataset_settings(data), ("data",), problems)
    problems.raise_any()
    return dataset


def build_callbacks(values: Mapping[str, Any], problems: Problems, folder: FilePath | None = None) -> list[Any]:
    """Make the callbacks of checked values; a path that one of them writes to is taken from `folder` on."""
    made = [
        build_block("callbacks", _placed(c, folder), ("callbacks", i), problems)
        for i, c in enumerate(values["callbacks"])
    ]
    problems.raise_any()
    return made


def _placed(settings: Any, folder: FilePath | None) -> Any:
    """Return a callback's settings with its relative paths laid into a folder."""
    if folder is None:
        return settings
    settings = dict(settings) if isinstance(settings, Mapping) else {"type": settings}
    item = registry.lookup("callbacks", settings["type"])
    defaults = {setting.name: setting.default for setting in settings_of(item)}
    for name in item.writes_to:
        settings[name] = str(folder / settings.get(name, defaults[name]))  # an absolute path stays what it is
    return settings
