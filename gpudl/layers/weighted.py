"""What has weights: its own, and those of the layers that are its attributes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from gpudl import constraints, initializers, regularizers
from gpudl.autograd import Parameter
from gpudl.backend.devices import put
from gpudl.configurable import Configurable
from gpudl.errors import UsageError
from gpudl.structures import leaves

if TYPE_CHECKING:
    from gpudl.layers.base import Layer


class _Trial(threading.local):
    made: list[tuple[Parameter, Any]] | None = None
    """State that layers made while they were only tried, with its first values."""


_trial = _Trial()


class Weighted(Configurable):
    """Base of layers as far as their weights go.

    Layers kept as attributes, or in lists or tuples that are attributes, belong to it: their weights are its weights.
    """

    name: str
    built: bool
    dtype: str
    _own_weights: list[Parameter]
    _own_state: list[Parameter]
    _trainable: bool
    settings_made: ClassVar[int] = 0
    """How often an attribute of any layer was set: what was recorded before holds no longer."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.name = ""
        self.built = False
        self.dtype = "float32"
        self._trainable = True
        self._own_weights = []
        self._own_state = []
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            Weighted.settings_made += 1
        if isinstance(value, Parameter):
            known = any(value is weight for weight in (*self._own_weights, *self._own_state))
            if not known:  # made by hand, as Variable(...), and not by add_weight
                (self._own_weights if value.trainable else self._own_state).append(value)
        super().__setattr__(name, value)

    def add_weight(
        self,
        shape: tuple[int, ...] = (),
        initializer: Any = None,
        dtype: str | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str = "variable",
    ) -> Parameter:
        """Make a weight of this layer. State that training changes by other means has `trainable=False`.

        Without an `initializer` it is drawn as a dense kernel is (glorot_uniform).
        """
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        values = initializers.get("glorot_uniform" if initializer is None else initializer)(shape, dtype or self.dtype)
        weight = Parameter(
            put(values),
            name,
            trainable and self._trainable,
            regularizers.get(regularizer),
            constraints.get(constraint),
        )
        weight.path = f"{self.name}/{name}"
        (self._own_weights if trainable else self._own_state).append(weight)
        if not trainable and _trial.made is not None:
            _trial.made.append((weight, weight.data.copy()))
        return weight

    def sublayers(self) -> Iterator[Layer]:
        """Yield the layers kept as attributes, in the order in which they were set."""
        for name, value in vars(self).items():
            if name != "_first_node":
                for item in leaves(value) if isinstance(value, (list, tuple, dict)) else (value,):
                    if isinstance(item, Weighted):
                        yield item  # pyright: ignore[reportReturnType]  a layer: nothing else is Weighted

    @property
    def weights(self) -> list[Parameter]:
        """All weights: its own, trainable ones first, then its sublayers'. Keras's order."""
        found = [*self._own_weights, *self._own_state]
        for layer in self.sublayers():
            found.extend(layer.weights)
        return list({id(weight): weight for weight in found}.values())

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The weights that training changes: none of a frozen layer's, whatever the layers in it say."""
        if not self._trainable:
            return []
        found = [weight for weight in self._own_weights if weight.trainable]
        for layer in self.sublayers():
            found.extend(layer.trainable_weights)
        return list({id(weight): weight for weight in found}.values())

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        trained = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trained]

    @property
    def variables(self) -> list[Parameter]:
        """The weights, under Keras's other name."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Parameter]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Parameter]:
        return self.non_trainable_weights

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
                path = weight.path.removeprefix(f"{self.name}/")
                raise UsageError(
                    f'{self}: weight "{path}" has shape {weight.shape}, but the given array has shape {np.shape(value)}'
                )
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)

    def count_params(self) -> int:
        """Return the number of weights, trainable or not. Raises: UsageError before the layer is built."""
        if not self.built:
            raise UsageError(f"{self} is not built, so its weights are not known; build it, or call it on data, before")
        return sum(weight.size for weight in self.weights)


def layers_within(layer: Weighted) -> Iterator[Layer]:
    """Yield all layers in a layer, those within others included."""
    for inner in layer.sublayers():
        yield inner
        yield from layers_within(inner)


@contextmanager
def kept_state(layer: Weighted) -> Iterator[None]:
    """Within this context a layer is only tried: what it counts or averages is afterwards what it was before."""
    outer, _trial.made = _trial.made, []
    before = [(weight, weight.data.copy()) for weight in layer.weights if not weight.trainable]
    try:
        yield
    finally:
        for weight, data in (*before, *_trial.made):
            weight.data[...] = data
        _trial.made = outer
