"""New arrays, and numbers from one type or library into another. float32 where nothing else is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpudl.autograd import Tensor, as_array, differentiable
from gpudl.backend import Array, array_module, to_numpy
from gpudl.backend.devices import module, put
from gpudl.errors import UsageError
from gpudl.ops.decorators import without_gradient

TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def type_name(dtype: Any, default: str = "float32") -> str:
    """The name of a type of numbers, given as a name, a NumPy type, or Python's float, int and bool.

    Raises: UsageError where there is no such type.
    """
    if dtype is None:
        return default
    known = {"float": "float32", "int": "int32", float: "float32", int: "int32"}
    try:
        name = known.get(dtype) or np.dtype(dtype).name
    except TypeError:
        name = None
    if name not in (*TYPES, "bool"):
        raise UsageError(f"dtype={dtype!r} is unknown; use one of {', '.join(TYPES)}, bool")
    return name


def zeros(shape: int | Sequence[int], dtype: Any = None) -> Array:
    """An array of zeros."""
    return module().zeros(shape, type_name(dtype))


def ones(shape: int | Sequence[int], dtype: Any = None) -> Array:
    """An array of ones."""
    return module().ones(shape, type_name(dtype))


def full(shape: int | Sequence[int], fill_value: Any, dtype: Any = None) -> Array:
    """An array filled with one value."""
    return module().full(shape, fill_value, type_name(dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """A matrix with ones on its k-th diagonal, zeros elsewhere."""
    return module().eye(N, M, k, type_name(dtype))


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Array:
    """Numbers from `start` (0 where only one is given) up to but without `stop`. Integers give int32."""
    whole = all(isinstance(n, (int, np.integer)) for n in (start, stop, step) if n is not None)
    xp = module()
    values = xp.arange(start, step=step) if stop is None else xp.arange(start, stop, step)
    return values.astype(type_name(dtype, "int32" if whole else "float32"))


def linspace(start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: Any = None) -> Array:
    """`num` numbers at equal distances from `start` to `stop`, which is one of them unless `endpoint` is off."""
    return module().linspace(start, stop, num, endpoint).astype(type_name(dtype))


@without_gradient
def _like(x: Array, *, value: float, dtype: str | None) -> Array:
    return array_module(x).full_like(x, value, dtype=dtype)


def zeros_like(x: Array, dtype: Any = None) -> Array:
    """Zeros of the shape and type of x."""
    return full_like(x, 0, dtype)


def ones_like(x: Array, dtype: Any = None) -> Array:
    """Ones of the shape and type of x."""
    return full_like(x, 1, dtype)


def full_like(x: Array, fill_value: float, dtype: Any = None) -> Array:
    """One value everywhere, in the shape and type of x."""
    return _like(x, value=fill_value, dtype=None if dtype is None else type_name(dtype))


@differentiable
def _cast(x: Array, *, dtype: str) -> tuple[Array, Any]:
    y = array_module(x).asarray(x).astype(dtype)
    return y, (lambda dy: dy.astype(x.dtype)) if y.dtype.kind == "f" else None


def cast(x: Array, dtype: Any) -> Array:
    """Turn into another type of numbers. Gradient: between types of floating point only."""
    return _cast(x, dtype=type_name(dtype))


def convert_to_tensor(x: Any, dtype: Any = None) -> Tensor:
    """Make a Tensor of an array, a list or a number; lists and numbers become float32, int32 or bool."""
    if isinstance(x, Tensor):
        return x if dtype is None else cast(x, dtype)
    x = put(as_array(x))
    return Tensor(x if dtype is None else cast(x, dtype))


def convert_to_numpy(x: Any) -> np.ndarray:
    """Return the values as a NumPy array. No gradient passes through it."""
    return to_numpy(x.data if isinstance(x, Tensor) else as_array(x))
