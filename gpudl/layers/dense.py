from __future__ import annotations

from numbers import Integral
from typing import Any, Unpack

from gpudl import activations, constraints, initializers, ops, regularizers
from gpudl.activations import Activation
from gpudl.constraints import Constraint
from gpudl.errors import ShapeError, UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import CommonSettings, Layer, OpenShape
from gpudl.regularizers import Regularizer


class Dense(Layer):
    """Weigh and add all features: activation(x @ kernel + bias), on the last axis.

    Shapes: (N, ..., I) -> (N, ..., units). Weights: kernel (I, units), bias (units,).
    """

    def __init__(
        self,
        units: int,
        activation: str | Activation | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        activity_regularizer: str | Regularizer | None = None,
        kernel_constraint: str | Constraint | None = None,
        bias_constraint: str | Constraint | None = None,
        **settings: Unpack[CommonSettings],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **settings)
        if not isinstance(units, Integral) or units < 1:
            raise UsageError(f"Dense(units={units!r}): units must be an integer of at least 1")
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.bias = None

    def build(self, input_shape: OpenShape) -> None:
        features = input_shape[-1] if len(input_shape) > 1 else None
        if features is None:
            raise ShapeError("input needs a fixed number of features on its last axis, (batch, ..., features)")
        self.kernel = self.add_weight(
            (features, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, x: Any) -> Any:
        if self.activation is activations.relu:
            return ops.dense(x, self.kernel, self.bias, relu=True)
        return self.activation(ops.dense(x, self.kernel, self.bias))

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        return (*input_shape[:-1], self.units)

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        positions = 1
        for n in input_shape[1:-1]:
            positions *= n or 1
        return positions * (input_shape[-1] or 1) * self.units
