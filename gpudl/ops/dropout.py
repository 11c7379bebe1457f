from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, Shape, kernels
from gpudl.errors import ShapeError, UsageError


@differentiable
def dropout(x: Array, *, rate: float, key: int, noise_shape: Shape | None = None) -> tuple[Array, Any]:
    """Set a share `rate` of the elements to 0 and scale the others by 1 / (1 - rate).

    `key` is a key of `gpudl.random`: equal keys drop the same elements. `noise_shape` has length 1 along the axes
    that are dropped as one. rate=1 gives zeros.

    Shapes: y as x. Gradient: dy scaled or dropped as x was.
    Raises: UsageError where rate is outside [0, 1] or noise_shape does not fit.
    Source: Srivastava et al. 2014, JMLR 15.
    """
    if not 0 <= rate <= 1:
        raise UsageError(f"rate={rate} is not between 0 and 1")
    if rate == 0:
        return x, lambda dy: dy
    shape = x.shape if noise_shape is None else tuple(noise_shape)
    if len(shape) != x.ndim or any(n not in (1, whole) for n, whole in zip(shape, x.shape, strict=False)):
        raise ShapeError(f"noise_shape={noise_shape} must have length 1 or the input's along each axis of {x.shape}")
    twin = kernels("dropout", x)
    y, kept = twin.forward(x, rate, key, shape)
    return y, lambda dy: twin.backward(dy, rate, kept)
