from __future__ import annotations

import functools
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, kernels
from gpudl.errors import ShapeError
from gpudl.shapes import shown


@functools.partial(differentiable, updates=("moving_mean", "moving_variance"))
def batch_norm(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    moving_mean: Array,
    moving_variance: Array,
    *,
    training: bool = False,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    axis: int = -1,
    relu: bool = False,
) -> tuple[Array, Any]:
    """Normalize each channel: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.

    With `relu` what is below 0 becomes 0, in the same pass over the output.

    In training, mean and (biased) variance are those of the batch, and the moving ones follow in place:
    moving = momentum * moving + (1 - momentum) * batch. Otherwise the moving ones are used.

    Shapes: x (..., C, ...) with C at `axis`; gamma, beta (C,) or None; moving_mean, moving_variance (C,) -> y as x.
    Gradient: for x, gamma and beta; through the batch's own statistics in training.
    Raises: ShapeError where the sizes differ, or in training the batch is empty.
    Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
    """
    channels = x.shape[axis]
    given = {"gamma": gamma, "beta": beta, "moving_mean": moving_mean, "moving_variance": moving_variance}
    for name, weights in given.items():
        if weights is not None and weights.shape != (channels,):
            raise ShapeError(
                f"{name} has shape {shown(weights.shape)}, but axis {axis} of the input of shape {shown(x.shape)} "
                f"has {channels} channels"
            )
    if training and x.size == 0:
        raise ShapeError(f"an input of shape {shown(x.shape)} has no mean and variance to train with")
    twin = kernels("batch_norm", x)
    is_last = axis in (-1, x.ndim - 1)
    last = x if is_last else x.swapaxes(axis, -1)
    rows = last.reshape(-1, channels)
    if training:
        y, mean, scale = twin.forward(rows, gamma, beta, (moving_mean, moving_variance), momentum, epsilon, relu)
    else:
        mean, scale = moving_mean.copy(), (moving_variance + epsilon) ** -0.5
        y = twin.normalize(rows, mean, scale, gamma, beta, relu)

    end = y if relu else None

    def backward(dy: Array) -> tuple[Array | None, ...]:
        gradient = (dy if is_last else dy.swapaxes(axis, -1)).reshape(-1, channels)
        if end is not None:
            gradient = kernels("relu", gradient).backward(gradient, end)
        dx, dgamma, dbeta = twin.backward(gradient, rows, mean, scale, gamma, training)
        dx = dx.reshape(last.shape)
        return dx if is_last else dx.swapaxes(axis, -1), dgamma, dbeta, None, None

    y = y.reshape(last.shape)
    return y if is_last else y.swapaxes(axis, -1), backward
