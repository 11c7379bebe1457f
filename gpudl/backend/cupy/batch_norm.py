"""Batch normalization on the GPU, of rows (M, C): launches of columns.cu and rows.cu.

Forward reads x twice, once for its moments and once to normalize it, and writes y; backward reads dy and x twice and
writes dx. There is nothing else of the batch's size. Whatever is as long as a row is made by one launch.
"""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.columns import gradients, moments
from gpudl.backend.cupy.launching import contiguous, launch_each, pack


def forward(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    moving: tuple[Array, Array],
    momentum: float,
    epsilon: float,
    relu: bool = False,
) -> tuple[Array, Array, Array]:
    """Normalize by the batch's own statistics -> y (M, C), mean (C,), scale = 1 / sqrt(biased variance + epsilon).

    The moving mean and variance, (C,), follow in place: moving = momentum * moving + (1 - momentum) * batch.
    With `relu` y is max(y, 0).
    """
    x = contiguous(x)
    own = tuple(_column(a, x) for a in moving)
    mean, scale, factor = moments(x, _column(gamma, x), own, momentum, epsilon)
    for moves, moved in zip(moving, own, strict=True):
        if moved is not moves:
            moves[...] = moved
    return _normalized(x, mean, factor, beta, relu), mean, scale


def normalize(
    x: Array, mean: Array, scale: Array, gamma: Array | None, beta: Array | None, relu: bool = False
) -> Array:
    """gamma (x - mean) scale + beta, as (x - mean) * factor + beta: exact where x is near the mean.

    With `relu` the maximum of that and 0.
    """
    return _normalized(contiguous(x), mean, scale if gamma is None else scale * gamma, beta, relu)


def _normalized(x: Array, mean: Array, factor: Array, beta: Array | None, relu: bool) -> Array:
    y, at_once = array_module(x).empty(x.shape, x.dtype), pack(x, x.shape[1])
    columns = [_column(a, x) for a in (mean, factor, beta)]
    arguments = (x, *columns, y, int(relu), x.shape[1])
    launch_each("rows", "normalize_rows", x.size // at_once, arguments, x.size, PACK=at_once)
    return y


def backward(
    dy: Array, x: Array, mean: Array, scale: Array, gamma: Array | None, training: bool
) -> tuple[Array, Array, Array]:
    """dy (M, C) -> dx (M, C), dgamma (C,), dbeta (C,).

    In training dx = gamma scale (dy - mean(dy) - xhat mean(dy xhat)); with fixed statistics dx = gamma scale dy.
    """
    dy, x = contiguous(dy), contiguous(x)
    mean, scale, gamma = (_column(a, x) for a in (mean, scale, gamma))
    found = gradients(dy, x, mean, scale, gamma, training)
    dx, at_once = array_module(x).empty(dy.shape, dy.dtype), pack(x, x.shape[1])
    arguments = (dy, x, mean, found, dx, x.shape[1])
    launch_each("rows", "normalize_gradients", x.size // at_once, arguments, x.size, PACK=at_once)
    return dx, found[0], found[1]


def _column(values: Array | None, x: Array) -> Array | None:
    """One number for each column, of x's type."""
    return None if values is None else contiguous(values.astype(x.dtype, copy=False))
