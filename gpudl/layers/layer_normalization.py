from __future__ import annotations

from typing import Any, Unpack

from gpudl import constraints, initializers, ops, regularizers
from gpudl.constraints import Constraint
from gpudl.errors import ShapeError, UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.regularizers import Regularizer
from gpudl.shapes import shown


class LayerNormalization(Layer):
    """Normalize each sample by itself over `axis`, one or several, then scale by gamma and shift by beta.

    Shapes: output as input. Weights: gamma, beta, with the lengths of `axis`.
    Source: Ba et al. 2016, arXiv 1607.06450.
    """

    def __init__(
        self,
        axis: int | list[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Initializer = "zeros",
        gamma_initializer: str | Initializer = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        beta_constraint: str | Constraint | None = None,
        gamma_constraint: str | Constraint | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
        if not axes or not all(isinstance(i, int) and not isinstance(i, bool) for i in axes):
            raise UsageError(f"LayerNormalization(axis={axis!r}): axis must be an integer or a list of integers")
        self.axis = sorted(axes)
        self.epsilon, self.center, self.scale = epsilon, center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma = self.beta = None

    def build(self, input_shape: OpenShape) -> None:
        shape: list[int] = []
        for axis in self.axis:
            length = input_shape[axis] if -len(input_shape) <= axis < len(input_shape) else None
            if length is None:
                raise ShapeError(f"axis={axis} of the input of shape {shown(input_shape)} has no fixed length")
            shape.append(length)
        if self.scale:
            self.gamma = self.add_weight(
                tuple(shape),
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                tuple(shape),
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )

    def call(self, x: Any) -> Any:
        return ops.layer_norm(x, self.gamma, self.beta, axis=self.axis, epsilon=self.epsilon)
