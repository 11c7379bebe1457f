"""`.keras` files: a zip of config.json, metadata.json and model.weights.h5. Nothing else in it is looked at."""

from __future__ import annotations

import datetime
import io
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gpudl import registry
from gpudl.errors import GpudlError, ModelFileError, UsageError
from gpudl.files import write_atomically
from gpudl.models.keras_files import hdf5, optimizer
from gpudl.models.keras_files.config import configured, described
from gpudl.models.keras_files.fitting import collect, fit
from gpudl.models.keras_files.models import configure, make
from gpudl.models.model import Model

KERAS_VERSION = "3.15.1"
"""The version of Keras whose files these are."""

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LARGEST_TEXT = 1 << 26
_SUSPICIOUS = 1 << 26


def read_member(path: str | os.PathLike[str], member: str) -> bytes:
    """Return one member of a `.keras` file, checked against its checksum.

    Raises: ModelFileError where the file is missing, damaged or no zip, or the member claims an absurd size.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if names.count(member) != 1:
                raise ModelFileError(
                    f"{path}: not a .keras file: it has no {member}"
                    if member not in names
                    else f"{path}: has {member} twice, which is refused"
                )
            info = archive.getinfo(member)
            if member != _WEIGHTS and info.file_size > _LARGEST_TEXT:
                raise ModelFileError(f"{path}: {member} claims {info.file_size:,} bytes, which is refused")
            if info.file_size > _SUSPICIOUS and info.file_size > 100 * info.compress_size:
                raise ModelFileError(
                    f"{path}: {member} claims {info.file_size:,} bytes, of which the file has hardly any; refused"
                )
            return archive.read(info)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ModelFileError(f"{path}: not a whole .keras file ({error}); it may be damaged or cut off") from None


def _read_json(path: str | os.PathLike[str], member: str) -> dict[str, Any]:
    try:
        content = json.loads(read_member(path, member))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {member} is damaged ({error})") from None
    if not isinstance(content, dict):
        raise ModelFileError(f"{path}: {member} is damaged: it is no object")
    return content


def read_weights(path: str | os.PathLike[str]) -> hdf5.Stored:
    """Return the weights of a `.keras` file. Raises: ModelFileError where it is damaged."""
    return hdf5.read(read_member(path, _WEIGHTS), f"{path}: {_WEIGHTS}")


def load_keras(path: str | os.PathLike[str], compile: bool = True) -> Any:
    """Read a model that Keras 3 (or gpudl) saved as `.keras`; unless `compile` is off, it can be trained on.

    What it was compiled with is restored where gpudl has it all; otherwise a warning says what is missing, and the
    model is not compiled. No code of the file is run.

    Raises: ModelFileError naming the layer or the argument that gpudl does not have, or what is damaged.
    """
    config, metadata = _read_json(path, _CONFIG), _read_json(path, _METADATA)
    try:
        model = make(config)
        if not isinstance(model, Model):
            raise ModelFileError(f"the file holds a {type(model).__name__}, not a model")
        stored = read_weights(path)
        if model.built or any(hdf5.of_layers(stored.weights).values()):
            fit(model, stored, str(path))
        class_names = (metadata.get("gpudl") or {}).get("class_names")
        if class_names is not None:
            model.class_names = tuple(str(name) for name in class_names)
    except (LookupError, TypeError, ValueError, AttributeError, MemoryError, RecursionError, GpudlError) as error:
        message = str(error).removeprefix(f"{path}: ")
        raise ModelFileError(f"{path}: {message}") from None
    if compile and config.get("compile_config"):
        _compile(model, config["compile_config"], stored, str(path))
    return model


def _compile(model: Model, compiled: Any, stored: hdf5.Stored, what: str) -> None:
    from gpudl.models.saving import compile_as_described

    try:
        found = {
            "optimizer": described(compiled["optimizer"], "optimizers", "optimizer"),
            "loss": _of_outputs(lambda loss: described(loss, "losses", "loss"), compiled["loss"], "class_name"),
            "loss_weights": compiled.get("loss_weights"),
            "metrics": _of_outputs(_metric, compiled.get("metrics"), "class_name"),
            "weighted_metrics": _of_outputs(_metric, compiled.get("weighted_metrics"), "class_name"),
        }
        if found["loss"] is None:
            raise ModelFileError("it names no loss")
        compile_as_described(model, found)
    except (GpudlError, KeyError, TypeError, ValueError, AttributeError) as error:
        model.loss = model.optimizer = None
        model.compiled = False
        warnings.warn(f"{what}: the model is loaded, but not compiled: {error}; call compile before fit", stacklevel=5)
        return
    if model.built and "optimizer" in stored.weights:
        reason = optimizer.from_keras(model._need_optimizer(), stored.weights["optimizer"], model.trainable_weights)
        if reason is not None:
            warnings.warn(f"{what}: the optimizer starts afresh, its state is not restored: {reason}", stacklevel=5)


def _of_outputs(function: Callable[[Any], Any], given: Any, mark: str) -> Any:
    """Apply a function to one thing, or to each in a list or a dict by output; a thing is a dict with this mark."""
    if isinstance(given, (list, tuple)):
        return [_of_outputs(function, item, mark) for item in given]
    if isinstance(given, dict) and mark not in given:
        return {name: _of_outputs(function, item, mark) for name, item in given.items()}
    return None if given is None else function(given)


def _metric(metric: Any) -> dict[str, Any]:
    """Return a metric's description with the name it is reported under."""
    found = described(metric, "metrics", "metrics")
    if isinstance(found, str):
        return {"type": found, "called": found.removeprefix(registry.OWN)}
    return {**found, "called": metric["config"].get("name") or found["type"]}


def save_keras(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model as a `.keras` file, which Keras 3 reads too.

    What a plugin brought is written as `gpudl>name`; Keras reads it where a class is registered under that name.

    Raises: TrainingError where the file cannot be written; an older file stays. UsageError where the model has no
    weights yet, or a part that no file can name.
    """
    if not model.built:
        raise UsageError(f"{model} is not built, so it has no weights to save; call build or fit before")
    config = configure(model)
    stored = collect(model)
    compiled = _compiled(model)
    if compiled is not None and model.optimizer is not None:
        config["compile_config"] = compiled
        stored.weights["optimizer"] = optimizer.to_keras(model.optimizer, model.trainable_weights)
    metadata = {
        "keras_version": KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "gpudl": {"version": version("gpudl"), "class_names": model.class_names},
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_METADATA, json.dumps(metadata))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr(_WEIGHTS, hdf5.write(stored))
    write_atomically(path, content.getvalue())


def _compiled(model: Model) -> dict[str, Any] | None:
    """Return Keras's compile_config; None where loss or metrics are functions that have no name."""
    from gpudl.models.saving import describe_compiled

    found = describe_compiled(model)
    if found is None:
        return None
    settings = dict(found["optimizer"])
    if isinstance(settings.get("learning_rate"), float):
        settings["learning_rate"] = model._need_optimizer().learning_rate
    return {
        "optimizer": configured(settings, "optimizers", "optimizer"),
        "loss": _of_outputs(lambda loss: configured(loss, "losses", "loss"), found["loss"], "type"),
        "loss_weights": found["loss_weights"],
        "metrics": _of_outputs(_configured_metric, found["metrics"], "type"),
        "weighted_metrics": _of_outputs(_configured_metric, found["weighted_metrics"], "type"),
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def _configured_metric(metric: dict[str, Any]) -> Any:
    settings = {**metric}
    called = settings.pop("called")
    if settings["type"] in ("accuracy", "acc"):  # chosen by the data; Keras's class Accuracy is another thing
        return called if called in ("accuracy", "acc") else "accuracy"
    if settings.pop("is_function", False):
        return configured(settings["type"], "metrics", f"metric {called}")
    settings["name"] = called
    return configured(settings, "metrics", f"metric {called}")
