"""Symbolic tensors: what stands for data while a network is put together.

`Input(shape)` gives one. Layers and ops called on symbolic tensors compute nothing; they note the call in a `Node` and
return symbolic tensors of the shapes that would come out. `Model(inputs, outputs)` later walks back over the nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from gpudl import autograd
from gpudl.autograd import Tensor
from gpudl.backend import Shape
from gpudl.errors import GpudlError, UsageError
from gpudl.shapes import shown
from gpudl.structures import leaves, mapped

OpenShape = tuple[int | None, ...]

_numbers = itertools.count()


class Node:
    """One call noted: what was called (a layer or an op), with what, and the symbolic tensors that came out."""

    def __init__(self, operation: Any, arguments: tuple[Any, ...], settings: dict[str, Any], outputs: Any) -> None:
        self.operation = operation
        self.arguments = arguments
        self.settings = settings
        self.outputs = outputs
        self.sources = [x for x in leaves((arguments, settings)) if isinstance(x, SymbolicTensor)]
        for index, tensor in enumerate(leaves(outputs)):
            tensor.node, tensor.index = self, index


class SymbolicTensor:
    """A place in a graph: a shape whose first entry, the batch, is None; and the node it comes from."""

    __slots__ = ("dtype", "index", "name", "node", "shape")

    node: Node
    index: int

    def __init__(self, shape: OpenShape, dtype: str = "float32", name: str | None = None) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.name = name or f"symbolic_tensor_{next(_numbers)}"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __gpudl_op__(self, op: Callable[..., Any], arrays: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Note an op called on this tensor; its output's shape is found by calling it on zeros of two batch sizes."""
        results = [_tried(op, arrays, settings, n) for n in (2, 3)]
        if any(not hasattr(y, "shape") for y in results):
            raise UsageError(f"{op.__name__} gives no array, so it cannot be part of a model")
        shape = tuple(m if m == n else None for m, n in zip(results[0].shape, results[1].shape, strict=True))
        output = SymbolicTensor(shape, results[0].dtype.name)
        Node(op, tuple(arrays), dict(settings), output)
        return output

    def __repr__(self) -> str:
        return f"<SymbolicTensor {self.name}, shape {shown(self.shape)}, {self.dtype}>"

    def _no_value(self, *_: Any, **__: Any) -> NoReturn:
        raise UsageError(
            f"{self!r} has no values: it stands for data while a model is put together. Use layers and gpudl.ops on "
            "it, make a Model of it, and call that on arrays"
        )

    __array__ = __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = numpy = item = _no_value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """`ndarray + symbolic` notes an op; what else NumPy would do needs values."""
        op = _OPERATORS.get(ufunc.__name__)
        if op is None or method != "__call__" or settings:
            return self.__array_function__(ufunc, (), inputs, settings)
        return op(*inputs)

    def __array_function__(self, function: Any, types: Any, arguments: Any, settings: Any) -> NoReturn:
        name = function.__name__
        raise UsageError(
            f"np.{name} was called on {self!r}, which has no values; use gpudl.ops.{name}, which notes the call"
        )

    def __add__(self, other: Any) -> Any:
        return autograd.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return autograd.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return autograd.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return autograd.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return autograd.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return autograd.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return autograd.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return autograd.divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return autograd.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return autograd.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return autograd.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return autograd.matmul(other, self)

    def __mod__(self, other: Any) -> Any:
        return _op("mod", self, other)

    def __floordiv__(self, other: Any) -> Any:
        return _op("floor_divide", self, other)

    def __eq__(self, other: Any) -> Any:
        return False if other is None else _op("equal", self, other)

    def __ne__(self, other: Any) -> Any:
        return True if other is None else _op("not_equal", self, other)

    __hash__ = object.__hash__

    def __lt__(self, other: Any) -> Any:
        return _op("less", self, other)

    def __le__(self, other: Any) -> Any:
        return _op("less_equal", self, other)

    def __gt__(self, other: Any) -> Any:
        return _op("greater", self, other)

    def __ge__(self, other: Any) -> Any:
        return _op("greater_equal", self, other)

    def __neg__(self) -> Any:
        return autograd.negative(self)

    def __abs__(self) -> Any:
        return autograd.absolute(self)

    def __getitem__(self, index: Any) -> Any:
        return autograd.getitem(self, index=index)

    def reshape(self, *shape: Any) -> Any:
        return autograd.reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: int | Shape | None = None, keepdims: bool = False) -> Any:
        return autograd.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | Shape | None = None, keepdims: bool = False) -> Any:
        return autograd.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: int | Shape | None = None, keepdims: bool = False) -> Any:
        return autograd.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: int | Shape | None = None, keepdims: bool = False) -> Any:
        return autograd.min(self, axis=axis, keepdims=keepdims)


def _op(name: str, *arrays: Any) -> Any:
    """Note an op that `gpudl.ops` has; it is above this file, and has entered its ops by their names."""
    return autograd.known_ops[name](*arrays)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": autograd.add,
    "subtract": autograd.subtract,
    "multiply": autograd.multiply,
    "divide": autograd.divide,
    "power": autograd.power,
    "matmul": autograd.matmul,
    "less": lambda a, b: _op("less", a, b),
    "less_equal": lambda a, b: _op("less_equal", a, b),
    "greater": lambda a, b: _op("greater", a, b),
    "greater_equal": lambda a, b: _op("greater_equal", a, b),
    "equal": lambda a, b: _op("equal", a, b),
    "not_equal": lambda a, b: _op("not_equal", a, b),
}
"""What NumPy calls the operators between an array and a symbolic tensor."""


def is_symbolic(structure: Any) -> bool:
    """Whether a symbolic tensor lies in a structure."""
    return any(isinstance(x, SymbolicTensor) for x in leaves(structure))


def _tried(op: Callable[..., Any], arrays: tuple[Any, ...], settings: dict[str, Any], batch: int) -> Any:
    """Call an op on zeros, `batch` standing for every open length."""

    def sample(x: Any) -> Any:
        if isinstance(x, SymbolicTensor):
            return np.zeros([batch if n is None else n for n in x.shape], x.dtype)
        return x.data if isinstance(x, Tensor) else x

    try:
        with np.errstate(all="ignore"):
            return op(*mapped(sample, arrays), **settings)
    except (ValueError, TypeError, IndexError) as error:
        if isinstance(error, GpudlError):
            raise
        inputs = ", ".join(shown(x.shape) if isinstance(x, SymbolicTensor) else repr(x)[:60] for x in arrays)
        # what NumPy tells of shapes is told of the samples that stand for the open lengths
        why = "lengths must agree or be 1" if "broadcast together" in str(error) else error
        raise UsageError(f"{op.__name__} cannot be applied to {inputs}: {why}") from None
