from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from gpudl import constraints, initializers, ops, regularizers
from gpudl.constraints import Constraint
from gpudl.errors import UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.layers.convolution import read_count
from gpudl.regularizers import Regularizer


class Embedding(Layer):
    """Stand a vector of `output_dim` numbers for each whole number below `input_dim`.

    Layers take their input in floating point, which holds every whole number to 2^24 exactly in float32.

    Shapes: (N, ...) -> (N, ..., output_dim). Weights: embeddings (input_dim, output_dim).
    """

    also_takes = ("input_length",)

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: str | Initializer = "uniform",
        embeddings_regularizer: str | Regularizer | None = None,
        embeddings_constraint: str | Constraint | None = None,
        mask_zero: bool = False,
        weights: Any = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        others: dict[str, Any] = dict(settings)
        others.pop("input_length", None)  # which older lessons give, and nothing needs
        super().__init__(**others)
        self.input_dim = read_count(self, "input_dim", input_dim)
        self.output_dim = read_count(self, "output_dim", output_dim)
        if self.dtype == "float32" and input_dim > 1 << 24:
            raise UsageError(f'Embedding(input_dim={input_dim}): beyond 2^24, set dtype="float64"')
        if mask_zero:
            raise UsageError("Embedding(mask_zero=True): gpudl has no masks; leave it out")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        if weights is not None:
            # Not a setting to be written down: they are saved with all other weights.
            arguments, named = self._arguments
            self._arguments = (arguments[:6], {name: value for name, value in named.items() if name != "weights"})
            self.build_for((None,))
            self.set_weights([weights[0] if np.ndim(weights) == 3 else weights])

    def build(self, input_shape: OpenShape) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            name="embeddings",
        )

    def call(self, x: Any) -> Any:
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and (x != np.floor(x)).any():
            raise UsageError(f"{self} takes whole numbers, but was given {x[x != np.floor(x)][0]}, for one")
        return ops.embedding(x, self.embeddings)

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        return (*input_shape, self.output_dim)
