"""Reverse-mode automatic differentiation: Tensor, Parameter and the tape.

A Tensor wraps an array. An op called on Tensors computes its value on the plain arrays and hangs a `Node` on the
result: which Tensors went in and how a gradient comes back. `loss.backward()` visits those nodes from the newest to
the oldest, so every gradient is complete before it is passed on. That chain of nodes is the whole tape.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ContextDecorator, contextmanager, suppress
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

import numpy as np

from gpudl import arithmetic
from gpudl.backend import Array, Shape, array_module, library, to_numpy
from gpudl.backend.devices import beside
from gpudl.backend.later import Later
from gpudl.backend.room import out_of_memory
from gpudl.errors import UsageError

Settings = ParamSpec("Settings")
Value = TypeVar("Value")
Backward: TypeAlias = Callable[[Array], Any] | tuple[Callable[[Array], Array | Later] | None, ...]
"""One function from dy to the gradients of all arrays, or one function per array, called only where it is wanted.

Of the latter each may return its gradient later, or be `Into`."""


class Into:
    """A way back `write(dy, out)` that fills and returns `out`, where it is given one, instead of making an array."""

    __slots__ = ("write",)

    def __init__(self, write: Callable[[Array, Array | None], Array | Later]) -> None:
        self.write = write

    def __call__(self, dy: Array) -> Array | Later:
        return self.write(dy, None)


known_ops: dict[str, Callable[..., Any]] = {}
"""Every op by its name: what a saved graph may name."""


class Listener(Protocol):
    """Who is told, within `listening`, what is computed."""

    def called(self, op: Callable[..., Any], arrays: tuple[Any, ...], settings: dict[str, Any], result: Any) -> None:
        """An op, the function of plain arrays, was called and gave `result`. What ops call themselves is not told."""

    def going_back(self, last: Tensor, gradient: Array | None) -> None:
        """`backward(gradient)` is called on `last`."""


class _Recording(threading.local):
    enabled = True
    listener: Listener | None = None


_recording = _Recording()
_order = itertools.count()


class no_grad(ContextDecorator):  # noqa: N801  PyTorch's name
    """Within this context ops on Tensors are not recorded."""

    def __enter__(self) -> None:
        self._before, _recording.enabled = _recording.enabled, False

    def __exit__(self, *error: object) -> None:
        _recording.enabled = self._before

    def _recreate_cm(self) -> no_grad:
        return no_grad()  # for each call of a function it decorates, which may call itself


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Within this context `listener` is told of all calls of ops and of `backward()` by this thread."""
    before, _recording.listener = _recording.listener, listener
    try:
        yield
    finally:
        _recording.listener = before


class Node:
    """How a Tensor came to be: the op, its settings, the Tensors that went in (None for plain arrays), the way back."""

    __slots__ = ("backward", "inputs", "op", "order", "settings")

    def __init__(
        self,
        op: Callable[..., Any],
        inputs: tuple[Tensor | None, ...],
        backward: Backward,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.backward = backward
        self.settings = {} if settings is None else settings
        self.order = next(_order)


_USED = Node(lambda: None, (), ())


class Tensor:
    """An array that remembers how it was computed.

    `data` is the plain array, `grad` the gradient that `backward()` left (leaves only), `node` the last step of the
    computation. Leaves made with `requires_grad=True` collect gradients, which add up until they are cleared.
    """

    __slots__ = ("data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # so that `ndarray + Tensor` asks Tensor

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        if type(data) is not np.ndarray:  # asked first, since ops return arrays
            data = _plain(data)
            data = data if hasattr(data, "ndim") else np.asarray(data)
        self.data: Array = data
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.node: Node | None = None

    @property
    def shape(self) -> Shape:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    def numpy(self) -> np.ndarray:
        """Return the values as a NumPy array. No gradient passes through it."""
        return to_numpy(self.data)

    def item(self) -> float:
        """Return the only element as a Python number."""
        return self.data.item()

    def detach(self) -> Tensor:
        """Return a Tensor of the same array that no gradient passes."""
        return Tensor(self.data)

    def backward(self, gradient: Array | None = None) -> None:
        """Compute the gradient of this value for every leaf that requires one, adding to its `grad`.

        `gradient` is the gradient of what follows for this value; a single number needs none. The tape is used up.
        Raises: UsageError where nothing was recorded, or for an array without `gradient`.
        """
        if not self.requires_grad:
            raise UsageError(
                "backward(): nothing was recorded; compute the value from Parameters or Tensors with "
                "requires_grad=True, outside no_grad(), and call backward() once"
            )
        if _recording.listener is not None:
            _recording.listener.going_back(self, gradient)
        if gradient is None:
            if self.data.size != 1:
                raise UsageError(f"backward() of an array of shape {self.shape} needs a gradient; or reduce it first")
            gradient = array_module(self.data).ones(self.shape, self.dtype)
        elif gradient.shape != self.shape:
            raise UsageError(f"backward(): the gradient has shape {gradient.shape}, but the value has {self.shape}")
        if self.node is None:
            self.accumulate(gradient)
            return
        go_back(self, gradient, _used_up(newest_first(self)))

    def accumulate(self, gradient: Array) -> None:
        """Add to this leaf's gradient."""
        self.grad = gradient.copy() if self.grad is None else self.grad + gradient

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({to_numpy(self.data)!r})"

    def __len__(self) -> int:
        return len(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self.data)))

    def __eq__(self, other: Any) -> Any:
        return False if other is None else self.data == _plain(other)

    def __ne__(self, other: Any) -> Any:
        return True if other is None else self.data != _plain(other)

    __hash__ = object.__hash__

    def __lt__(self, other: Any) -> Array:
        return self.data < _plain(other)

    def __le__(self, other: Any) -> Array:
        return self.data <= _plain(other)

    def __gt__(self, other: Any) -> Array:
        return self.data > _plain(other)

    def __ge__(self, other: Any) -> Array:
        return self.data >= _plain(other)

    def __add__(self, other: Any) -> Tensor:
        return add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return matmul(other, self)

    def __neg__(self) -> Tensor:
        return negative(self)

    def __abs__(self) -> Tensor:
        return absolute(self)

    def __mod__(self, other: Any) -> Tensor:
        return self - Tensor(self.data // _plain(other)) * other

    def __floordiv__(self, other: Any) -> Tensor:
        return Tensor(self.data // _plain(other))

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(str(self), spec)

    def __getitem__(self, index: Any) -> Tensor:
        return getitem(self, index=_plain(index))

    def reshape(self, *shape: Any) -> Tensor:
        return reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return transpose(self, axes=order or None)

    @property
    def T(self) -> Tensor:  # noqa: N802  NumPy's name
        return transpose(self)

    def sum(self, axis: int | Shape | None = None, keepdims: bool = False, **numpy: None) -> Tensor:
        return sum(self, axis=axis, keepdims=keepdims)  # np.sum(tensor) hands on dtype=None, out=None

    def mean(self, axis: int | Shape | None = None, keepdims: bool = False, **numpy: None) -> Tensor:
        return mean(self, axis=axis, keepdims=keepdims)  # np.mean(tensor) hands on dtype=None, out=None

    def max(self, axis: int | Shape | None = None, keepdims: bool = False, **numpy: None) -> Tensor:
        return max(self, axis=axis, keepdims=keepdims)  # np.max(tensor) hands on dtype=None, out=None

    def min(self, axis: int | Shape | None = None, keepdims: bool = False, **numpy: None) -> Tensor:
        return min(self, axis=axis, keepdims=keepdims)  # np.min(tensor) hands on dtype=None, out=None


class _Underway:
    """Gradients on their way back: of Tensors whose turn is still to come, and of one leaf that comes later."""

    __slots__ = ("later", "pending")

    def __init__(self, last: Tensor, gradient: Array) -> None:
        self.pending: dict[int, Array] = {id(last): gradient}
        self.later: tuple[Tensor, Later] | None = None

    def add(self, source: Tensor, part: Array | Later) -> None:
        """Give a part of its gradient to a leaf at once, or keep it until the turn of the Tensor comes."""
        if isinstance(part, Later):
            before, self.later = self.later, (source, part)
            self._give(before)  # one is enough: more would keep alive what they are made of
            if source.node is not None:
                self.settle()
        elif source.node is None:
            source.accumulate(part)
        else:
            known = self.pending.get(id(source))
            self.pending[id(source)] = part if known is None else arithmetic.plus(known, part)

    def place_for(self, source: Parameter) -> Array | None:
        """Return where the gradient of a weight may be written, if it has a place and none was given it before."""
        if self.later is not None and self.later[0] is source:
            self.settle()
        return source.buffer if source.grad is None else None

    def settle(self) -> None:
        """Wait for the gradient that comes later, if there is one."""
        last, self.later = self.later, None
        self._give(last)

    def _give(self, last: tuple[Tensor, Later] | None) -> None:
        if last is not None:
            source, part = last
            try:
                gradient = part.result()
            except MemoryError as error:
                raise out_of_memory(error, f"the gradient for a value of {source.shape}") from None
            self.add(source, gradient)

    def abandon(self) -> None:
        """After an error: wait until nobody is at work any more. Another error would say less than the first."""
        if self.later is not None:
            with suppress(Exception):
                self.later[1].result()


def go_back(last: Tensor, gradient: Array, steps: Iterable[tuple[Tensor, Node]]) -> None:
    """Take the gradient of `last` back to the leaves, by all the steps that led to it, the newest first."""
    underway = _Underway(last, gradient)
    tensor, node = last, _USED
    try:
        for tensor, node in steps:
            dy = underway.pending.pop(id(tensor), None)
            if dy is not None:
                _pass_back(node, dy, underway)
        underway.settle()
    except MemoryError as error:
        raise out_of_memory(error, f"the gradient of {node.op.__name__}, to a value of {tensor.shape}") from None
    finally:
        underway.abandon()


def _used_up(steps: Iterable[tuple[Tensor, Node]]) -> Iterator[tuple[Tensor, Node]]:
    """Free what each step holds as early as can be."""
    for tensor, node in steps:
        tensor.node = _USED
        yield tensor, node


def _pass_back(node: Node, dy: Array, underway: _Underway) -> None:
    """Give the gradient of a step's value to all that went in."""
    way_back = node.backward
    if isinstance(way_back, tuple):
        for source, back in zip(node.inputs, way_back, strict=False):
            if source is None or back is None or not source.requires_grad:
                continue
            if isinstance(back, Into) and isinstance(source, Parameter):
                underway.add(source, back.write(dy, underway.place_for(source)))
            else:
                underway.add(source, back(dy))
        return
    given, sources = way_back(dy), node.inputs
    if len(sources) == 1:
        (source,) = sources
        if source is not None and given is not None and source.requires_grad:
            underway.add(source, given)
        return
    for source, part in zip(sources, given, strict=False):
        if source is not None and part is not None and source.requires_grad:
            underway.add(source, part)


def newest_first(last: Tensor) -> list[tuple[Tensor, Node]]:
    """Every computed Tensor behind `last`, with its node; results before what they were computed from."""
    found: dict[int, tuple[Tensor, Node]] = {}
    waiting = [last]
    while waiting:
        tensor = waiting.pop()
        node = tensor.node
        if node is _USED:
            raise UsageError("backward() reached a value whose tape is used up; compute it again, or add the losses")
        if node is not None and node.order not in found:
            found[node.order] = (tensor, node)
            for source in node.inputs:
                if source is not None and source.node is not None and source.requires_grad:
                    waiting.append(source)
    return [found[order] for order in sorted(found, reverse=True)]


class Parameter(Tensor):
    """A weight of a layer: a leaf with a name, that training changes unless `trainable` is off.

    `path` is the name behind that of the layer it was made by, "dense/kernel".
    `buffer`, where an optimizer gave one, is the place in its flat gradient buffer that `grad` is written to.
    `regularizer` adds a penalty to the loss, `constraint` brings the values back to what is allowed after every step;
    both may be None.
    """

    __slots__ = ("buffer", "constraint", "name", "path", "regularizer")

    def __init__(
        self,
        data: Array,
        name: str = "parameter",
        trainable: bool = True,
        regularizer: Callable[[Any], Any] | None = None,
        constraint: Callable[[Array], Array] | None = None,
    ) -> None:
        super().__init__(data, requires_grad=trainable)
        self.name = self.path = name
        self.regularizer = regularizer
        self.constraint = constraint
        self.buffer: Array | None = None

    @property
    def trainable(self) -> bool:
        return self.requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad = value

    @property
    def value(self) -> Parameter:
        """The weight itself: where Keras's variables hold a tensor, a Parameter is one."""
        return self

    def assign(self, value: Any) -> None:
        """Overwrite the values in place. Raises: UsageError where the shape differs."""
        value = value.data if isinstance(value, Tensor) else value
        shape = np.shape(value)
        if shape != self.shape:
            raise UsageError(f'weight "{self.name}" has shape {self.shape}, but the given array has shape {shape}')
        self.data[...] = array_module(self.data).asarray(value, dtype=self.data.dtype)

    def assign_add(self, value: Any) -> None:
        """Add to the values in place."""
        self.assign(self.data + beside(_plain(value), self.data))

    def assign_sub(self, value: Any) -> None:
        """Subtract from the values in place."""
        self.assign(self.data - beside(_plain(value), self.data))

    def accumulate(self, gradient: Array) -> None:
        if self.buffer is None:
            super().accumulate(gradient)
        elif self.grad is None:
            if gradient is not self.buffer:
                self.buffer[...] = gradient
            self.grad = self.buffer
        else:
            self.buffer += gradient


def differentiable(
    op: Callable[Settings, tuple[Value, Any]], updates: tuple[str, ...] = ()
) -> Callable[Settings, Value]:
    """Make an op of a function that returns its value and the way back. `updates` names arrays that it writes to.

    The function takes arrays by position and settings by keyword. The way back is one function from dy to the
    gradients of all arrays, or a tuple with one function for each (None where there is none); None alone says that
    nothing passes back, and the result is a constant to the tape.

    Who calls the op may give settings by position as well, after the arrays: `softmax(x, 0)`.

    Called on plain arrays, the op returns a plain array. Called on Tensors, it returns a Tensor that the tape knows.
    An argument whose class defines `__gpudl_op__(op, arrays, settings)` takes the call over: so symbolic Tensors
    build a graph, as NumPy hands calls over through `__array_function__`.
    """
    signature = inspect.signature(op).parameters.values()
    array_names = tuple(p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD)
    written = {i for i, name in enumerate(array_names) if name in updates}
    required = len([p for p in signature if p.name in array_names and p.default is p.empty])
    setting_names = tuple(p.name for p in signature if p.kind is p.KEYWORD_ONLY)
    most = sys.maxsize if any(p.kind is p.VAR_POSITIONAL for p in signature) else len(array_names)

    @functools.wraps(op)
    def call(*arrays: Any, **settings: Any) -> Any:
        if len(arrays) > most:
            settings = {**_by_position(op, setting_names, arrays[most:], settings), **settings}
            arrays = arrays[:most]
        if settings and len(arrays) < len(array_names):
            named = array_names[len(arrays) :]
            if any(name in settings for name in named):
                for name in array_names[len(arrays) : required]:
                    if name not in settings:
                        raise TypeError(f"{op.__name__}() misses the array {name!r}")
                arrays += tuple(settings.pop(name, None) for name in named)
        values: list[Any] = []
        tensors, recorded = 0, False
        for array in arrays:
            if isinstance(array, Tensor):
                tensors += 1
                recorded = recorded or array.requires_grad
                values.append(array.data)
            elif type(array) is np.ndarray:
                values.append(array)
            else:
                handler = getattr(type(array), "__gpudl_op__", None)
                if handler is not None:
                    return handler(array, call, arrays, settings)
                values.append(as_array(array) if type(array) is list else array)
        if "cupy" in sys.modules:  # otherwise all arrays are NumPy's
            if tensors:  # constants that a program made with NumPy
                first = next(array.data for array in arrays if isinstance(array, Tensor))
                for i, array in enumerate(arrays):
                    if not isinstance(array, Tensor) and i not in written:
                        values[i] = beside(values[i], first)
            library(*values)  # an error where both meet
        listener = _recording.listener
        if listener is None:
            y, backward = op(*values, **settings)  # pyright: ignore[reportCallIssue]
        else:
            with listening(None):
                y, backward = op(*values, **settings)  # pyright: ignore[reportCallIssue]
        result: Any = y
        if tensors:
            result = Tensor(y)
            if recorded and backward is not None and _recording.enabled:
                are_all = tensors == len(arrays)
                sources = arrays if are_all else tuple([a if isinstance(a, Tensor) else None for a in arrays])
                result.requires_grad = True
                result.node = Node(call, sources, backward, settings)
        if listener is not None:
            listener.called(op, arrays, settings, result)
        return result

    known_ops.setdefault(op.__name__, call)
    return call


def as_array(value: Any) -> Any:
    """Lists and Python's numbers as arrays of float32, int32 or booleans; what has a shape stays as it is."""
    if hasattr(value, "shape"):
        return value
    array = np.asarray(value)
    return array.astype({"f": "float32", "i": "int32"}.get(array.dtype.kind, array.dtype))


def _by_position(
    op: Callable[..., Any], names: tuple[str, ...], values: tuple[Any, ...], settings: dict[str, Any]
) -> dict[str, Any]:
    """Name the settings that came by position. Raises: TypeError where they are too many, or named again."""
    given = dict(zip(names, values, strict=False))
    if len(values) > len(names):
        raise TypeError(f"{op.__name__}() takes {len(names)} settings after its arrays, but {len(values)} were given")
    for name in given.keys() & settings.keys():
        raise TypeError(f"{op.__name__}() got {name!r} by position and by name")
    return given


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


add = differentiable(arithmetic.add)
subtract = differentiable(arithmetic.subtract)
multiply = differentiable(arithmetic.multiply)
divide = differentiable(arithmetic.divide)
negative = differentiable(arithmetic.negative)
absolute = differentiable(arithmetic.absolute)
power = differentiable(arithmetic.power)
matmul = differentiable(arithmetic.matmul)
getitem = differentiable(arithmetic.getitem)
reshape = differentiable(arithmetic.reshape)
transpose = differentiable(arithmetic.transpose)
sum = differentiable(arithmetic.sum)
mean = differentiable(arithmetic.mean)
_extremum = differentiable(arithmetic.extremum)


def max(x: Array, axis: int | Shape | None = None, keepdims: bool = False) -> Any:
    """Take the largest element over `axis`. Gradient: shared equally among ties."""
    return _extremum(x, axis=axis, keepdims=keepdims, largest=True)


def min(x: Array, axis: int | Shape | None = None, keepdims: bool = False) -> Any:
    """Take the smallest element over `axis`. Gradient: shared equally among ties."""
    return _extremum(x, axis=axis, keepdims=keepdims, largest=False)
