"""The graph of a functional model: which calls lead from its inputs to its outputs, and in what order they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpudl import ops
from gpudl.activations import relu
from gpudl.autograd import Tensor
from gpudl.backend.devices import put
from gpudl.errors import ShapeError, UsageError, did_you_mean
from gpudl.layers.base import Layer
from gpudl.layers.reshaping import InputLayer
from gpudl.models.moved_relu import ReluMove, Relus, is_on_one, is_plain_relu
from gpudl.shapes import shown
from gpudl.structures import leaves, mapped
from gpudl.symbolic import Node, OpenShape, SymbolicTensor


@dataclass
class GraphNode:
    """One call of a graph, for tables and pictures."""

    name: str
    kind: str
    inputs: list[GraphNode]
    input_shapes: list[Any]
    """The shape of each argument; several, where an argument is a list."""
    output_shapes: list[OpenShape]
    layer: Layer | None
    """The layer that is called; None for inputs and ops."""

    @property
    def multiply_adds(self) -> int:
        if self.layer is None:
            return 0
        return self.layer.multiply_adds(self.input_shapes[0], self.output_shapes[0])


class Graph:
    """Calls between symbolic inputs and outputs, found by walking back from the outputs.

    `inputs` and `outputs` are symbolic tensors, singly or in lists, tuples or dicts. `nodes` are in an order in which
    they can be computed, `layers` in Keras's order, so that lists of weights can be exchanged.

    Raises: UsageError where an output depends on an input that is not among `inputs`, or two layers have one name.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.flat_inputs = _symbolic(inputs, "inputs")
        self.flat_outputs = _symbolic(outputs, "outputs")
        self.nodes, operations = _in_order(self.flat_inputs, self.flat_outputs)
        self.layers = [operation for operation in operations if isinstance(operation, Layer)]
        names = [layer.name for layer in self.layers]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f'two layers are named "{name}"; give one of them another name')
        self.input_names = _names(inputs, self.flat_inputs)
        self._op_names = self._named_ops()
        self.output_names = [self._op_names.get(id(x.node)) or _operation_name(x.node) for x in self.flat_outputs]
        self._steps = self._plan()
        shape = self.flat_inputs[0].shape
        self._sample = shape[1:] if len(self.flat_inputs) == 1 and None not in shape[1:] else None
        """The shape of a sample where there is one input of fixed shape."""

    def _named_ops(self) -> dict[int, str]:
        """Call the ops of this graph `add`, `add_1`, ...: each unlike the others, and unlike the layers."""
        names = Counter(layer.name for layer in self.layers)
        found = {}
        for node in self.nodes:
            if not isinstance(node.operation, Layer):
                base = _operation_name(node)
                while names[name := f"{base}_{names[base]}" if names[base] else base]:
                    names[base] += 1
                names[base] += 1
                if name != base:
                    names[name] += 1
                found[id(node)] = name
        return found

    def _plan(self) -> list[_Step]:
        """Number every symbolic tensor, and note for each step what it takes, makes and what is needed no longer."""
        places = {id(x): i for i, x in enumerate(self.flat_inputs)}
        for node in self.nodes:
            for x in leaves(node.outputs):
                places.setdefault(id(x), len(places))
        last_use = {places[id(x)]: number for number, node in enumerate(self.nodes) for x in node.sources}
        kept = {places[id(x)] for x in self.flat_outputs}
        self._places = len(places)
        self._output_places = [places[id(x)] for x in self.flat_outputs]
        consumers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for x in node.sources:
                consumers.setdefault(places[id(x)], []).append(node)

        def follower(node: Node) -> Node | None:
            """Return the call that takes what this one makes, if there is but one and that takes nothing else."""
            made = next(places[id(x)] for x in leaves(node.outputs))
            only = consumers.get(made, []) if made not in kept else []
            return only[0] if len(only) == 1 and is_on_one(only[0]) else None

        steps = []
        for number, node in enumerate(self.nodes):
            made = [places[id(x)] for x in leaves(node.outputs)]
            done = [place for place in {places[id(x)] for x in node.sources} - kept if last_use[place] == number]
            steps.append(_Step(node, places, made, done, ReluMove.of(node, follower)))
        return steps

    def described(self) -> list[GraphNode]:
        """Return every call with its name, what it takes and the shapes it gives, inputs first."""
        found: dict[int, GraphNode] = {}
        for name, x in zip(_names(self.flat_inputs, self.flat_inputs), self.flat_inputs, strict=True):
            found[id(x)] = GraphNode(name, "InputLayer", [], [], [x.shape], None)
        for node in self.nodes:
            operation = node.operation
            if isinstance(operation, Layer):
                name, kind, layer = operation.name, type(operation).__name__, operation
            else:
                name, kind, layer = self._op_names[id(node)], _operation_name(node), None
            shapes = [x.shape for x in leaves(node.outputs)]
            before = mapped(lambda x: tuple(getattr(x, "shape", ())), node.arguments)
            described = GraphNode(name, kind, [found[id(x)] for x in node.sources], list(before), shapes, layer)
            for x in leaves(node.outputs):
                found[id(x)] = described
        return list({id(node): node for node in found.values()}.values())

    def run(self, flat_inputs: Sequence[Any]) -> Any:
        """Compute the outputs for these inputs, in the structure of `outputs`; a list of one is that one."""
        values: list[Any] = [None] * self._places
        values[: len(flat_inputs)] = flat_inputs
        relus = Relus()
        for step in self._steps:
            step(values, relus)
        if isinstance(self.outputs, SymbolicTensor) or (
            isinstance(self.outputs, (list, tuple)) and len(self._output_places) == 1
        ):
            return values[self._output_places[0]]
        found = iter(values[place] for place in self._output_places)
        return mapped(lambda _: next(found), self.outputs)

    def flat(self, x: Any) -> list[Any]:
        """Return what a model is called on as a list, one entry for each input, each of that input's rank.

        Raises: UsageError or ShapeError naming the input that is missing or does not fit.
        """
        if self._sample is not None and type(x) is np.ndarray and x.shape[1:] == self._sample:
            return [x]
        if isinstance(x, dict) and not (isinstance(self.inputs, dict) and len(self.inputs) < len(self.flat_inputs)):
            missing = [name for name in self.input_names if name not in x]
            if missing:
                near = did_you_mean(missing[0], list(x))
                raise UsageError(
                    f'the input "{missing[0]}" is missing; the model takes {_quoted(self.input_names)}, but was given '
                    f"{_quoted(x)}{near}"
                )
            given = [x[name] for name in self.input_names]
        else:
            given = list(leaves(x))
        if len(given) != len(self.flat_inputs):
            raise UsageError(
                f"the model takes {len(self.flat_inputs)} inputs, {_quoted(self.input_names)}, "
                f"but was given {len(given)}; give a list with one for each, or a dict by these names"
            )
        return [
            _fitting(value, place, name, len(given) == 1)
            for value, place, name in zip(given, self.flat_inputs, self.input_names, strict=True)
        ]


class _Step:
    """One call of the plan: takes its inputs from a list of values by number and puts its outputs there."""

    def __init__(
        self, node: Node, places: dict[int, int], made: list[int], done: list[int], move: ReluMove | None
    ) -> None:
        self.operation, self.settings, self.made, self.done = node.operation, node.settings, made, done
        self.move = move
        self.single = len(made) == 1 and not isinstance(node.outputs, (list, tuple, dict))
        self.arguments = node.arguments
        self.places = places
        self.simple = places[id(node.arguments[0])] if is_on_one(node) else None

    def __call__(self, values: list[Any], relus: Relus) -> None:
        more = {} if self.move is None else self.move.settings(relus, self.made[0])
        if self.simple is not None:
            y = self._on_one(values[self.simple], self.simple, more, relus)
        else:

            def filled(x: Any) -> Any:
                if isinstance(x, SymbolicTensor):
                    return values[self.places[id(x)]]
                return put(x) if isinstance(x, np.ndarray) else x

            y = self.operation(*mapped(filled, self.arguments), **{**mapped(filled, self.settings), **more})
        for place in self.done:
            values[place] = None
        if self.single:
            values[self.made[0]] = y
        else:
            for place, part in zip(self.made, leaves(y), strict=True):
                values[place] = part

    def _on_one(self, x: Any, place: int, more: dict[str, Any], relus: Relus) -> Any:
        """Call a layer on one input, or not at all where it is a ReLU that is made elsewhere."""
        if place in relus.made or (self.made[0] in relus.late and is_plain_relu(self.operation)):
            return x
        y = self.operation(x, **more)
        return relu(y) if place in relus.late else y


def _symbolic(structure: Any, what: str) -> list[SymbolicTensor]:
    found = list(leaves(structure))
    for x in found:
        if not isinstance(x, SymbolicTensor):
            fit = "is a layer; call it on a symbolic tensor" if isinstance(x, Layer) else f"is a {type(x).__name__}"
            raise UsageError(f"Model({what}=...): {what} must come from Input(shape) and layers, but one {fit}")
    if not found:
        raise UsageError(f"Model({what}=...) is empty")
    return found


def _names(structure: Any, flat: Sequence[SymbolicTensor]) -> list[str]:
    """The names of inputs: those of a dict (unless its entries are lists), else of the Input layers."""
    if isinstance(structure, dict) and len(structure) == len(flat):
        return sorted(structure)
    return [x.node.operation.name if isinstance(x.node.operation, InputLayer) else x.name for x in flat]


def _operation_name(node: Node) -> str:
    return node.operation.name if isinstance(node.operation, Layer) else node.operation.__name__.lstrip("_")


def _quoted(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _in_order(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor]) -> tuple[list[Node], list[Any]]:
    """Return the nodes between inputs and outputs, and the operations, as Keras orders them.

    An operation's depth is the longest way from it to an output; the deepest come first, and among equals those that a
    walk back from the outputs meets first.
    """
    given = {id(x) for x in inputs}
    finished: list[Node] = []
    seen: set[int] = set()
    met: dict[int, tuple[int, Any]] = {}
    waiting: list[SymbolicTensor | Node] = list(reversed(outputs))
    while waiting:
        here = waiting.pop()
        if isinstance(here, Node):
            finished.append(here)
            continue
        node = here.node
        begins_here = id(here) in given and not isinstance(node.operation, InputLayer)
        if id(node) in seen or begins_here:
            continue
        seen.add(id(node))
        met.setdefault(_key(node), (len(met), node.operation))
        waiting.append(node)  # finished once all that it needs is
        waiting.extend(reversed(node.sources))
    node_depth: dict[int, int] = {}
    depth: dict[int, int] = {}
    in_graph = {id(node) for node in finished}
    for node in reversed(finished):
        own = max(node_depth.get(id(node), 0), depth.get(_key(node), 0))
        depth[_key(node)] = node_depth[id(node)] = own
        for x in node.sources:
            if id(x.node) in in_graph:
                node_depth[id(x.node)] = max(node_depth.get(id(x.node), 0), own + 1)
    for x in inputs:  # inputs that lead nowhere are allowed: they count as the last
        if isinstance(x.node.operation, InputLayer) and _key(x.node) not in met:
            met[_key(x.node)] = (-1, x.node.operation)
            depth[_key(x.node)] = 0
    reached: set[int] = set(given)
    for x in outputs:
        if isinstance(x.node.operation, InputLayer) and id(x) not in given:
            raise UsageError(
                f"the graph is disconnected: {_described(x.node)} is among the outputs, but not among the inputs "
                f"given, {_quoted(x.name for x in inputs)}"
            )
    calls = [node for node in finished if not isinstance(node.operation, InputLayer)]
    nodes = sorted(calls, key=lambda node: -node_depth[id(node)])
    fine: list[str] = []
    for node in nodes:
        for x in node.sources:
            if id(x) not in reached:
                after = f"; reached without it: {', '.join(dict.fromkeys(fine))}" if fine else ""
                raise UsageError(
                    f"the graph is disconnected: {_described(node)} needs {_described(x.node)}, which does not come "
                    f"from the inputs given, {_quoted(x.name for x in inputs)}{after}. Add its Input to inputs=[...]"
                )
        reached.update(id(x) for x in leaves(node.outputs))
        fine.append(_operation_name(node))
    operations = sorted(met, key=lambda key: (-depth[key], met[key][0]))
    return nodes, [met[key][1] for key in operations]


def _key(node: Node) -> int:
    """One for each layer however often it is called; one for each call of an op."""
    return id(node.operation) if isinstance(node.operation, Layer) else id(node)


def _described(node: Node) -> str:
    if isinstance(node.operation, InputLayer):
        return f'the input "{node.operation.name}"'
    return str(node.operation) if isinstance(node.operation, Layer) else f"the op {_operation_name(node)}"


def _fitting(x: Any, place: SymbolicTensor, name: str, alone: bool) -> Any:
    """Return x with the rank of its input: (N,) samples fit (N, 1), and the other way round. Raises: ShapeError."""
    shape, wanted = tuple(x.shape), place.shape
    if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        x = ops.expand_dims(x, -1) if isinstance(x, Tensor) else x[..., None]
    elif len(shape) == len(wanted) + 1 and shape[-1] == 1:
        x = ops.squeeze(x, -1) if isinstance(x, Tensor) else x[..., 0]
    arrived, shape = shape, tuple(x.shape)
    if len(shape) != len(wanted) or any(m is not None and m != n for m, n in zip(wanted[1:], shape[1:], strict=True)):
        hint = ""
        if arrived == wanted[1:]:
            hint = "; a single sample needs an axis in front, as in x[None]"
        elif arrived[1:] == wanted[2:]:
            hint = "; the shape that Input is given is that of one sample, without the number of samples"
        who = "the model is built for" if alone else f'the input "{name}" takes'
        raise ShapeError(
            f"{who} samples of shape {shown(wanted[1:])}, but those that arrive have shape {shown(shape[1:])}{hint}"
        )
    return x
