"""Model: layers put together, trained, used and saved."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

from gpudl.custom_objects import custom_object_scope
from gpudl.errors import UsageError, did_you_mean
from gpudl.layers.base import Layer
from gpudl.layers.weighted import layers_within
from gpudl.models.functional import described_graph, graph_of
from gpudl.models.graph import Graph, GraphNode
from gpudl.models.summary import summary_table
from gpudl.models.trainer import Trainer
from gpudl.structures import mapped, mapped_shapes
from gpudl.symbolic import OpenShape


def clone_model(model: Model) -> Any:
    """Return a model of the same architecture with weights of its own, freshly drawn.

    Raises: UsageError where a layer or an op cannot be written down.
    """
    with custom_object_scope({type(layer).__name__: type(layer) for layer in layers_within(model)}):
        return type(model).from_config(copy.deepcopy(model.get_config()))


class Model(Trainer):
    """Layers that are trained together: `Model(inputs, outputs)` of symbolic tensors, or a subclass with `call`.

    A model is a layer, too: it can be called on arrays, and be part of another model.
    """

    default_name = "functional"
    """What a model is named that is given no name, as in Keras; a subclass is named after its class."""
    class_names: tuple[str, ...] | None
    _takes_symbols = True
    _graph: Graph | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.class_names = self._graph = None
        return self

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True, **settings: Any
    ) -> None:
        super().__init__(name=name, **settings)
        if (inputs is None) != (outputs is None):
            missing = "inputs" if inputs is None else "outputs"
            raise UsageError(f"Model needs inputs and outputs, but {missing} is missing")
        if inputs is not None:
            self._graph = Graph(inputs, outputs)
            self.built = True
        if not trainable:
            self.trainable = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute the outputs; a subclass that was given no inputs and outputs defines this itself."""
        if self._graph is None:
            raise UsageError(
                f"{type(self).__name__} must define call(x), or be given inputs and outputs: Model(inputs, outputs)"
            )
        if mask is not None:
            raise UsageError(f"{self}: gpudl has no masks")
        return self._graph.run(self._graph.flat(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        graph = self._graph
        if graph is not None and [x.shape for x in graph.flat_inputs] == _flat_shapes(input_shape):
            return mapped(lambda x: x.shape, graph.outputs)
        return super().compute_output_shape(input_shape)

    # What it consists of

    def sublayers(self) -> Iterator[Layer]:
        found = [] if self._graph is None else list(self._graph.layers)
        yield from found
        for layer in super().sublayers():
            if not any(layer is other for other in found):
                yield layer

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self.sublayers())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or position. Raises: UsageError, with the nearest name."""
        if (name is None) == (index is None):
            raise UsageError("get_layer takes the name of a layer or its index, one of them")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise UsageError(f"{self} has no layer with index {index}; it has {len(self.layers)} layers")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise UsageError(f'{self} has no layer "{name}"{did_you_mean(str(name), names)}; it has {", ".join(names)}')

    @property
    def nodes(self) -> list[GraphNode]:
        """The calls the model makes, in order, with what each takes; none where the model has no graph."""
        return [] if self._graph is None else self._graph.described()

    def _need_graph(self, what: str) -> Graph:
        if self._graph is None:
            raise UsageError(
                f"{self} has no {what}: its graph is not known; make it of Input(...) and layers, as Sequential with "
                "an Input first or Model(inputs, outputs)"
            )
        return self._graph

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, as in Model(model.inputs, model.get_layer("dense").output)."""
        return list(self._need_graph("inputs").flat_inputs)

    @property
    def outputs(self) -> list[Any]:
        """The symbolic outputs."""
        return list(self._need_graph("outputs").flat_outputs)

    @property
    def input(self) -> Any:
        return self._need_graph("input").inputs

    @property
    def output(self) -> Any:
        return self._need_graph("output").outputs

    @property
    def input_names(self) -> list[str]:
        return list(self._need_graph("input names").input_names)

    @property
    def output_names(self) -> list[str]:
        return list(self._need_graph("output names").output_names)

    @property
    def input_shape(self) -> Any:
        """The shape of what the model takes, its batch being None; several in the inputs' structure.

        Raises: UsageError before the model is built.
        """
        if not self.built:
            raise UsageError(f"{self} is not built; give the first layer an Input, or call build(input_shape)")
        return mapped(lambda x: x.shape, self._need_graph("input shape").inputs)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, its batch being None; several in the outputs' structure.

        Raises: UsageError before the model is built.
        """
        if not self.built:
            raise UsageError(f"{self} is not built; give the first layer an Input, or call build(input_shape)")
        return mapped(lambda x: x.shape, self._need_graph("output shape").outputs)

    @property
    def sample_shape(self) -> OpenShape | None:
        """The shape of one sample, without the batch; None where it is not known, or there are several inputs."""
        if self._graph is None or len(self._graph.flat_inputs) != 1:
            return None
        return self._graph.flat_inputs[0].shape[1:]

    def multiply_adds(self, input_shape: Any, output_shape: Any) -> int:
        return sum(node.multiply_adds for node in self.nodes)

    def _output_names(self) -> list[str] | None:
        """What the outputs are called; None where only the first call will tell how many there are."""
        if self._graph is None:
            return None
        outputs = self._graph.outputs
        by_key = isinstance(outputs, dict) and len(outputs) == len(self._graph.flat_outputs)
        return sorted(outputs) if by_key else self._graph.output_names

    # Looking and saving

    def summary(self, line_length: int | None = None, print_fn: Any = None, **_: Any) -> None:
        """Print a table: layer, output shape, parameters, multiply-adds of one sample."""
        from rich.console import Console

        console = Console(highlight=False, width=line_length, record=print_fn is not None, quiet=False)
        if print_fn is None:
            console.print(summary_table(self))
            return
        with console.capture() as captured:
            console.print(summary_table(self))
        print_fn(captured.get())

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write architecture, weights, optimizer and how the model was compiled into one file.

        A name in `.keras` gives Keras's format, any other gpudl's own, safetensors.

        Raises: TrainingError where the file cannot be written; an older file stays. UsageError where a layer is not
        registered.
        """
        from gpudl.models.saving import save_model

        save_model(self, filepath, overwrite)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone, as `.weights.h5` (Keras's format) or `.safetensors`.

        Raises: TrainingError where the file cannot be written; an older file stays. UsageError for other names.
        """
        from gpudl.models.weight_files import save_weights

        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
        """Overwrite the weights by those of a file that gpudl or Keras 3 saved from a model of the same structure.

        Raises: ModelFileError where the file is damaged; UsageError where it does not fit.
        """
        from gpudl.models.weight_files import load_weights

        load_weights(self, filepath, skip_mismatch)

    def write_backup(self, path: str | os.PathLike[str]) -> None:
        """Write where the training under way stands: weights, optimizer, state, callbacks.

        Raises: TrainingError where the file cannot be written; an older file stays.
        """
        from gpudl.models.backup import write_backup

        write_backup(self, path, self.training_checkpoint(self.fit_callbacks))

    def read_backup(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Go back to where `write_backup` was called, and return what `fit(resume=...)` takes.

        Raises: ModelFileError where the file is damaged; UsageError where it is of another model.
        """
        from gpudl.models.backup import read_backup

        return read_backup(self, path)

    def to_json(self, **settings: Any) -> str:
        """Return the architecture as text, which `models.model_from_json` reads; `settings` are those of json.dumps."""
        from gpudl.models.architecture import model_to_json

        return model_to_json(self, **settings)

    def get_config(self) -> dict[str, Any]:
        if self._graph is None:
            return super().get_config()
        config = {"name": self.name, **described_graph(self._graph)}
        return config if self.trainable else {**config, "trainable": False}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make a model from what `get_config` returned; `custom_objects` lends classes of one's own by their names."""
        if "nodes" not in config:
            return super().from_config(config)
        with custom_object_scope(custom_objects):
            inputs, outputs = graph_of(config)
        return cls(inputs, outputs, name=config.get("name"), trainable=config.get("trainable", True))


def _flat_shapes(shapes: Any) -> list[OpenShape]:
    found: list[OpenShape] = []
    mapped_shapes(found.append, shapes)
    return found
