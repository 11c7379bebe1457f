"""ReLU made elsewhere than it is written, where nobody can see it: the same numbers and gradients for less.

Written before max pooling it is made after it, on a quarter of the elements. Written after batch normalization or a sum
it is made within that layer, in the same pass over the output where the kernels can, as convolutions and dense layers
make theirs. Whether it may be is asked at each call, since layers can be set otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpudl.activations import relu
from gpudl.layers.activation import ReLU
from gpudl.layers.conv import Conv2D
from gpudl.layers.merging import Add
from gpudl.layers.pooling import MaxPooling2D
from gpudl.layers.regularization import BatchNormalization
from gpudl.layers.reshaping import Activation
from gpudl.symbolic import Node, SymbolicTensor


@dataclass
class Relus:
    """The ReLUs that are moved in one run of a graph, by the number of the value that the layer after takes."""

    late: set[int] = field(default_factory=set)
    """Values that ReLU is still to be made of, after the pooling that takes them."""
    made: set[int] = field(default_factory=set)
    """Values that it was made of, before the ReLU that takes them."""


@dataclass
class ReluMove:
    """What may become of the ReLU of a layer, or of one after it."""

    layer: Any
    after: Any
    """The only layer that takes what this one makes: pooling, or a ReLU."""

    @staticmethod
    def of(node: Node, follower: Callable[[Node], Node | None]) -> ReluMove | None:
        """Return what may be done in a call; `follower(node)` is the call after it, if there is only one."""
        after = follower(node)
        if after is None:
            return None
        if _is_plain_pooling(after):
            has_relu = is_on_one(node) and type(node.operation) in (Conv2D, ReLU, Activation)
            return ReluMove(node.operation, after.operation) if has_relu else None
        if type(node.operation) in (BatchNormalization, Add) and type(after.operation) in (ReLU, Activation):
            pooling = follower(after)
            is_before_pooling = pooling is not None and _is_plain_pooling(pooling)
            return None if is_before_pooling else ReluMove(node.operation, after.operation)
        return None

    def settings(self, relus: Relus, made: int) -> dict[str, Any]:
        """Return what the layer is to be told when it makes the value of that number, and note what was moved."""
        if self.layer.activity_regularizer is not None or self.after.activity_regularizer is not None:
            return {}
        if type(self.after) is MaxPooling2D:
            if type(self.layer) is Conv2D and self.layer.activation is relu:
                relus.late.add(made)
                return {"activate": False}
            if is_plain_relu(self.layer):
                relus.late.add(made)
        elif is_plain_relu(self.after) and self.layer.dtype == self.after.dtype:
            relus.made.add(made)
            return {"relu": True}
        return {}


def is_on_one(node: Node) -> bool:
    """Whether a call is on one tensor, with no settings."""
    return len(node.arguments) == 1 and isinstance(node.arguments[0], SymbolicTensor) and not node.settings


def is_plain_relu(layer: Any) -> bool:
    """Whether a layer is the maximum with 0 and nothing else."""
    if type(layer) is ReLU:
        return layer.max_value is None and layer.negative_slope == layer.threshold == 0
    return type(layer) is Activation and layer.activation is relu


def _is_plain_pooling(node: Node) -> bool:
    """Whether ReLU may as well come after: max pooling that nobody changed."""
    return type(node.operation) is MaxPooling2D and is_on_one(node)
