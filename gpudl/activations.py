"""Activation functions by name: `Dense(activation="relu")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gpudl import registry
from gpudl.backend import Array
from gpudl.ops.activations import log_softmax, relu, sigmoid, softmax, tanh

__all__ = ["Activation", "get", "linear", "log_softmax", "relu", "sigmoid", "softmax", "tanh"]

Activation: TypeAlias = Callable[[Any], Any]


def linear(x: Array) -> Array:
    """Leave everything as it is."""
    return x


def get(activation: str | Activation | None) -> Activation:
    """Return the function of a name; None is `linear`. Raises: UnknownNameError."""
    return linear if activation is None else registry.resolve("activations", activation)
