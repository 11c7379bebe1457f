"""Variables outside of layers, for lessons that train by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpudl import initializers
from gpudl.autograd import Parameter, Tensor
from gpudl.backend import Array, array_module, devices
from gpudl.errors import UsageError
from gpudl.initializers import Initializer
from gpudl.naming import fresh_name


def Variable(  # noqa: N802  Keras's name
    initializer: float | Array | str | Initializer | Callable[..., Any],
    shape: tuple[int, ...] | int | None = None,
    dtype: str | None = None,
    trainable: bool = True,
    name: str | None = None,
) -> Parameter:
    """Make a weight of no layer: `w = Variable(0.0)`, or `Variable("random_normal", shape=(3, 2))`.

    An initializer that is called, or a name of one, needs the `shape`. Without a `dtype` it is float32, unless an
    array of another floating type is given. After `loss.backward()`, `optimizer.apply([w])` takes a step.

    Raises: UsageError where an initializer comes without a shape, or values have another one.
    """
    called = name or fresh_name(Variable)
    value: Any = initializers.get(initializer) if isinstance(initializer, str) else initializer
    size = (shape,) if isinstance(shape, int) else shape
    if callable(value):
        if size is None:
            raise UsageError(f'Variable "{called}": an initializer needs a shape, as in Variable("zeros", shape=(3,))')
        value = value(tuple(size), dtype=dtype or "float32")
    value = value.data if isinstance(value, Tensor) else value
    is_floating = hasattr(value, "dtype") and value.dtype.kind == "f"
    values = array_module(value).array(value, dtype=dtype or (value.dtype if is_floating else "float32"))
    values = devices.put(values) if isinstance(values, np.ndarray) else values
    if size is not None and values.shape != tuple(size):
        raise UsageError(f'Variable "{called}": shape={tuple(size)}, but the values given have shape {values.shape}')
    return Parameter(values, called, trainable and values.dtype.kind == "f")
