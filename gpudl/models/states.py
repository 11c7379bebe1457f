"""States of callbacks in model files: their arrays become tensors, the rest is JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

ARRAY = "$array"
"""The key that stands where an array stood; its value is the tensor's name."""


def take_out(value: Any, name: str, tensors: dict[str, np.ndarray]) -> Any:
    """Return a nested state without its NumPy arrays, which go into `tensors` under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        tensors[name] = np.asarray(value, order="C")
        return {ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: take_out(item, f"{name}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [take_out(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    return value


def put_back(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    """Return what `take_out` was given, tuples as lists. Raises: KeyError where a tensor is missing."""
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return tensors[value[ARRAY]]
        return {key: put_back(item, tensors) for key, item in value.items()}
    return [put_back(item, tensors) for item in value] if isinstance(value, list) else value
