"""Weights alone in files: gpudl's own safetensors, or Keras's `.weights.h5`.

Both are matched by where a layer stands in the model, not by what it is called: names are counted from layer to layer,
so the same model made twice has other ones.
"""

from __future__ import annotations

import os
from pathlib import Path

from gpudl.errors import ModelFileError, UsageError
from gpudl.files import write_atomically
from gpudl.models.keras_files.fitting import Pair, collect, fit, take_over
from gpudl.models.model import Model
from gpudl.models.saving import (
    HDF5,
    ZIP,
    first_bytes,
    read_file,
    refuse_overwriting,
    weight_names,
    weight_tensors,
    write_file,
)


def save_weights(model: Model, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a model's weights: `.weights.h5` gives Keras's format, `.safetensors` gpudl's own.

    Raises: TrainingError where the file cannot be written; an older file stays. UsageError for other names, and
    before the model is built.
    """
    refuse_overwriting(path, overwrite)
    tensors = weight_tensors(model)
    if str(path).endswith(".safetensors"):
        write_file(path, {"architecture": None}, tensors)
    elif str(path).endswith(".weights.h5"):
        from gpudl.models.keras_files import hdf5

        write_atomically(path, hdf5.write(collect(model)))
    else:
        raise UsageError(f"{path}: weights are saved as *.weights.h5 or *.safetensors; name it so")


def load_weights(model: Model, path: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
    """Overwrite a model's weights by those of a file: weights alone, or those of a whole model.

    With `skip_mismatch` what does not fit keeps its values, and a warning tells of it.

    Raises: ModelFileError where the file is damaged; UsageError where it holds the weights of another model. No weight
    has changed then.
    """
    if not model.built:
        raise UsageError(f"{model} is not built, so its weights are not known; call build or fit before load_weights")
    begin = first_bytes(path)
    if begin.startswith(ZIP) or str(path).endswith(".keras"):
        from gpudl.models.keras_files.archive import read_weights

        fit(model, read_weights(path), str(path), skip_mismatch)
    elif begin == HDF5 or str(path).endswith((".h5", ".hdf5")):
        from gpudl.models.keras_files import hdf5

        if not Path(path).is_file():
            raise ModelFileError(f"{path}: there is no such file")
        fit(model, hdf5.read(Path(path).read_bytes(), str(path)), str(path), skip_mismatch)
    else:
        _load_own(model, path, skip_mismatch)


def _load_own(model: Model, path: str | os.PathLike[str], skip_mismatch: bool) -> None:
    header, tensors = read_file(path)
    stored = [name for name in header["sha256"] if name.startswith("weights/")]  # in the model's order
    ours = [f"weights/{name}" for name in weight_names(model)]
    if set(stored) == set(ours):
        stored = ours
    misfits = []
    if len(stored) != len(ours):
        more, which = (stored, "only the file has") if len(stored) > len(ours) else (ours, "only the model has")
        first = more[min(len(stored), len(ours))].removeprefix("weights/")
        misfits.append(f"the model has {len(ours)} weights, the file {len(stored)}; {which} the one after, {first}")
    pairs = [
        Pair(weight, name.removeprefix("weights/"), tensors[other], other.removeprefix("weights/"))
        for weight, name, other in zip(model.weights, ours, stored, strict=False)
    ]
    take_over(pairs, misfits, str(path), skip_mismatch)
