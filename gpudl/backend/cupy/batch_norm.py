"""Batch normalization on the GPU, of rows (M, C): launches of columns.cu.

Forward reads x twice, once for its moments and once to normalize it, and writes y; backward reads dy and x twice and
writes dx. There is nothing else of the batch's size.
"""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.columns import moments, sums_of_gradients
from gpudl.backend.cupy.launching import contiguous, launch_each


def forward(x: Array, gamma: Array | None, beta: Array | None, epsilon: float) -> tuple[Array, Array, Array]:
    """Normalize by the batch's own statistics -> y (M, C), mean (C,), biased variance (C,)."""
    xp = array_module(x)
    x = contiguous(x)
    mean, variance = moments(x)
    scale = 1 / xp.sqrt(variance + x.dtype.type(epsilon))
    return normalize(x, mean, scale, gamma, beta), mean, variance


def normalize(x: Array, mean: Array, scale: Array, gamma: Array | None, beta: Array | None) -> Array:
    """gamma (x - mean) scale + beta, as (x - mean) * factor + beta: exact where x is near the mean."""
    xp = array_module(x)
    x = contiguous(x)
    y = xp.empty_like(x)
    columns = [_column(a, x) for a in (mean, scale if gamma is None else scale * gamma, beta)]
    launch_each("columns", "normalize_rows", x.size, (x, *columns, y, x.shape[1]))
    return y


def backward(
    dy: Array, x: Array, mean: Array, scale: Array, gamma: Array | None, training: bool
) -> tuple[Array, Array, Array]:
    """dy (M, C) -> dx (M, C), dgamma (C,), dbeta (C,).

    In training dx = gamma scale (dy - mean(dy) - xhat mean(dy xhat)); with fixed statistics dx = gamma scale dy.
    """
    xp = array_module(x)
    dy, x = contiguous(dy), contiguous(x)
    mean, scale = _column(mean, x), _column(scale, x)
    dbeta, projected = sums_of_gradients(dy, x, mean)
    dgamma = projected * scale
    factor = scale if gamma is None else scale * gamma
    dx = xp.empty_like(dy)
    if training:
        drift, pull = dbeta / x.shape[0], dgamma * scale / x.shape[0]
    else:
        drift = pull = xp.zeros_like(dbeta)
    columns = [_column(a, x) for a in (mean, factor, drift, pull)]
    launch_each("columns", "normalize_gradients", x.size, (dy, x, *columns, dx, x.shape[1]))
    return dx, dgamma, dbeta


def _column(values: Array | None, x: Array) -> Array | None:
    """One number for each column, of x's type."""
    return None if values is None else contiguous(values.astype(x.dtype, copy=False))
