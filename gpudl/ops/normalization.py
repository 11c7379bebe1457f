"""Keras's names for normalizing, by statistics that are passed in or by each sample's own."""

from __future__ import annotations

from collections.abc import Sequence

from gpudl import config
from gpudl.arithmetic import axes_of
from gpudl.autograd import as_array, mean
from gpudl.backend import Array
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.arithmetic import add, multiply, reshape, subtract
from gpudl.ops.elementwise import rsqrt
from gpudl.ops.layer_norm import layer_norm
from gpudl.ops.reductions import var
from gpudl.shapes import shown


def moments(
    x: Array, axes: int | Sequence[int] | None, keepdims: bool = False, synchronized: bool = False
) -> tuple[Array, Array]:
    """Return the mean over `axes` and the (biased) variance; there is one device, so nothing to synchronize.

    Raises: UsageError for synchronized=True.
    """
    if synchronized:
        raise UsageError("moments(synchronized=True): gpudl computes on one device; leave synchronized out")
    axis = axes_of(axes)
    return mean(as_array(x), axis=axis, keepdims=keepdims), var(x, axis=axis, keepdims=keepdims)


def batch_normalization(
    x: Array,
    mean: Array,
    variance: Array,
    axis: int,
    offset: Array | None = None,
    scale: Array | None = None,
    epsilon: float = 1e-3,
) -> Array:
    """Normalize each channel by a mean and variance: y = scale (x - mean) / sqrt(variance + epsilon) + offset.

    Shapes: x (..., C, ...) with C at `axis`; mean, variance, offset, scale (C,) -> y as x.
    Gradient: for all of them. `batch_norm` takes the batch's own statistics, and keeps moving ones.
    Raises: ShapeError where the sizes differ.
    """
    x = as_array(x)
    if not -len(x.shape) <= axis < len(x.shape):
        raise ShapeError(f"batch_normalization: axis={axis} is none of the axes of an input of shape {shown(x.shape)}")
    spread = [1] * len(x.shape)
    spread[axis] = -1

    def across(name: str, vector: Array) -> Array:
        vector = as_array(vector)
        if tuple(vector.shape) != (x.shape[axis],):
            raise ShapeError(
                f"batch_normalization: {name} has shape {shown(vector.shape)}, but axis {axis} of the input of shape "
                f"{shown(x.shape)} has {x.shape[axis]} channels"
            )
        return reshape(vector, spread)

    slope = rsqrt(add(across("variance", variance), epsilon))
    if scale is not None:
        slope = multiply(slope, across("scale", scale))
    y = multiply(subtract(x, across("mean", mean)), slope)
    return y if offset is None else add(y, across("offset", offset))


def layer_normalization(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Array:
    """Normalize each sample by itself; see `layer_norm`. Without `epsilon`, `gpudl.config.epsilon()` is taken."""
    axis = axis if isinstance(axis, int) else tuple(axis)
    return layer_norm(x, gamma, beta, axis=axis, epsilon=config.epsilon() if epsilon is None else epsilon)
