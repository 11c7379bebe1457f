from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, Shape, kernels
from gpudl.errors import UsageError


@differentiable
def dropout(x: Array, *, rate: float, key: int, noise_shape: Shape | None = None) -> tuple[Array, Any]:
    """Set a share `rate` of the elements to 0 and scale the others by 1 / (1 - rate).

    `key` is a key of `gpudl.random`: equal keys drop the same elements. `noise_shape` has length 1 along the axes
    that are dropped as one. rate=1 gives zeros.

    Shapes: y as x. Gradient: dy scaled or dropped as x was.
    Raises: UsageError where rate is outside [0, 1].
    Source: Srivastava et al. 2014, JMLR 15.
    """
    if not 0 <= rate <= 1:
        raise UsageError(f"rate={rate} is not between 0 and 1")
    if rate == 0:
        return x, lambda dy: dy
    twin = kernels("dropout", x)
    y, kept = twin.forward(x, rate, key, x.shape if noise_shape is None else noise_shape)
    return y, lambda dy: twin.backward(dy, rate, kept)
