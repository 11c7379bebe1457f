"""What metrics share: running sums that stay with the data, and results that are plain numbers."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np

from gpudl import initializers, registry
from gpudl.autograd import Tensor, no_grad
from gpudl.backend import Array, Shape, array_module, devices, library, to_numpy
from gpudl.configurable import Configurable
from gpudl.errors import UsageError
from gpudl.losses.base import known_dtype


class Variable(Tensor):
    """A running sum of a metric.

    It is kept in float64, unless another type was asked for: a float32 stops counting at 2^24. Without a `shape` it
    takes the shape of what is first added.
    """

    __slots__ = ("fixed", "name")

    def __init__(self, data: Array, name: str, fixed: bool) -> None:
        super().__init__(data)
        self.name = name
        self.fixed = fixed

    @property
    def value(self) -> Variable:
        """The sum itself, where Keras's variables hold a tensor."""
        return self

    def assign(self, value: Any) -> Variable:
        """Replace the sum. Raises: UsageError where the shape was given and differs."""
        value = value.data if isinstance(value, Tensor) else value
        if self.fixed and np.shape(value) != self.shape:
            raise UsageError(f'"{self.name}" has shape {self.shape}, but was given an array of shape {np.shape(value)}')
        self.data = array_module(value, self.data).array(value, dtype=self.dtype)
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add to the sum."""
        value = value.data if isinstance(value, Tensor) else value
        if isinstance(value, (float, int)) and self.data.ndim == 0:  # a number, as in every step; NumPy's is a float
            self.data += value
            return self
        return self.assign(self.data + devices.beside(value, self.data))

    def assign_sub(self, value: Any) -> Variable:
        """Take off the sum."""
        value = value.data if isinstance(value, Tensor) else value
        return self.assign(self.data - devices.beside(value, self.data))


class Number(float):
    """A result: a float that also answers to `numpy()`, as lessons ask."""

    def numpy(self) -> np.float64:
        """Return it as a NumPy number."""
        return np.float64(self)


def _number(value: Any) -> Any:
    """Turn Tensors and arrays into numbers, or NumPy arrays where there are several."""
    if isinstance(value, dict):
        return {name: _number(item) for name, item in value.items()}
    value = value.data if isinstance(value, Tensor) else value
    if hasattr(value, "ndim") and value.ndim:
        return to_numpy(value).copy()
    return Number(to_numpy(value) if hasattr(value, "ndim") else value)


def _beside_the_data(update_state: Callable[..., Any]) -> Callable[..., Any]:
    """Let `update_state` run off the tape, with the sums on the device of the arrays it is given."""

    @functools.wraps(update_state)
    def call(self: Metric, *arrays: Any, **settings: Any) -> Any:
        if "cupy" in sys.modules:  # otherwise all arrays are NumPy's
            given = [a.data if isinstance(a, Tensor) else a for a in (*arrays, *settings.values())]
            on_gpu = next((a for a in given if library(a) == "cupy"), None)
            if on_gpu is not None:
                for variable in self.variables:
                    variable.data = devices.beside(variable.data, on_gpu)
                arrays = tuple(devices.beside(a, on_gpu) for a in arrays)
                settings = {name: devices.beside(a, on_gpu) for name, a in settings.items()}
        with no_grad():
            return update_state(self, *arrays, **settings)

    return call


def _in_numbers(result: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(result)
    def call(self: Metric) -> Any:
        return _number(result(self))

    return call


class Metric(Configurable):
    """Base of metrics: `update_state` takes in a batch, `result` returns the value over all batches so far.

    A metric makes its sums in `__init__` with `add_variable`; they stay on the device of the data and off the tape,
    only `result` reads them. `direction` says which way is better: "up", "down", or None where neither is.
    A metric whose result is no single number sets `scalar` to False; its values in the logs are arrays.
    """

    kind = "metrics"
    name: str
    direction: Literal["up", "down"] | None = None
    scalar: bool = True
    dtype: str | None = None
    _variables: list[Variable]
    _awaited: list[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.name = registry.snake_case(cls.__name__)
        self._variables, self._awaited = [], []
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for method, wrap in (("update_state", _beside_the_data), ("result", _in_numbers)):
            if method in vars(cls):
                setattr(cls, method, wrap(vars(cls)[method]))

    def __init__(self, dtype: str | None = None, name: str | None = None) -> None:
        whole = isinstance(dtype, str) and dtype in ("int32", "int64")  # of metrics that count
        self.name, self.dtype = name or self.name, dtype if whole else known_dtype(type(self), dtype)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take one more batch into account, and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take one more batch into account."""
        raise UsageError(f"{type(self).__name__} must define update_state(y_true, y_pred, sample_weight=None)")

    def result(self) -> Any:
        """Return the value over all batches since the last reset."""
        raise UsageError(f"{type(self).__name__} must define result()")

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self.variables:
            variable.data = array_module(variable.data).zeros_like(variable.data)

    def add_variable(
        self,
        shape: Shape | list[int] | None = None,
        initializer: Any = "zeros",
        dtype: str | None = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """Make a running sum. Without a `shape` it is a 0 that takes the shape of what is first added to it.

        `aggregation`, how Keras joins the sums of several machines, changes nothing here.
        """
        start = initializers.get(initializer or "zeros")(tuple(shape or ()), dtype or "float64")
        variable = Variable(start, name or f"variable_{len(self._variables)}", shape is not None)
        if self._awaited:
            variable.data = np.asarray(self._awaited.pop(0), dtype=variable.dtype)
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Shape | list[int] = (), initializer: Any = None, dtype: str | None = None, name: str | None = None
    ) -> Variable:
        """Make a running sum: `add_variable` by its older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """The running sums, those of metrics held as attributes included."""
        held = [item for value in vars(self).values() for item in (value if isinstance(value, list) else [value])]
        return [*self._variables, *(v for metric in held if isinstance(metric, Metric) for v in metric.variables)]

    def totals(self) -> Any:
        """Return the running sums as numbers and lists, which `load_totals` takes back to the bit."""
        return [to_numpy(variable.data).tolist() for variable in self.variables]

    def load_totals(self, totals: Any) -> None:
        """Continue from what `totals` returned. Sums that are made only at the first batch get theirs then."""
        variables = self.variables
        for variable, total in zip(variables, totals, strict=False):
            variable.data = array_module(variable.data).asarray(total, dtype=variable.dtype)
        self._awaited = list(totals[len(variables) :])
