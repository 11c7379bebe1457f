from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError
from gpudl.shapes import shown


@differentiable
def layer_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    *,
    axis: int | Sequence[int] = -1,
    epsilon: float = 1e-3,
) -> tuple[Array, Any]:
    """Normalize each sample by itself: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.

    Mean and (biased) variance are taken over `axis`, one or several, of which gamma and beta have the lengths.

    Shapes: x (..., D); gamma, beta (D,), or one axis for each in `axis`, ascending -> y as x.
    Gradient: for x through mean and variance; for gamma and beta summed over all other axes.
    Raises: ShapeError where an axis is not there, or gamma or beta do not fit.
    Source: Ba et al. 2016, arXiv 1607.06450.
    """
    axes = tuple(sorted((axis,) if isinstance(axis, int) else axis))
    if not axes or any(not -x.ndim <= i < x.ndim for i in axes) or len({i % x.ndim for i in axes}) < len(axes):
        raise ShapeError(f"axis={axis!r} does not name different axes of an input of shape {shown(x.shape)}")
    lengths = tuple(x.shape[i] for i in axes)
    for name, weights in (("gamma", gamma), ("beta", beta)):
        if weights is not None and weights.shape != lengths:
            raise ShapeError(
                f"{name} must have shape {shown(lengths)}, the lengths of axis={axis!r} of the input of shape "
                f"{shown(x.shape)}, but has {shown(weights.shape)}"
            )
    over = tuple(sorted(i % x.ndim for i in axes))
    others = tuple(i for i in range(x.ndim) if i not in over)
    spread = tuple(n if i in over else 1 for i, n in enumerate(x.shape))
    count = math.prod(lengths)
    x = x if x.dtype.kind == "f" else x.astype("float32")
    xp = array_module(x)

    centred = x - x.mean(axis=over, keepdims=True)
    variance = (centred * centred).mean(axis=over, keepdims=True)
    scale = 1 / xp.sqrt(variance + x.dtype.type(epsilon))
    centred *= scale
    normal = centred
    y = normal * gamma.reshape(spread) if gamma is not None else normal.copy()
    if beta is not None:
        y += beta.reshape(spread)

    def input_gradient(dy: Array) -> Array:
        pull = dy if gamma is None else dy * gamma.reshape(spread)
        along = (pull * normal).sum(axis=over, keepdims=True) / count
        dx = pull - pull.mean(axis=over, keepdims=True)
        dx -= normal * along
        dx *= scale
        return dx

    return y, (
        input_gradient,
        lambda dy: (dy * normal).sum(axis=others).reshape(lengths),
        lambda dy: dy.sum(axis=others).reshape(lengths),
    )
