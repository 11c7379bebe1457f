"""Stored arrays brought into a model: all of them are looked at before the first one is taken over."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpudl.autograd import Parameter
from gpudl.errors import UsageError
from gpudl.layers.base import Layer
from gpudl.models.keras_files import hdf5
from gpudl.models.keras_files.hdf5 import Stored
from gpudl.models.keras_files.layout import own_weights, walk


@dataclass
class Pair:
    """A weight of the model and the array that is to become its values; each with what it is called where it lives."""

    weight: Parameter
    name: str
    array: np.ndarray
    stored_name: str


def take_over(pairs: Sequence[Pair], misfits: list[str], what: str, skip_mismatch: bool = False) -> None:
    """Overwrite the weights; `misfits` are what was found wrong before shapes were looked at.

    With `skip_mismatch` what does not fit keeps its values, and a warning tells of it.
    Raises: UsageError at what does not fit; then no weight has changed.
    """
    fitting = []
    misfits = list(misfits)
    for pair in pairs:
        if pair.array.shape == pair.weight.shape:
            fitting.append(pair)
        else:
            misfits.append(
                f"{pair.name} has shape {pair.weight.shape}, but the file's {pair.stored_name} has {pair.array.shape}"
            )
    if misfits:
        more = f"; and {len(misfits) - 1} more" if len(misfits) > 1 else ""
        message = f"{what}: the weights do not fit: {misfits[0]}{more}"
        if not skip_mismatch:
            raise UsageError(f"{message}; build the model as it was when they were saved, or give skip_mismatch=True")
        warnings.warn(f"{message}; these were left as they were", stacklevel=4)
    for pair in fitting:
        pair.weight.assign(pair.array.astype(pair.weight.dtype, copy=False))


def collect(model: Layer) -> Stored:
    """Return a model's weights under the paths Keras has for them."""
    stored = Stored()
    for path, layer in walk(model):
        stored.weights[path] = [np.asarray(weight.numpy(), order="C") for weight in own_weights(layer)]
        stored.names[path] = layer.name
    return stored


def fit(model: Layer, stored: Stored, what: str, skip_mismatch: bool = False) -> None:
    """Bring the weights of a file into a model of the same structure. Raises: UsageError at what does not fit."""
    waiting = hdf5.of_layers(stored.weights)
    pairs: list[Pair] = []
    missing: list[str] = []
    for path, layer in walk(model):
        weights, arrays = own_weights(layer), waiting.pop(path, [])
        theirs = f'"{stored.names.get(path, path)}"'
        if weights and not arrays:
            missing.append(f"the file has no weights for {layer} (it would be {path}/vars)")
        elif len(weights) != len(arrays):
            names = ", ".join(weight.name for weight in weights)
            missing.append(
                f"{layer} has {len(weights)} weights{f' ({names})' if names else ''}, "
                f"but the file's {theirs} has {len(arrays)}"
            )
        else:
            for i, (weight, array) in enumerate(zip(weights, arrays, strict=True)):
                name = f"{weight.name} of {layer}"
                pairs.append(Pair(weight, name, array, f"{theirs} ({path}/vars/{i})"))
    for path, arrays in waiting.items():
        if arrays:
            missing.append(f'the file has weights for "{stored.names.get(path, path)}" ({path}), a layer too many')
    take_over(pairs, missing, what, skip_mismatch)
