from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Self

from gpudl import registry
from gpudl.activations import relu
from gpudl.errors import ShapeError, UsageError, did_you_mean
from gpudl.layers.base import Layer, OpenShape
from gpudl.layers.conv2d import Conv2D
from gpudl.layers.pooling2d import MaxPooling2D
from gpudl.models.model import Model
from gpudl.shapes import shown


class Sequential(Model):
    """Layers one after the other.

    With an `Input` first (or `input_shape` on the first layer) each layer is built as it is added; otherwise all are
    built when the first data arrives, or by `build`.
    """

    def __init__(self, layers: Sequence[Layer] | None = None, trainable: bool = True, name: str | None = None) -> None:
        self._layers: list[Layer] = []
        self._shapes: list[OpenShape] = []
        """The shape before the first layer and after each one; empty until the model is built."""
        super().__init__(name=name)
        if isinstance(layers, Layer):
            raise UsageError("Sequential takes a list of layers, as in Sequential([Dense(10)])")
        for layer in layers or []:
            self.add(layer)
        if not trainable:
            self.trainable = False

    @property
    def layers(self) -> list[Layer]:
        return [layer for layer in self._layers if registry.snake_case(type(layer).__name__) != "input_layer"]

    def sublayers(self) -> Iterator[Layer]:
        return iter(self._layers)

    def add(self, layer: Layer) -> None:
        """Append a layer. Raises: ShapeError where it does not fit the one before."""
        if not isinstance(layer, Layer):
            raise UsageError(f"Sequential.add takes layers, but was given a {type(layer).__name__}: {layer!r}")
        if any(layer is other for other in self._layers):
            raise UsageError(f"{layer} is in the model already; make a second layer instead")
        if any(layer.name == other.name for other in self._layers):
            raise UsageError(f'two layers are named "{layer.name}"; give one of them another name')
        self._layers.append(layer)
        if len(self._layers) == 1 and layer.input_shape is not None:
            self._shapes = [(None, *layer.input_shape)]
        if self._shapes:
            try:
                self._extend()
            except ShapeError:
                self._layers.pop()
                raise

    def pop(self) -> Layer:
        """Remove and return the last layer."""
        if not self._layers:
            raise UsageError("Sequential.pop: the model has no layers")
        if self._shapes:
            self._shapes.pop()
        return self._layers.pop()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or position. Raises: UsageError, with the nearest name."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise UsageError(f'{self} has no layer "{name}"{did_you_mean(str(name), names)}; it has {", ".join(names)}')

    def build(self, input_shape: OpenShape) -> None:
        """Build every layer for samples of this shape; `input_shape` starts with None, the batch."""
        if not self._layers:
            raise UsageError(f"{self} has no layers; add some")
        if not self._shapes:
            self._shapes = [tuple(input_shape)]
            self._extend()
        self.built = True

    def _extend(self) -> None:
        """Build the layers that were added since the last time, carrying the shape on from one to the next."""
        while len(self._shapes) <= len(self._layers):
            position = len(self._shapes) - 1
            layer, shape = self._layers[position], self._shapes[-1]
            try:
                layer.build_for(shape)
                self._shapes.append(layer.compute_output_shape(shape))
            except ShapeError as error:
                first = self._layers[0]
                if position == 0 or (position == 1 and first.input_shape is not None and not first.weights):
                    where = f"the input, samples of shape {shown(shape[1:])}"
                else:
                    where = f"the output of {self._layers[position - 1]}, of shape {shown(shape)}"
                misfit = ShapeError(f"{error} (it was given {where})")
                misfit.layer = layer.name
                raise misfit from None
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        if self._shapes and tuple(x.shape[1:]) != self._shapes[0][1:]:
            raise ShapeError(
                f"the model is built for samples of shape {shown(self._shapes[0][1:])}, "
                f"but those that arrive have shape {shown(x.shape[1:])}"
            )
        waiting = None
        for layer, following in zip_longest(self._layers, self._layers[1:]):
            if isinstance(layer, Conv2D) and layer.activation is relu and isinstance(following, MaxPooling2D):
                # ReLU and max pooling change places: the same numbers and gradients, on a quarter of the elements.
                x, waiting = layer(x, activate=False), relu
            else:
                x = layer(x)
                if waiting is not None:
                    x, waiting = waiting(x), None
        return x

    def rows(self) -> list[tuple[Layer, OpenShape, OpenShape]]:
        shapes = self._shapes
        triples = zip(self._layers, shapes[:-1], shapes[1:], strict=False)
        return [triple for triple in triples if triple[0] in self.layers]

    @property
    def sample_shape(self) -> OpenShape | None:
        """The shape of one sample, without the batch; None before the model is built."""
        return self._shapes[0][1:] if self._shapes else None

    @property
    def output_shape(self) -> OpenShape:
        """The shape of the output, its batch being None. Raises: UsageError before the model is built."""
        if not self._shapes:
            raise UsageError(f"{self} is not built; give the first layer an Input, or call build(input_shape)")
        return self._shapes[-1]

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        self.build_for(input_shape)
        return self._shapes[-1]

    def multiply_adds(self, input_shape: OpenShape, output_shape: OpenShape) -> int:
        return sum(layer.multiply_adds(before, after) for layer, before, after in self.rows())

    def get_config(self) -> dict[str, Any]:
        """Return name, layers and, once built, the shape of one sample."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": [registry.describe("layers", layer) for layer in self._layers],
            "sample_shape": list(self._shapes[0][1:]) if self._shapes else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        layers = [registry.resolve("layers", dict(layer)) for layer in config["layers"]]
        model = cls(layers, name=config.get("name"))
        if config.get("sample_shape") is not None:
            model.build_for((None, *config["sample_shape"]))
        if config.get("trainable") is False:
            model.trainable = False
        return model
