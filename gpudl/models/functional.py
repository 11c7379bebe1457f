"""A graph in values JSON can hold, and back: layers by their registered names, ops by theirs, never by a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpudl import registry
from gpudl.autograd import Tensor, known_ops
from gpudl.errors import UsageError
from gpudl.layers.base import Layer
from gpudl.layers.reshaping import Input, InputLayer
from gpudl.models.graph import Graph
from gpudl.structures import leaves
from gpudl.symbolic import SymbolicTensor


def described_graph(graph: Graph) -> dict[str, Any]:
    """Return inputs, layers, calls and outputs. A symbolic tensor is written as [call, output]; call -1 are the inputs.

    Raises: UsageError for a layer or an op that has no registered name, and for a constant that is a weight.
    """
    numbers = {id(x): [-1, i] for i, x in enumerate(graph.flat_inputs)}
    for number, node in enumerate(graph.nodes):
        for i, x in enumerate(leaves(node.outputs)):
            numbers.setdefault(id(x), [number, i])

    def written(value: Any) -> Any:
        return _written(value, numbers)

    nodes = []
    for node in graph.nodes:
        called = (
            {"layer": node.operation.name} if isinstance(node.operation, Layer) else {"op": _op_name(node.operation)}
        )
        nodes.append({**called, "arguments": written(list(node.arguments)), "settings": written(dict(node.settings))})
    return {
        "input_layers": [
            {"name": name, "shape": list(x.shape[1:]), "dtype": x.dtype.name}
            for name, x in zip(_layer_names(graph), graph.flat_inputs, strict=True)
        ],
        "layers": [
            {**registry.describe("layers", layer), "name": layer.name}  # which an own get_config may leave out
            for layer in graph.layers
            if not isinstance(layer, InputLayer)
        ],
        "nodes": nodes,
        "inputs": written(graph.inputs),
        "outputs": written(graph.outputs),
    }


def _layer_names(graph: Graph) -> list[str]:
    return [x.node.operation.name if isinstance(x.node.operation, InputLayer) else x.name for x in graph.flat_inputs]


def graph_of(config: dict[str, Any]) -> tuple[Any, Any]:
    """Make the layers of what `described_graph` returned, and call them again; return symbolic inputs and outputs."""
    made: list[list[SymbolicTensor]] = []
    inputs = [Input(tuple(x["shape"]), dtype=x["dtype"], name=x["name"]) for x in config["input_layers"]]
    layers = {}
    for settings in config["layers"]:
        layer = registry.resolve("layers", dict(settings))
        layers[layer.name] = layer

    def read(value: Any) -> Any:
        return _read(value, lambda call, i: inputs[i] if call == -1 else made[call][i])

    for node in config["nodes"]:
        if "layer" in node:
            operation: Callable[..., Any] = layers[node["layer"]]
        elif node["op"] in known_ops:
            operation = known_ops[node["op"]]
        else:
            raise UsageError(f'the model uses the op "{node["op"]}", which this version of gpudl does not have')
        made.append(list(leaves(operation(*read(node["arguments"]), **read(node["settings"])))))
    return read(config["inputs"]), read(config["outputs"])


def _op_name(op: Callable[..., Any]) -> str:
    if known_ops.get(op.__name__) is not op:
        raise UsageError(f"the op {op.__name__} has the name of another op, so a model that uses it cannot be saved")
    return op.__name__


def _written(value: Any, numbers: dict[int, list[int]]) -> Any:
    if isinstance(value, SymbolicTensor):
        return {"tensor": numbers[id(value)]}
    if isinstance(value, Tensor):
        raise UsageError(
            "an op of the model uses a weight or a Tensor that no layer owns; put it into a layer of its own, so that "
            "it can be saved"
        )
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_written(item, numbers) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_written(item, numbers) for item in value]}
    if isinstance(value, dict):
        return {"dict": {str(name): _written(item, numbers) for name, item in value.items()}}
    if isinstance(value, slice):
        return {"slice": [_written(part, numbers) for part in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.generic):
        return {"number": value.item(), "dtype": value.dtype.name}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    raise UsageError(f"an op of the model was given a {type(value).__name__}, which cannot be written down")


def _read(value: Any, tensor: Callable[[int, int], SymbolicTensor]) -> Any:
    if isinstance(value, list):
        return [_read(item, tensor) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensor(*value["tensor"])
    if "tuple" in value:
        return tuple(_read(item, tensor) for item in value["tuple"])
    if "slice" in value:
        return slice(*(_read(part, tensor) for part in value["slice"]))
    if "ellipsis" in value:
        return Ellipsis
    if "number" in value:
        return np.dtype(value["dtype"]).type(value["number"])
    if "array" in value:
        return np.array(value["array"], value["dtype"])
    return {name: _read(item, tensor) for name, item in value["dict"].items()}
