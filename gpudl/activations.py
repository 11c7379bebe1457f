"""Activation functions by name: `Dense(activation="relu")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gpudl import registry
from gpudl.backend import Array
from gpudl.errors import UsageError
from gpudl.ops import activations as of_ops
from gpudl.ops.activations import celu as celu
from gpudl.ops.activations import elu as elu
from gpudl.ops.activations import glu as glu
from gpudl.ops.activations import hard_shrink as hard_shrink
from gpudl.ops.activations import hard_sigmoid as hard_sigmoid
from gpudl.ops.activations import hard_silu as hard_silu
from gpudl.ops.activations import hard_tanh as hard_tanh
from gpudl.ops.activations import leaky_relu as leaky_relu
from gpudl.ops.activations import log_sigmoid as log_sigmoid
from gpudl.ops.activations import log_softmax as log_softmax
from gpudl.ops.activations import mish as mish
from gpudl.ops.activations import relu as relu
from gpudl.ops.activations import relu6 as relu6
from gpudl.ops.activations import selu as selu
from gpudl.ops.activations import sigmoid as sigmoid
from gpudl.ops.activations import silu as silu
from gpudl.ops.activations import soft_shrink as soft_shrink
from gpudl.ops.activations import softmax as softmax
from gpudl.ops.activations import softplus as softplus
from gpudl.ops.activations import softsign as softsign
from gpudl.ops.activations import sparse_plus as sparse_plus
from gpudl.ops.activations import sparse_sigmoid as sparse_sigmoid
from gpudl.ops.activations import squareplus as squareplus
from gpudl.ops.activations import tanh as tanh
from gpudl.ops.activations import tanh_shrink as tanh_shrink
from gpudl.ops.activations import threshold as threshold
from gpudl.ops.arithmetic import exp

Activation: TypeAlias = Callable[[Any], Any]

exponential = exp
hard_swish = hard_silu
swish = silu


def linear(x: Array) -> Array:
    """Leave everything as it is."""
    return x


def gelu(x: Array, approximate: bool = False) -> Array:
    """x times the share of the normal distribution below x; exact here, where `ops.gelu` approximates by default."""
    return of_ops.gelu(x, approximate=approximate)


def get(activation: str | dict | Activation | None) -> Activation:
    """Return the function of a name; None is `linear`, a function or a layer stays as it is.

    A dict is what a configuration holds: {"type": name} of a function, with settings of a layer used as one.

    Raises: UnknownNameError, with the nearest name; UsageError where a function is given settings, or it is none.
    """
    if activation is None:
        return linear
    if isinstance(activation, dict):
        name = activation.get("type")
        settings_of_a_layer = len(activation) > 1 or name not in registry.table("activations")
        if settings_of_a_layer and name in registry.table("layers"):
            return registry.resolve("layers", activation)
        if len(activation) > 1:
            raise UsageError(
                f"activation {activation!r}: a function takes no settings here; use the layer of that name, "
                "or a function of x that calls gpudl.activations with them"
            )
    found = registry.resolve("activations", activation)
    if not callable(found):
        raise UsageError(
            f"activation is neither a name nor a function, but a {type(activation).__name__}; "
            'give the name, as in activation="relu", or the function itself, without calling it'
        )
    return found


def serialize(activation: Activation) -> str | dict:
    """Return the name of a function, as a configuration holds it. Raises: UsageError where it has none."""
    return registry.name_of("activations", activation)


deserialize = get
