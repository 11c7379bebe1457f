from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from gpudl import registry
from gpudl.custom_objects import custom_object_scope
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer
from gpudl.layers.reshaping import Input, InputLayer
from gpudl.layers.weighted import Weighted
from gpudl.models.graph import Graph
from gpudl.models.model import Model
from gpudl.shapes import shown
from gpudl.symbolic import OpenShape, SymbolicTensor


class Sequential(Model):
    """Layers one after the other.

    With an `Input` first (or `input_shape` on the first layer) each layer is built as it is added; otherwise all are
    built when the first data arrives, or by `build`.
    """

    def __init__(
        self, layers: Sequence[Layer | SymbolicTensor] | None = None, trainable: bool = True, name: str | None = None
    ) -> None:
        self._layers: list[Layer] = []
        self._places: list[SymbolicTensor] = []
        """What goes into the first layer and comes out of each one; empty until the shape of a sample is known."""
        super().__init__(name=name)
        if isinstance(layers, Layer):
            raise UsageError("Sequential takes a list of layers, as in Sequential([Dense(10)])")
        for layer in layers or []:
            self.add(layer)
        if not trainable:
            self.trainable = False

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order, without the Input."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def sublayers(self) -> Iterator[Layer]:
        return iter(self._layers)

    def add(self, layer: Layer | SymbolicTensor) -> None:
        """Append a layer, or begin with an Input. Raises: ShapeError where it does not fit the one before."""
        if isinstance(layer, SymbolicTensor) and isinstance(layer.node.operation, InputLayer):
            layer = layer.node.operation
        if not isinstance(layer, Layer):
            if isinstance(layer, type) and issubclass(layer, Layer):
                raise UsageError(
                    f"Sequential.add takes layers, but was given the class {layer.__name__}; "
                    f"make one of it: {layer.__name__}(...)"
                )
            hint = ""
            if isinstance(layer, (list, tuple)):
                hint = "; add them one by one, or give them to Sequential([...])"
            elif isinstance(layer, str):
                hint = f'; as a layer: Activation("{layer}")'
            raise UsageError(f"Sequential.add takes layers, but was given a {type(layer).__name__}: {layer!r}{hint}")
        if isinstance(layer, InputLayer) and self._layers:
            raise UsageError(f"Input stands first in a Sequential, but {self} has layers already")
        if any(layer is other for other in self._layers):
            raise UsageError(f"{layer} is in the model already; make a second layer instead")
        if any(layer.name == other.name for other in self._layers):
            raise UsageError(f'two layers are named "{layer.name}"; give one of them another name')
        self._layers.append(layer)
        if len(self._layers) == 1:
            if isinstance(layer, InputLayer):
                self._places = [layer.output]
            elif layer.first_shape is not None:
                self._places = [Input(layer.first_shape)]
            elif isinstance(layer, Model) and layer.sample_shape is not None:
                self._places = [Input(layer.sample_shape)]
        if self._places:
            try:
                self._extend()
            except ShapeError:
                self._layers.pop()
                raise

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self.layers:
            raise UsageError(f"{self} has no layers to take away")
        layer = self._layers.pop()
        Weighted.settings_made += 1
        self._places = self._places[: len(self._layers) + 1]
        if not self._layers:
            self._places, self._graph, self.built = [], None, False
        elif self._places:
            self._graph = Graph(self._places[0], self._places[-1])
        return layer

    def build(self, input_shape: OpenShape) -> None:
        """Build every layer for samples of this shape; `input_shape` starts with None, the batch."""
        if not self._layers:
            raise UsageError(f"{self} has no layers; add some")
        if not self._places:
            self._places = [Input(tuple(input_shape[1:]))]
            self._extend()
        self.built = True

    def _extend(self) -> None:
        """Call the layers that were added since the last time on what comes out of the one before."""
        while len(self._places) <= len(self._layers):
            position = len(self._places) - 1
            layer, place = self._layers[position], self._places[-1]
            if isinstance(layer, InputLayer):
                layer.build(place.shape)
                self._places.append(place)
                continue
            try:
                self._places.append(layer(place))
            except ShapeError as error:
                first = self._layers[0]
                if position == 0 or (position == 1 and first.first_shape is not None and not first.weights):
                    where = f"the input, samples of shape {shown(place.shape[1:])}"
                else:
                    where = f"the output of {self._layers[position - 1]}, of shape {shown(place.shape)}"
                misfit = ShapeError(f"{error} (it was given {where})")
                misfit.layer = layer.name
                raise misfit from None
        self._graph = Graph(self._places[0], self._places[-1])
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        self.build_for(input_shape)
        return super().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return name, layers and, once built, the shape of one sample."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": [registry.describe("layers", layer) for layer in self._layers],
            "sample_shape": list(self._places[0].shape[1:]) if self._places else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        with custom_object_scope(custom_objects):
            layers = [registry.resolve("layers", dict(layer)) for layer in config["layers"]]
        model = cls(layers, name=config.get("name"))
        if config.get("sample_shape") is not None:
            model.build_for((None, *config["sample_shape"]))
        if config.get("trainable") is False:
            model.trainable = False
        return model


def has_own_call(model: Model) -> bool:
    """Whether a model is of a class of its own, whose `call` says what it computes."""
    return model._graph is None and not isinstance(model, Sequential)
