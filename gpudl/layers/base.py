"""Layer: a named step of a network with weights of its own."""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Self, TypedDict

import numpy as np

from gpudl import initializers, registry, regularizers
from gpudl.autograd import Parameter, no_grad
from gpudl.configurable import Configurable
from gpudl.errors import ShapeError, UsageError
from gpudl.shapes import shown

OpenShape = tuple[int | None, ...]
"""A shape whose first entry, the batch size, is None."""


class LayerSettings(TypedDict, total=False):
    """What every layer's constructor takes besides its own arguments.

    `input_shape` is the shape of one sample, without the batch; only the first layer of a model needs it, and only
    where the model is to be built before it sees data.
    """

    name: str | None
    trainable: bool
    dtype: str
    input_shape: tuple[int, ...] | None


_names: Counter[str] = Counter()


class _Phase(threading.local):
    training = False


_phase = _Phase()


def fresh_name(cls: type) -> str:
    """Return `dense`, `dense_1`, ...: the class's name and how many there were before."""
    base = registry.snake_case(cls.__name__)
    count = _names[base]
    _names[base] += 1
    return f"{base}_{count}" if count else base


class Layer(Configurable):
    """Base of layers. A subclass defines `call(x)` or `call(x, training)`, and `build(input_shape)` if it has weights.

    The first call builds the layer for the shape that arrives. Constructor arguments are recorded, so a subclass
    needs neither `get_config` nor a call of the base constructor. Layers kept as attributes, or in lists or tuples
    that are attributes, belong to the layer: their weights are its weights.
    """

    kind = "layers"
    name: str
    built: bool
    dtype: str
    input_shape: tuple[int, ...] | None
    _own_weights: list[Parameter]
    _own_state: list[Parameter]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.name = ""
        self.built = False
        self.dtype = "float32"
        self.input_shape = None
        self._trainable = True
        self._own_weights = []
        self._own_state = []
        self._name_itself(kwargs.get("name"))
        return self

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str = "float32",
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        if dtype not in ("float32", "float64"):
            raise UsageError(f'{type(self).__name__}(dtype={dtype!r}): dtype must be "float32" or "float64"')
        self.dtype = dtype
        if isinstance(input_shape, int):
            input_shape = (input_shape,)
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self.trainable = trainable
        self._name_itself(name)

    def _name_itself(self, name: str | None) -> None:
        if name is not None:
            self.name = name
        elif not self.name:
            self.name = fresh_name(type(self))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parameters = inspect.signature(cls.call).parameters
        cls._takes_training = "training" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    _takes_training = False

    # What a subclass defines

    def build(self, input_shape: OpenShape) -> None:
        """Make the weights with `add_weight`. `input_shape` starts with None, the batch."""

    def call(self, *inputs: Any, **settings: Any) -> Any:
        """Compute the layer's output; a subclass defines `call(x)`, or `call(x, training)` to know the phase."""
        raise UsageError(f"{type(self).__name__} must define call(x)")

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        """Return the output's shape for an input's; found by calling the layer on one sample of zeros."""
        sample = np.zeros((1, *(1 if n is None else n for n in input_shape[1:])), self.dtype)
        with no_grad():
            return (None, *self(sample, training=False).shape[1:])

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        """Return the multiply-adds of one sample's forward pass; 0 where the layer has no product of weights."""
        return 0

    # What a subclass uses

    def add_weight(
        self,
        shape: tuple[int, ...] = (),
        initializer: Any = "glorot_uniform",
        dtype: str | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        name: str = "weight",
    ) -> Parameter:
        """Make a weight of this layer. State that training changes by other means has `trainable=False`."""
        values = initializers.get(initializer)(tuple(shape), dtype or self.dtype)
        weight = Parameter(values, name, trainable and self._trainable, regularizers.get(regularizer))
        (self._own_weights if trainable else self._own_state).append(weight)
        return weight

    # What everybody uses

    def __call__(self, x: Any, training: bool | None = None, **settings: Any) -> Any:
        before = _phase.training
        if isinstance(x, Layer):
            raise UsageError(
                f"{self} was called on {x}, a layer; put layers into a Sequential (only that, in this version)"
            )
        if training is None:
            training = before
        if isinstance(x, np.ndarray) and x.dtype != self.dtype:
            x = x.astype(self.dtype)
        try:
            if not self.built:
                self.build_for((None, *x.shape[1:]))
            _phase.training = training
            if self._takes_training:
                settings["training"] = training
            return self.call(x, **settings)
        except ShapeError as error:
            raise self._named(error) from None
        finally:
            _phase.training = before

    def build_for(self, input_shape: OpenShape) -> None:
        """Build the layer once, for inputs of this shape. Raises: ShapeError naming the layer."""
        if not self.built:
            try:
                self.build(tuple(input_shape))
            except ShapeError as error:
                raise self._named(error) from None
            self.built = True

    def _named(self, error: ShapeError) -> ShapeError:
        """Put this layer's name in front of a message, unless a layer inside it did."""
        if error.layer is not None:
            return error
        named = ShapeError(f"{self}: {error}")
        named.layer = self.name
        return named

    def sublayers(self) -> Iterator[Layer]:
        """Yield the layers kept as attributes, in the order in which they were set."""
        for value in vars(self).values():
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(item, Layer):
                    yield item

    @property
    def weights(self) -> list[Parameter]:
        """All weights: its own, trainable ones first, then its sublayers'. Keras's order."""
        found = [*self._own_weights, *self._own_state]
        for layer in self.sublayers():
            found.extend(layer.weights)
        return list({id(weight): weight for weight in found}.values())

    @property
    def trainable_weights(self) -> list[Parameter]:
        return [weight for weight in self.weights if weight.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        return [weight for weight in self.weights if not weight.trainable]

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value
        for weight in self._own_weights:
            weight.trainable = value
        for layer in self.sublayers():
            layer.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights as NumPy arrays, in the order of `weights`."""
        return [weight.numpy().copy() for weight in self.weights]

    def set_weights(self, values: list[Any]) -> None:
        """Overwrite all weights, in the order of `weights`. Raises: UsageError at the first that does not fit."""
        weights = self.weights
        if len(values) != len(weights):
            raise UsageError(f"{self} has {len(weights)} weights, but {len(values)} arrays were given")
        for weight, value in zip(weights, values, strict=True):
            if np.shape(value) != weight.shape:
                raise UsageError(
                    f'{self}: weight "{weight.name}" has shape {weight.shape}, '
                    f"but the given array has shape {np.shape(value)}"
                )
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)

    def count_params(self) -> int:
        """Return the number of weights, trainable or not. Raises: UsageError before the layer is built."""
        if not self.built:
            raise UsageError(f"{self} is not built, so its weights are not known; build it, or call it on data, before")
        return sum(weight.size for weight in self.weights)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, the layer's name, and `trainable` where it is off by now."""
        config = super().get_config()
        config["name"] = self.name
        config.pop("trainable", None)
        return config if self.trainable else {**config, "trainable": False}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a layer from what `get_config` returned; its constructor need not take `name` and `trainable`."""
        arguments = dict(config)
        name, trainable = arguments.pop("name", None), arguments.pop("trainable", True)
        layer = cls(**arguments)
        layer._name_itself(name)
        if not trainable:
            layer.trainable = False
        return layer

    def __str__(self) -> str:
        return f'{type(self).__name__} "{self.name}"'

    def __repr__(self) -> str:
        return f"<{self}>"


def need_axes(input_shape: OpenShape, axes: int, meaning: str) -> None:
    """Raises: ShapeError where an input has not that many axes, batch included."""
    if len(input_shape) != axes:
        raise ShapeError(f"input must have {axes} axes, {meaning}, but has shape {shown(input_shape)}")
