"""Models in files: one safetensors file holds weights, optimizer, architecture and where it all came from.

The file's metadata is JSON: the architecture by registry names only (never a module, a callable or a path), how the
model was compiled, the training state, the versions of gpudl and its plugins, and a SHA-256 of every tensor and
of the rest of the metadata. Reading runs no code from the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gpudl import losses, metrics, optimizers, registry
from gpudl.backend import to_numpy
from gpudl.errors import GpudlError, ModelFileError, UsageError
from gpudl.files import write_atomically
from gpudl.models.model import Model

FORMAT = 1


def weight_names(model: Model) -> list[str]:
    """Return a readable name for each weight, unique in the model: `conv2d/kernel`."""
    owners = {id(weight): layer.name for layer in model.layers for weight in layer.weights}
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
        source = registry.owner("layers", registry.name_of("layers", type(layer)))
        if source != "gpudl":
            plugins[source] = source
    return {
        "gpudl": version("gpudl"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "plugins": sorted(plugins),
    }


def _compiled(model: Model) -> dict[str, Any] | None:
    """How the model was compiled; None where loss or metrics are functions that have no name."""
    if model.loss is None or model.optimizer is None:
        return None
    try:
        return {
            "optimizer": registry.describe("optimizers", model.optimizer),
            "loss": registry.describe("losses", model.loss),
            "metrics": [{**_with_type("metrics", metric), "called": metric.name} for metric in model.metrics],
        }
    except UsageError:
        return None


def _with_type(kind: str, item: Any) -> dict[str, Any]:
    described = registry.describe(kind, item)
    return {"type": described} if isinstance(described, str) else described


def save_model(model: Model, path: str | os.PathLike[str], training: Mapping[str, Any] | None = None) -> None:
    """Write a model; `training` is what `model.training_checkpoint` returned, for a run that is to go on.

    Raises: TrainingError where the file cannot be written; an older file stays.
    """
    from safetensors.numpy import save

    if not model.built:
        raise UsageError(f"{model} is not built, so it has no weights to save; call build or fit before")
    tensors = {
        f"weights/{name}": np.asarray(weight.numpy(), order="C")
        for name, weight in zip(weight_names(model), model.weights, strict=True)
    }
    optimizer = None
    if model.optimizer is not None:
        optimizer = model.optimizer.state()
        arrays = optimizer.pop("arrays")
        tensors.update({f"optimizer/{name}": np.asarray(to_numpy(a), order="C") for name, a in arrays.items()})
    header = {
        "format": FORMAT,
        "architecture": _with_type("layers", model),
        "compiled": _compiled(model),
        "optimizer": optimizer,
        "training": training,
        "class_names": model.class_names,
        "provenance": _provenance(model),
        "sha256": {name: _sha256(array) for name, array in tensors.items()},
    }
    header["header_sha256"] = _sha256_of_header(header)
    write_atomically(path, save(tensors, {"gpudl": json.dumps(header)}))


def _sha256_of_header(header: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all of the header but this sum itself."""
    rest = {name: value for name, value in header.items() if name != "header_sha256"}
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()


def _sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of a tensor: of its type and shape, written as "float32 (3, 4)", and its numbers."""
    return hashlib.sha256(f"{array.dtype.name} {array.shape}".encode() + array.tobytes()).hexdigest()


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
            if _sha256(array) != sums.get(name):
                raise ModelFileError(f'{path}: tensor "{name}" is damaged: its SHA-256 is not the one written down')
        missing = sorted(set(sums) - set(tensors))
        if missing:
            raise ModelFileError(f'{path}: tensor "{missing[0]}" is missing')
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path}: its gpudl metadata is damaged ({type(error).__name__}: {error})") from None
    return header, tensors


def load_model(path: str | os.PathLike[str], compile: bool = True) -> Any:
    """Read a model that `save` wrote, with its weights and, unless `compile` is off, its optimizer's state.

    Raises: ModelFileError where the file is damaged or names what no registry knows.
    """
    return restore(path, compile)[0]


def restore(path: str | os.PathLike[str], compile: bool = True) -> tuple[Any, dict[str, Any] | None]:
    """Return the model of a file, and the training state it was saved with."""
    header, tensors = read_file(path)
    try:
        model = registry.resolve("layers", dict(header["architecture"]))
        if not isinstance(model, Model):
            raise ModelFileError(f"{path}: the file holds a {type(model).__name__}, not a model")
        names = [f"weights/{name}" for name in weight_names(model)]
        unknown = sorted(set(names) ^ {name for name in tensors if name.startswith("weights/")})
        if unknown:
            raise ModelFileError(f'{path}: weights and architecture do not fit: "{unknown[0]}" is in only one of them')
        model.set_weights([tensors[name] for name in names])
        if header.get("class_names") is not None:
            model.class_names = tuple(str(name) for name in header["class_names"])
        if compile and header["compiled"] is not None:
            compiled = header["compiled"]
            loss = losses.get(compiled["loss"])
            found = []
            for settings in compiled["metrics"]:
                settings = dict(settings)
                called = settings.pop("called")
                metric = metrics.get(settings)
                metric.name = called
                found.append(metric)
            model.compile(optimizers.get(compiled["optimizer"]), loss, metrics=found)
            state = dict(header["optimizer"])
            state["arrays"] = {
                name.removeprefix("optimizer/"): a for name, a in tensors.items() if name.startswith("optimizer/")
            }
            model._need_optimizer().load_state(state, model.trainable_weights)
        return model, header["training"]
    except ModelFileError:
        raise
    except GpudlError as error:
        known = header.get("provenance", {}).get("plugins") or []
        needs = f" (saved with the plugins {', '.join(known)})" if known else ""
        raise ModelFileError(f"{path}: {error}{needs}") from None
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ModelFileError(f"{path}: its architecture is damaged ({type(error).__name__}: {error})") from None
