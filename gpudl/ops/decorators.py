"""What many small ops have in common: floating point in, elementwise gradients, and no gradient at all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from gpudl.autograd import Tensor, as_array, differentiable
from gpudl.backend import Array, array_module

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def floating(x: Array) -> Array:
    """The array in floating point: integers, booleans and Python's numbers become float32, as in Keras."""
    x = as_array(x)
    return x if x.dtype.kind == "f" else x.astype("float32")


def pointwise(
    formula: Callable[Arguments, tuple[Value, Callable[[], Array]]],
) -> Callable[Arguments, tuple[Value, Any]]:
    """Prepare a function of each element alone for @differentiable.

    `formula(x)` returns the value and a function of no arguments for the slope dy/dx, of the shape of x. Infinite
    and undefined values come out as inf and NaN, without a warning: a training run says itself where it fails.
    """

    @functools.wraps(formula)
    def op(x: Array, **settings: Any) -> tuple[Any, Any]:
        with np.errstate(all="ignore"):
            y, slope = cast(Any, formula)(floating(x), **settings)

        def backward(dy: Array) -> Array:
            with np.errstate(all="ignore"):
                return dy * slope().astype(dy.dtype, copy=False)

        return y, backward

    return cast(Any, op)


def without_gradient(op: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Make an op of a function that returns just its value: a plain array, from Tensors too.

    So `ops.argmax(y) == labels` compares numbers. A symbolic Tensor records it as any other op.
    """

    @functools.wraps(op)
    def constant(*arrays: Any, **settings: Any) -> Any:
        return array_module(*arrays).asarray(cast(Any, op)(*arrays, **settings)), None

    recorded = differentiable(cast(Any, constant))

    @functools.wraps(op)
    def call(*arrays: Any, **settings: Any) -> Any:
        y = recorded(*arrays, **settings)
        return y.data if isinstance(y, Tensor) else y

    return cast(Any, call)
