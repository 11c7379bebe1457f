"""Matrices and their diagonals: made of vectors, read, summed, and cut off on one side."""

from __future__ import annotations

from typing import Any

from gpudl.arithmetic import counted_in
from gpudl.autograd import as_array, differentiable, multiply
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError
from gpudl.ops.arithmetic import reshape
from gpudl.shapes import shown


def outer(x1: Array, x2: Array) -> Array:
    """Multiply every element of x1 by every one of x2: y[i, j] = x1[i] x2[j], both laid out flat."""
    return multiply(reshape(as_array(x1), (-1, 1)), reshape(as_array(x2), (1, -1)))


@differentiable
def diag(x: Array, *, k: int = 0) -> tuple[Array, Any]:
    """Make a matrix with x on its k-th diagonal of a vector; read the k-th diagonal of a matrix.

    Gradient: what the other of the two does.
    Raises: ShapeError where x is neither a vector nor a matrix.
    """
    xp = array_module(x)
    if x.ndim not in (1, 2):
        raise ShapeError(f"diag: the input must be a vector or a matrix, but has shape {shown(x.shape)}")
    y = xp.diag(x, k).copy()

    def onto_diagonal(dy: Array) -> Array:
        dx = xp.zeros(x.shape, dy.dtype)
        row = xp.arange(len(dy)) + max(-k, 0)
        dx[row, row + k] = dy
        return dx

    return y, onto_diagonal if x.ndim == 2 else lambda dy: xp.diag(dy, k)


@differentiable
def trace(x: Array, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> tuple[Array, Any]:
    """Add up the diagonal of the matrices on two axes, `offset` places to the right of the main one.

    Gradient: dy along the diagonal, 0 elsewhere.
    Raises: ShapeError where x has fewer than two axes.
    """
    xp = array_module(x)
    _need_matrices("trace", x)
    y = xp.asarray(xp.trace(x, offset, axis1, axis2, dtype=counted_in(x)))

    def backward(dy: Array) -> Array:
        diagonal = xp.eye(x.shape[axis1], x.shape[axis2], offset, dtype=dy.dtype)
        return xp.moveaxis(dy[..., None, None] * diagonal, (-2, -1), (axis1, axis2))

    return y, backward


@differentiable
def tril(x: Array, *, k: int = 0) -> tuple[Array, Any]:
    """Keep what stands on the k-th diagonal of the last two axes and below it, 0 elsewhere.

    Gradient: dy, cut off likewise.
    Raises: ShapeError where x has fewer than two axes.
    """
    xp = array_module(x)
    _need_matrices("tril", x)
    return xp.tril(x, k), lambda dy: xp.tril(dy, k)


@differentiable
def triu(x: Array, *, k: int = 0) -> tuple[Array, Any]:
    """Keep what stands on the k-th diagonal of the last two axes and above it, 0 elsewhere.

    Gradient: dy, cut off likewise.
    Raises: ShapeError where x has fewer than two axes.
    """
    xp = array_module(x)
    _need_matrices("triu", x)
    return xp.triu(x, k), lambda dy: xp.triu(dy, k)


def _need_matrices(name: str, x: Array) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: the input must have at least two axes, but has shape {shown(x.shape)}")
