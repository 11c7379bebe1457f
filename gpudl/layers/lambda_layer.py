"""Lambda: any function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Unpack

from gpudl import registry
from gpudl.activations import Activation
from gpudl.errors import UsageError
from gpudl.layers.base import Layer, LayerSettings
from gpudl.structures import mapped_shapes


class Lambda(Layer):
    """Apply a function: `Lambda(lambda x: x ** 2)`. For weights, derive a layer of your own instead.

    The function computes with gpudl's ops and operators. `arguments` are handed on to it by name, and whether this is
    training, where it has an argument `training`. `output_shape` is found by trying, unless it is given: the shape of
    one sample, or a function of the input's shape, batch included.

    Files hold the function's name, never its code: a lambda cannot be saved, a function from `def` can, after
    @saving.register_keras_serializable() or lent at loading.

    Raises: UsageError where there is no function, and for a mask, which gpudl does not have.
    """

    takes_one = False

    def __init__(
        self,
        function: str | Activation | Callable[..., Any],
        output_shape: tuple[int | None, ...] | Callable[..., Any] | None = None,
        mask: str | None = None,
        arguments: dict[str, Any] | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.function = registry.lookup("activations", function) if isinstance(function, str) else function
        if not callable(self.function) or isinstance(self.function, type):
            raise UsageError(f"Lambda(function={function!r}): give a function, as in Lambda(lambda x: x ** 2)")
        if mask is not None:
            raise UsageError(f"Lambda(mask={mask!r}): gpudl has no masks")
        if isinstance(output_shape, str):  # the name of a function, out of a file
            output_shape = registry.lookup("activations", output_shape)
        self.output_shape: Any = output_shape
        self.arguments = dict(arguments or {})
        self._wants_phase = "training" in inspect.signature(self.function).parameters

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self.output_shape):
            return self.output_shape(input_shape)
        return mapped_shapes(lambda shape: (None, *shape), self.output_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        settings = {**self.arguments, "training": training} if self._wants_phase else self.arguments
        return self.function(inputs, **settings)
