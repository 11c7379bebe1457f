"""The architecture alone, as text that Keras reads and writes as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gpudl.custom_objects import custom_object_scope
from gpudl.errors import ModelFileError
from gpudl.models.keras_files.models import configure, make
from gpudl.models.model import Model


def model_to_json(model: Model, **settings: Any) -> str:
    """Return layers and connections without weights; `settings` are those of `json.dumps`.

    Raises: UsageError where a layer has no name that a file can hold.
    """
    return json.dumps(configure(model), **settings)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Return a model of what `to_json` wrote, here or in Keras, with weights freshly drawn.

    Classes and functions of a program that are not registered are lent in `custom_objects`.

    Raises: ModelFileError where the text is damaged, or a layer is one that gpudl does not have.
    """
    try:
        config = json.loads(json_string)
    except ValueError as error:
        raise ModelFileError(f"model_from_json: the text is no JSON: {error}") from None
    with custom_object_scope(custom_objects):
        model = make(config)
    if not isinstance(model, Model):
        raise ModelFileError(f"model_from_json: the text describes {model}, which is no model")
    return model
