"""Functional models: Keras's list of layers, each with the calls made of it, and gpudl's graph.

Keras writes a symbolic tensor by its history: the layer it comes from, the how-manieth call of that layer, and the
how-manieth output of that call. Ops are layers of their own there. Where a model's inputs and outputs are listed (and
only there), calls of a functional model inside are counted from 1.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gpudl.autograd import Tensor, known_ops
from gpudl.errors import ModelFileError, UsageError
from gpudl.layers.base import Layer
from gpudl.layers.reshaping import InputLayer
from gpudl.models.graph import Graph
from gpudl.models.model import Model
from gpudl.structures import leaves
from gpudl.symbolic import SymbolicTensor

_OPS = {
    "absolute": "numpy.Absolute",
    "add": "numpy.Add",
    "divide": "numpy.TrueDivide",
    "exp": "numpy.Exp",
    "getitem": "numpy.GetItem",
    "log": "numpy.Log",
    "matmul": "numpy.Matmul",
    "maximum": "numpy.Maximum",
    "mean": "numpy.Mean",
    "minimum": "numpy.Minimum",
    "multiply": "numpy.Multiply",
    "negative": "numpy.Negative",
    "power": "numpy.Power",
    "relu": "nn.Relu",
    "sigmoid": "nn.Sigmoid",
    "softmax": "nn.Softmax",
    "sqrt": "numpy.Sqrt",
    "square": "numpy.Square",
    "subtract": "numpy.Subtract",
    "sum": "numpy.Sum",
    "tanh": "numpy.Tanh",
}
"""Keras's class for each op of gpudl that a file may hold."""

_OURS = {name.split(".")[1]: op for op, name in _OPS.items()} | {"Divide": "divide"}

# From Keras to gpudl


class _NotYet(Exception):  # noqa: N818  waiting is no error
    """A call takes what a later call makes."""


def is_op(spec: Mapping[str, Any]) -> bool:
    """Whether a layer of a configuration is an op."""
    return str(spec.get("module")).startswith("keras.src.ops.")


def make_functional(config: Mapping[str, Any], where: str, make: Callable[[Any, str], Layer]) -> Model:
    """Make the layers with `make`, call them as the configuration says, and return the model.

    Raises: ModelFileError for ops that gpudl does not have, and calls that do not fit together.
    """
    specs = config.get("layers")
    if not isinstance(specs, list) or not all(isinstance(spec, dict) for spec in specs):
        raise ModelFileError(f"{where}: the file does not say which layers it has")
    made: dict[str, list[list[SymbolicTensor]]] = {}
    waiting: list[tuple[str, Callable[..., Any], list[Any]]] = []
    for spec in specs:
        name = str(spec.get("name"))
        operation = _op(spec, name) if is_op(spec) else make(spec, where)
        made[name] = [[operation.output]] if isinstance(operation, InputLayer) else []
        if not isinstance(operation, InputLayer):
            waiting.append((name, operation, list(spec.get("inbound_nodes") or [])))

    def tensor(name: str, call: int, output: int) -> SymbolicTensor:
        if name not in made:
            raise ModelFileError(f'{where}: a call takes the output of "{name}", which the model does not have')
        if call >= len(made[name]):
            raise _NotYet
        return made[name][call][output]

    while any(calls for _, _, calls in waiting):
        before = sum(len(calls) for _, _, calls in waiting)
        for name, operation, calls in waiting:
            while calls:
                try:
                    arguments, settings = _arguments(calls[0], tensor, f'layer "{name}"')
                except _NotYet:
                    break
                made[name].append(list(leaves(operation(*arguments, **settings))))
                calls.pop(0)
        if sum(len(calls) for _, _, calls in waiting) == before:
            stuck = next(name for name, _, calls in waiting if calls)
            raise ModelFileError(f'{where}: layer "{stuck}" takes what nothing in the model makes')
    models = {str(spec.get("name")) for spec in specs if spec.get("class_name") == "Functional"}

    def end(name: str, call: int, output: int) -> SymbolicTensor:
        return tensor(name, call - (name in models), output)

    try:
        ends = [_ends(config.get(key), end, where) for key in ("input_layers", "output_layers")]
    except _NotYet:
        raise ModelFileError(f"{where}: an output is one that nothing in the model makes") from None
    return Model(*ends, name=config.get("name"), trainable=config.get("trainable") is not False)


def _op(spec: Mapping[str, Any], name: str) -> Callable[..., Any]:
    called = str(spec.get("class_name"))
    if called not in _OURS or _OURS[called] not in known_ops:
        raise ModelFileError(f'layer "{name}": gpudl does not read the op {called}; a layer can stand for it')
    op = known_ops[_OURS[called]]
    settings = {key: value for key, value in (spec.get("config") or {}).items() if key not in ("name", "dtype")}
    if called == "GetItem":
        return lambda x, index: op(x, index=tuple(index) if isinstance(index, list) else index)
    return lambda *arguments: op(*arguments, **settings)


def _arguments(call: Any, tensor: Callable[..., SymbolicTensor], where: str) -> tuple[list[Any], dict[str, Any]]:
    if not isinstance(call, dict) or not isinstance(call.get("args"), list):
        raise ModelFileError(f"{where}: a call of it is written in a way of older versions of Keras; save it anew")
    settings = {name: _read(value, tensor, where) for name, value in (call.get("kwargs") or {}).items()}
    return [_read(value, tensor, where) for value in call["args"]], {k: v for k, v in settings.items() if v is not None}


def _read(value: Any, tensor: Callable[..., SymbolicTensor], where: str) -> Any:
    if isinstance(value, list):
        return [_read(item, tensor, where) for item in value]
    if not isinstance(value, dict):
        return value
    config = value.get("config")
    if "class_name" not in value:
        return {name: _read(item, tensor, where) for name, item in value.items()}
    if value["class_name"] == "__ellipsis__":
        return Ellipsis
    if isinstance(config, dict):
        if value["class_name"] == "__keras_tensor__":
            return tensor(*config["keras_history"])
        if value["class_name"] == "__slice__":
            return slice(config.get("start"), config.get("stop"), config.get("step"))
        if value["class_name"] in ("__numpy__", "__tensor__"):
            return np.array(config["value"], config["dtype"])
    raise ModelFileError(f"{where}: it is called on a {value['class_name']}, which gpudl does not have")


def _ends(ends: Any, tensor: Callable[..., SymbolicTensor], where: str) -> Any:
    """Return the inputs or outputs in their structure: each of them is written as [layer, call, output]."""
    if isinstance(ends, dict):
        return {name: _ends(end, tensor, where) for name, end in ends.items()}
    if isinstance(ends, list) and len(ends) == 3 and isinstance(ends[0], str):
        return tensor(*ends)
    if isinstance(ends, list) and ends:
        return [_ends(end, tensor, where) for end in ends]
    raise ModelFileError(f"{where}: the file does not say what goes in or what comes out")


# From gpudl to Keras


def functional_config(
    model: Model, graph: Graph, configure: Callable[[Layer], dict[str, Any]], new_input: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """Return the configuration of a functional model; `configure` writes a layer, `new_input` an InputLayer.

    Raises: UsageError for an op, or something given to one, that Keras's files cannot hold.
    """
    histories: dict[int, list[Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for x in graph.flat_inputs:
        layer = x.node.operation
        name = layer.name if isinstance(layer, InputLayer) else x.name
        entry = configure(layer) if isinstance(layer, InputLayer) else new_input(name, x.shape[1:], None, x.dtype.name)
        entries[name] = {**entry, "name": name, "inbound_nodes": []}
        histories[id(x)] = [name, 0, 0]
    for layer in graph.layers:
        if not isinstance(layer, InputLayer):
            entries[layer.name] = {**configure(layer), "name": layer.name, "inbound_nodes": []}
    counts = Counter(list(entries))
    for node in graph.nodes:
        arguments, settings = list(node.arguments), dict(node.settings)
        if isinstance(node.operation, Layer):
            name = node.operation.name
        else:
            base = getattr(node.operation, "__name__", "op")
            name = base
            while name in entries:
                name = f"{base}_{counts[base]}"
                counts[base] += 1
            entries[name], arguments, settings = _op_entry(node.operation, name, arguments, settings, str(model))
        calls = entries[name]["inbound_nodes"]
        for i, x in enumerate(leaves(node.outputs)):
            histories[id(x)] = [name, len(calls), i]
        calls.append(
            {
                "args": [_written(value, histories, name) for value in arguments],
                "kwargs": {key: _written(value, histories, name) for key, value in settings.items()},
            }
        )
    ends = {}
    for x in (*graph.flat_inputs, *graph.flat_outputs):
        name, call, output = histories[id(x)]
        ends[id(x)] = [name, call + (entries[name]["class_name"] == "Functional"), output]
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": list(entries.values()),
        "input_layers": _written_ends(graph.inputs, ends),
        "output_layers": _written_ends(graph.outputs, ends),
    }


def _op_entry(
    op: Any, name: str, arguments: list[Any], settings: dict[str, Any], where: str
) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    called = getattr(op, "__name__", str(op))
    if called not in _OPS or known_ops.get(called) is not op:
        raise UsageError(f"{where} uses the op {called}, which cannot be written for Keras; save as *.safetensors")
    module, kind = _OPS[called].split(".")
    config: dict[str, Any] = {"name": name}
    if called == "getitem":
        arguments, settings = [*arguments, settings["index"]], {}
    elif settings:
        parameters = inspect.signature(op).parameters
        config |= {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items() if key in parameters}
        settings = {}
    entry = {"module": f"keras.src.ops.{module}", "class_name": kind, "config": config, "registered_name": kind}
    return {**entry, "name": name, "inbound_nodes": []}, arguments, settings


def _written(value: Any, histories: Mapping[int, list[Any]], where: str) -> Any:
    if isinstance(value, SymbolicTensor):
        config = {"shape": list(value.shape), "dtype": value.dtype.name, "keras_history": histories[id(value)]}
        return {"class_name": "__keras_tensor__", "config": config}
    if isinstance(value, (list, tuple)):
        return [_written(item, histories, where) for item in value]
    if isinstance(value, dict):
        return {str(name): _written(item, histories, where) for name, item in value.items()}
    if isinstance(value, slice):
        parts = {"start": value.start, "stop": value.stop, "step": value.step}
        return {"class_name": "__slice__", "config": parts}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(value, np.ndarray) and not isinstance(value, Tensor) and value.ndim:
        return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": value.dtype.name}}
    if isinstance(value, (np.generic, np.ndarray)):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UsageError(f'"{where}" is given a {type(value).__name__}, which cannot be written; save as *.safetensors')


def _written_ends(ends: Any, histories: Mapping[int, list[Any]]) -> Any:
    if isinstance(ends, SymbolicTensor):
        return histories[id(ends)]
    if isinstance(ends, Mapping):
        return {name: _written_ends(end, histories) for name, end in ends.items()}
    return [_written_ends(end, histories) for end in ends]
