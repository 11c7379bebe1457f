"""The ops of a step, noted once and called again with the next batch.

In a small network there is more Python between two ops than in them: layers look at what they are called on, Tensors
and nodes are made, the way back is put in order. For batches alike none of it comes out otherwise. So the calls that
one step makes are noted, and made again one after the other.

That is right only where nothing but ops leads from the batch to the results. So of every array that an op is given it
must be known where it comes from: the batch, a weight, or an op before. With any other there is no replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from gpudl.autograd import Node, Parameter, Tensor, go_back, newest_first
from gpudl.backend import Array
from gpudl.backend.room import out_of_memory
from gpudl.shapes import shown
from gpudl.structures import leaves, mapped, refilled

_NOTHING = np.empty(0)

NUMBERS = (bool, int, float, str, type(None))
"""What is given in an array's place and is the same in every step. NumPy's numbers come out of arrays."""


def is_own(part: Any) -> bool:
    """Whether the code of a function or object is gpudl's, and that of all it wraps, by whose name it may go."""
    while part is not None:
        names = getattr(part, "__globals__", None)
        home = getattr(part, "__module__", None) if names is None else names.get("__name__")
        if not str(home).startswith("gpudl."):
            return False
        part = getattr(part, "__wrapped__", None)
    return True


class CannotReplay(Exception):  # noqa: N818  no error: such a step is taken as it is written
    """Something besides ops leads from the batch to the results."""


class _Step(NamedTuple):
    """One call: what it takes and gives, by place in a list of values."""

    op: Callable[..., Any]
    takes: tuple[int, ...]
    settings: dict[str, Any]
    gives: int
    node: Node | None
    """What is given the way back, where a gradient comes by."""
    done: tuple[int, ...] = ()
    """What no later call takes."""


class Notes:
    """Listens to one step, and notes the calls as steps of a replay. No array is kept longer than it would be.

    `arrays` are those of the batch; `weights` all that the step reads or writes.
    """

    def __init__(self, arrays: Sequence[Array | None], weights: Sequence[Parameter]) -> None:
        self.failure: str | None = None
        self.steps: list[_Step] = []
        self.last: Tensor | None = None
        """What stands for the Tensor that `backward()` was called on."""
        self.gradient: Array | None = None
        self.batch = len(arrays)
        self.values: list[Any] = [None] * len(arrays)
        """What is in each place when a replay begins: weights and numbers; None for what comes with the batch."""
        self._known: dict[int, tuple[Callable[[], Array | None], int]] = {}
        self._tensors: dict[int, Tensor] = {}  # by the order of their nodes, what stands for them in a replay
        self._weights = {id(weight) for weight in weights}
        for place, array in enumerate(arrays):
            if array is not None:
                self._failing(id(array) in self._known, "one array is given twice")
                self._known[id(array)] = ref(array), place
        for weight in weights:
            self._failing(id(weight.data) in self._known, "a weight is given as the batch")
            self._known[id(weight.data)] = ref(weight.data), len(self.values)
            self.values.append(weight.data)

    def called(self, op: Callable[..., Any], arrays: tuple[Any, ...], settings: dict[str, Any], result: Any) -> None:
        if self.failure is not None or self.last is not None:
            return  # after `backward()` only gradients call ops, which a replay does as well
        name = op.__name__
        self._failing(not is_own(op), f"{name} is not gpudl's own, and may do something else in every step")
        of_arrays = any(isinstance(value, (Tensor, np.ndarray, np.generic)) for value in leaves(settings))
        self._failing(of_arrays, f"{name} has an array among its settings")
        takes = tuple([self.place_of(array, name) for array in arrays])
        node = None
        if isinstance(result, Tensor) and result.node is not None:
            sources = tuple([self._source(source, name) for source in result.node.inputs])
            tensor = self._tensors[result.node.order] = Tensor(_NOTHING, requires_grad=True)
            node = tensor.node = Node(result.node.op, sources, ())
        value = result.data if isinstance(result, Tensor) else result
        number = isinstance(value, np.generic)  # which has no weak references, and takes no room
        self._known[id(value)] = (lambda: value) if number else ref(value), len(self.values)
        self.steps.append(_Step(op, takes, dict(settings), len(self.values), node))
        self.values.append(None)

    def going_back(self, last: Tensor, gradient: Array | None) -> None:
        self._failing(self.last is not None, "backward() is called twice")
        self._failing(gradient is not None, "backward() is given a gradient")
        self.last = None if last.node is None else self._tensors.get(last.node.order)
        self._failing(self.last is None, "backward() is called on what no op made")
        self.gradient = np.ones(last.shape, last.dtype)

    def place_of(self, value: Any, taker: str) -> int:
        """Return the place of an array, a Tensor or a number."""
        value = value.data if isinstance(value, Tensor) else value
        if type(value) in NUMBERS:
            self.values.append(value)
            return len(self.values) - 1
        known, place = self._known.get(id(value), (None, -1))
        self._failing(known is None or known() is not value, f"{taker} takes a {type(value).__name__} that no op made")
        return place

    def _source(self, source: Tensor | None, taker: str) -> Tensor | None:
        """Return what stands for a Tensor that a gradient is passed to."""
        if source is None or not source.requires_grad:
            return None
        if id(source) in self._weights:
            return source
        found = None if source.node is None else self._tensors.get(source.node.order)
        self._failing(found is None, f"{taker} passes a gradient to what no op made")
        return found

    def _failing(self, condition: bool, reason: str) -> None:
        if condition and self.failure is None:
            self.failure = reason


class Replay:
    """The noted calls, that `result` came of, and the way back where `backward()` was called.

    `keys` are those of all random draws that were made. Raises: CannotReplay.
    """

    def __init__(self, notes: Notes, keys: Sequence[int], result: Any) -> None:
        outputs = list(leaves(result))
        self._outputs = [(notes.place_of(output, "the result"), isinstance(output, Tensor)) for output in outputs]
        self._structure = mapped(lambda _: None, result)
        self._is_flat = type(result) is tuple and len(outputs) == len(result)
        self.keys = list(dict.fromkeys(keys))
        """In whose places `repeat` takes others."""
        self._keyed = [
            (step.settings, name, self.keys.index(value))
            for step in notes.steps
            for name, value in step.settings.items()
            if type(value) is int and value in self.keys
        ]
        if notes.failure is not None:
            raise CannotReplay(notes.failure)
        if len({index for _, _, index in self._keyed}) < len(self.keys):
            raise CannotReplay("a random draw is no setting of an op")
        if any(step.settings["key"] not in self.keys for step in notes.steps if "key" in step.settings):
            raise CannotReplay("an op has a key that no layer drew in this step")
        self._values, self._batch = notes.values, notes.batch
        self._last, self._gradient = notes.last, notes.gradient
        self._way_back = [] if self._last is None else newest_first(self._last)
        on_it = {node.order for _, node in self._way_back}
        self._steps = [
            step._replace(node=step.node if step.node is not None and step.node.order in on_it else None, done=done)
            for step, done in zip(notes.steps, _ends(notes.steps, {place for place, _ in self._outputs}), strict=True)
        ]

    def repeat(self, arrays: Sequence[Array | None], keys: Sequence[int] = ()) -> Any:
        """Compute the result of another batch, and leave the gradients in the weights."""
        for settings, name, index in self._keyed:
            settings[name] = keys[index]
        outputs = self._forward(arrays)
        result = tuple(outputs) if self._is_flat else refilled(self._structure, outputs)
        if self._last is not None and self._gradient is not None:
            go_back(self._last, self._gradient.copy(), self._passed())
        return result

    def _forward(self, arrays: Sequence[Array | None]) -> list[Any]:
        values = self._values.copy()
        values[: self._batch] = arrays
        for op, takes, settings, gives, node, done in self._steps:
            given = [values[place] for place in takes]
            try:
                values[gives], backward = op(*given, **settings)
            except MemoryError as error:
                shapes = ", ".join(shown(value.shape) for value in given if hasattr(value, "shape"))
                raise out_of_memory(error, f"{op.__name__}, called on {shapes}") from None
            if node is not None:
                node.backward = backward
            for place in done:
                values[place] = None
        return [Tensor(values[place]) if is_tensor else values[place] for place, is_tensor in self._outputs]

    def _passed(self) -> Iterator[tuple[Tensor, Node]]:
        """Free what each step of the way back holds as early as can be."""
        for tensor, node in self._way_back:
            yield tensor, node
            node.backward = ()


def _ends(steps: Sequence[_Step], kept: set[int]) -> list[tuple[int, ...]]:
    """Return for each step which results are taken for the last time; `kept` are to stay."""
    last_use = {step.gives: number for number, step in enumerate(steps)}
    for number, step in enumerate(steps):
        last_use.update((place, number) for place in step.takes if place in last_use)
    found: list[list[int]] = [[] for _ in steps]
    for place, number in last_use.items():
        if place not in kept:
            found[number].append(place)
    return [tuple(places) for places in found]
