"""Relatives of swish for gpudl: a layer that learns its slope, and a steeper activation.

Sources: Ramachandran, Zoph and Le 2017, arXiv 1710.05941; Alcaide 2018, arXiv 1801.07145.
"""

from __future__ import annotations

from typing import Any, Unpack

from gpudl import ops
from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.hookspecs import Register, hookimpl
from gpudl.layers import Layer, LayerSettings


@differentiable
def e_swish(x: Array) -> tuple[Array, Any]:
    """1.5 x sigmoid(x), elementwise. Gradient: 1.5 s + y (1 - s) with s = sigmoid(x)."""
    xp = array_module(x)
    s = 0.5 * (1 + xp.tanh(0.5 * x))  # the sigmoid, in a form that cannot overflow
    y = 1.5 * x * s
    return y, lambda dy: dy * (1.5 * s + y * (1 - s))


class Swish(Layer):
    """x * sigmoid(beta x), with one slope `beta` per feature that is learned. Shapes: output as input.

    Weights: beta (C,), starting at the value given.
    """

    def __init__(self, beta: float = 1.0, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.start = beta

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        start = {"type": "constant", "value": self.start}
        self.beta = self.add_weight((input_shape[-1] or 1,), start, name="beta")

    def call(self, x: Any) -> Any:
        return x * ops.sigmoid(self.beta * x)


@hookimpl
def register_layers(register: Register) -> None:
    register("swish", Swish)


@hookimpl
def register_activations(register: Register) -> None:
    register("e_swish", e_swish)
