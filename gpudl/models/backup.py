"""Where training stands, in a file: weights, optimizer and training state, for the model that goes on with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from gpudl.errors import ModelFileError
from gpudl.models.model import Model
from gpudl.models.saving import optimizer_of, read_file, take_optimizer, weight_tensors, write_file
from gpudl.models.states import put_back, take_out
from gpudl.models.weight_files import load_weights


def write_backup(model: Model, path: str | os.PathLike[str], training: Mapping[str, Any]) -> None:
    """Write what training needs to go on. Raises: TrainingError where the file cannot be written."""
    tensors = weight_tensors(model)
    optimizer = take_optimizer(model, tensors)
    write_file(
        path,
        {"architecture": None, "optimizer": optimizer, "training": take_out(training, "training", tensors)},
        tensors,
    )


def read_backup(model: Model, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Bring a model and its optimizer to where `write_backup` found them, and return the training state.

    Raises: ModelFileError where the file is damaged; UsageError where it is of another model.
    """
    header, tensors = read_file(path)
    training = put_back(header.get("training"), tensors)
    if training is None:
        raise ModelFileError(f"{path}: holds no training that could go on")
    load_weights(model, path)
    if model.optimizer is not None and header["optimizer"] is not None:
        model.optimizer.load_state(optimizer_of(header, tensors), model.trainable_weights)
    return training
