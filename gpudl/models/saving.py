"""Models in files: one safetensors file holds weights, optimizer, architecture and where it all came from.

`save_model` and `load_model` also take Keras's `.keras` files, by their names and contents.

The file's metadata is JSON: the architecture by registry names only (never a module, a callable or a path), how the
model was compiled, the training state, the versions of gpudl and its plugins, and a SHA-256 of every tensor and
of the rest of the metadata. Reading runs no code from the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gpudl import losses, metrics, optimizers, registry
from gpudl.backend import to_numpy
from gpudl.custom_objects import custom_object_scope
from gpudl.errors import GpudlError, ModelFileError, NotLentError, UsageError
from gpudl.files import sha256, write_atomically
from gpudl.models.model import Model
from gpudl.models.sequential import has_own_call
from gpudl.models.states import put_back, take_out

FORMAT = 1

ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
"""What files of Keras begin with."""


def weight_names(model: Model) -> list[str]:
    """Return a readable name for each weight, unique in the model: `conv2d/kernel`."""
    own = has_own_call(
        model
    )  # whose layers are named afresh with each object made, so that their class stands for them
    owners = {
        id(weight): registry.snake_case(type(layer).__name__) if own else layer.name
        for layer in model.layers
        for weight in layer.weights
    }
    names: list[str] = []
    for weight in model.weights:
        base = f"{owners.get(id(weight), model.name)}/{weight.name}"
        name, count = base, 0
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return names


def _provenance(model: Model) -> dict[str, Any]:
    plugins = {}
    for layer in model.layers:
        name = registry.name_of("layers", type(layer))
        source = "" if name.startswith(registry.OWN) else registry.owner("layers", name)
        if source not in ("", "gpudl") and ">" not in source:
            plugins[source] = source
    return {
        "gpudl": version("gpudl"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "plugins": sorted(plugins),
    }


def describe_compiled(model: Model) -> dict[str, Any] | None:
    """Return how the model was compiled; None where loss or metrics are functions that have no name."""
    if model.loss is None or model.optimizer is None:
        return None
    settings = model.compile_settings
    called = {} if model._output_metrics is None else model._output_metrics.called

    def metric(item: Any) -> Any:
        if item is None:
            return None
        described = registry.describe("metrics", item)
        if isinstance(described, str):
            described = {"type": described, "is_function": True}
        return {**described, "called": called[id(item)]}

    try:
        return {
            "optimizer": registry.describe("optimizers", model.optimizer),
            "loss": _mapped(
                lambda item: None if item is None else registry.describe("losses", losses.get(item)), settings["loss"]
            ),
            "loss_weights": settings["loss_weights"],
            "metrics": _mapped(metric, settings["metrics"]),
            "weighted_metrics": _mapped(metric, settings["weighted_metrics"]),
        }
    except UsageError:
        return None


def _mapped(function: Callable[[Any], Any], given: Any) -> Any:
    """Apply a function to one thing, or to each of those in a list or a dict by output."""
    if isinstance(given, (list, tuple)):
        return [_mapped(function, item) for item in given]
    if isinstance(given, dict) and "type" not in given:
        return {name: _mapped(function, item) for name, item in given.items()}
    return function(given)


def _metric(settings: dict[str, Any] | None) -> Any:
    if settings is None:
        return None
    settings = dict(settings)
    called = settings.pop("called")
    settings.pop("is_function", None)
    metric = metrics.get(settings)
    metric.name = called
    return metric


def _with_type(kind: str, item: Any) -> dict[str, Any]:
    described = registry.describe(kind, item)
    return {"type": described} if isinstance(described, str) else described


def compile_as_described(model: Model, compiled: Mapping[str, Any]) -> None:
    """Compile a model as `describe_compiled` says it was."""
    model.compile(
        optimizers.get(compiled["optimizer"]),
        _mapped(lambda item: None if item is None else losses.get(item), compiled["loss"]),
        loss_weights=compiled.get("loss_weights"),
        metrics=_mapped(_metric, compiled["metrics"]),
        weighted_metrics=_mapped(_metric, compiled.get("weighted_metrics")),
    )


def save_model(
    model: Model,
    path: str | os.PathLike[str],
    overwrite: bool = True,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a model: a name in `.keras` gives Keras's format, any other gpudl's own.

    `training` is what `model.training_checkpoint` returned, for a run that is to go on.

    Raises: TrainingError where the file cannot be written; an older file stays. UsageError for names of formats that
    hold no whole models, and where a file is there that must not be overwritten.
    """
    refuse_overwriting(path, overwrite)
    if str(path).endswith(".weights.h5"):
        raise UsageError(f"{path}: *.weights.h5 holds weights alone; call save_weights, or name it *.keras")
    if str(path).endswith((".h5", ".hdf5")):
        raise UsageError(
            f"{path}: Keras's old files of whole models are not written; name it *.keras or *.safetensors, "
            "or save the weights alone with save_weights, as *.weights.h5"
        )
    if str(path).endswith(".keras"):
        if training is not None:
            raise UsageError(f"{path}: only *.safetensors holds where training stands")
        from gpudl.models.keras_files.archive import save_keras

        return save_keras(model, path)
    if not str(path).endswith(".safetensors"):
        raise UsageError(f"{path}: the name of a model's file must end in .safetensors or .keras")
    tensors = weight_tensors(model)
    optimizer = take_optimizer(model, tensors)
    training = take_out(training, "training", tensors)
    header = {
        "architecture": _with_type("layers", model),
        "built_for": model.built_for if has_own_call(model) else None,
        "compiled": describe_compiled(model),
        "optimizer": optimizer,
        "training": training,
        "class_names": model.class_names,
        "provenance": _provenance(model),
    }
    write_file(path, header, tensors)


def take_optimizer(model: Model, tensors: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """Put the arrays of the optimizer's state among the tensors, and return the rest of it."""
    if model.optimizer is None:
        return None
    state = model.optimizer.state()
    arrays = state.pop("arrays")
    tensors.update({f"optimizer/{name}": np.asarray(to_numpy(a), order="C") for name, a in arrays.items()})
    return state


def optimizer_of(header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the optimizer's state, the inverse of `take_optimizer`."""
    own = {name.removeprefix("optimizer/"): a for name, a in tensors.items() if name.startswith("optimizer/")}
    return {**header["optimizer"], "arrays": own}


def refuse_overwriting(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raises: UsageError where a file is there and must stay."""
    if not overwrite and Path(path).exists():
        raise UsageError(f"{path}: there is such a file already, and overwrite is off")


def weight_tensors(model: Model) -> dict[str, np.ndarray]:
    """Return the weights as `weights/dense/kernel`, in their order. Raises: UsageError before the model is built."""
    if not model.built:
        raise UsageError(f"{model} is not built, so it has no weights to save; call build or fit before")
    named = zip(weight_names(model), model.weights, strict=True)
    return {f"weights/{name}": np.asarray(weight.numpy(), order="C") for name, weight in named}


def write_file(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file whose metadata is this header, completed by format and checksums."""
    from safetensors.numpy import save

    header = {"format": FORMAT, **header, "sha256": {name: sha256(array) for name, array in tensors.items()}}
    header["header_sha256"] = _sha256_of_header(header)
    write_atomically(path, save(dict(tensors), {"gpudl": json.dumps(header)}))


def _sha256_of_header(header: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all of the header but this sum itself."""
    rest = {name: value for name, value in header.items() if name != "header_sha256"}
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the tensors of a model file, all checked against their SHA-256.

    Raises: ModelFileError where the file is missing, damaged, or not one of gpudl's.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        found = sorted(p.name for p in path.parent.glob("*.safetensors"))[:5] if path.parent.is_dir() else []
        there = f"; there is {', '.join(found)}" if found else ""
        raise ModelFileError(f"{path}: there is no such model file{there}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a whole safetensors file ({error}); it may be damaged or cut off") from None
    if "gpudl" not in metadata:
        raise ModelFileError(
            f"{path}: a safetensors file, but not a model saved by gpudl (its metadata has no gpudl entry)"
        )
    try:
        header = json.loads(metadata["gpudl"])
        if header["format"] != FORMAT:
            raise ModelFileError(
                f"{path}: written in format {header['format']}, but this gpudl reads format {FORMAT}; "
                "install the version that wrote it"
            )
        sums = header["sha256"]
        if _sha256_of_header(header) != header["header_sha256"]:
            raise ModelFileError(f"{path}: its gpudl metadata is damaged: its SHA-256 is not the one written down")
        for name, array in tensors.items():
            if sha256(array) != sums.get(name):
                raise ModelFileError(f'{path}: tensor "{name}" is damaged: its SHA-256 is not the one written down')
        missing = sorted(set(sums) - set(tensors))
        if missing:
            raise ModelFileError(f'{path}: tensor "{missing[0]}" is missing')
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path}: its gpudl metadata is damaged ({type(error).__name__}: {error})") from None
    return header, tensors


def first_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return what tells files of one kind from another; nothing where there is no file."""
    if not Path(path).is_file():
        return b""
    with open(path, "rb") as file:
        return file.read(8)


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Read a model that `save` or Keras wrote, with its weights and, unless `compile` is off, its optimizer's state.

    A file names classes and functions, and holds none: those of a program that are not registered are lent in
    `custom_objects`, as {"Scaled": Scaled}. Code in a file is never run, so `safe_mode` cannot be switched off.

    Raises: ModelFileError where the file is damaged or names what neither a registry nor `custom_objects` has.
    """
    if not safe_mode:
        raise UsageError("load_model(safe_mode=False): gpudl never runs code of a file; lend functions by name instead")
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise UsageError(f'load_model: custom_objects={custom_objects!r} must be a dict, as in {{"Scaled": Scaled}}')
    with custom_object_scope(custom_objects):
        return _load_model(path, compile)


def _load_model(path: str | os.PathLike[str], compile: bool) -> Any:
    begin = first_bytes(path)
    if begin.startswith(ZIP) or (str(path).endswith(".keras") and begin != HDF5):
        from gpudl.models.keras_files.archive import load_keras

        return load_keras(path, compile)
    if begin == HDF5:
        raise ModelFileError(
            f"{path}: an HDF5 file; weights alone (*.weights.h5) go into a model with load_weights, and a whole model "
            "is to be saved in Keras as *.keras"
        )
    return restore(path, compile)[0]


def restore(path: str | os.PathLike[str], compile: bool = True) -> tuple[Any, dict[str, Any] | None]:
    """Return the model of a file, and the training state it was saved with."""
    header, tensors = read_file(path)
    if header.get("architecture", "missing") is None:
        raise ModelFileError(f"{path}: holds weights alone; make the model, and load them with its load_weights")
    try:
        model = registry.resolve("layers", dict(header["architecture"]))
        if not isinstance(model, Model):
            raise ModelFileError(f"{path}: the file holds a {type(model).__name__}, not a model")
        if not model.built and header.get("built_for"):
            model.compute_output_shape(header["built_for"])
        names = [f"weights/{name}" for name in weight_names(model)]
        unknown = sorted(set(names) ^ {name for name in tensors if name.startswith("weights/")})
        if unknown:
            raise ModelFileError(f'{path}: weights and architecture do not fit: "{unknown[0]}" is in only one of them')
        model.set_weights([tensors[name] for name in names])
        if header.get("class_names") is not None:
            model.class_names = tuple(str(name) for name in header["class_names"])
        if compile and header["compiled"] is not None:
            try:
                compile_as_described(model, header["compiled"])
            except NotLentError as error:
                warnings.warn(f"{path}: the model is loaded, but not compiled: {error}", stacklevel=4)
                return model, put_back(header["training"], tensors)
            model._need_optimizer().load_state(optimizer_of(header, tensors), model.trainable_weights)
        return model, put_back(header["training"], tensors)
    except ModelFileError:
        raise
    except GpudlError as error:
        known = header.get("provenance", {}).get("plugins") or []
        needs = f" (saved with the plugins {', '.join(known)})" if known else ""
        raise ModelFileError(f"{path}: {error}{needs}") from None
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ModelFileError(f"{path}: its architecture is damaged ({type(error).__name__}: {error})") from None
