"""What the order of numbers tells: sorted, the largest, the middle, and which there are."""

from __future__ import annotations

from typing import Any

from gpudl.arithmetic import axes_of, axis_of, spread
from gpudl.autograd import Tensor, as_array, differentiable
from gpudl.backend import Array, Shape, array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.arithmetic import expand_dims
from gpudl.ops.decorators import floating, without_gradient
from gpudl.ops.shaping import ravel, take_along_axis
from gpudl.shapes import shown


@without_gradient
def argsort(x: Array, *, axis: int | None = -1) -> Array:
    """Where the smallest element is along `axis`, the next one, and so on; equal ones in the order they stand in.

    For None the array is laid out flat. int32; no gradient.
    """
    xp = array_module(x)
    flat = x.reshape(-1) if axis is None else x
    return xp.argsort(flat, axis=-1 if axis is None else axis, kind="stable").astype("int32")


def sort(x: Array, axis: int | None = -1) -> Array:
    """Put elements into ascending order along `axis`, or in the array laid out flat.

    Gradient: to where each element came from.
    """
    x = as_array(x)
    if axis is None:
        x, axis = ravel(x), 0
    return take_along_axis(x, argsort(x, axis=axis), axis=axis)


@without_gradient
def _of_largest(x: Array, *, k: int) -> Array:
    """Where the k largest are along the last axis, from the largest on; of equal ones the first comes first."""
    xp = array_module(x)
    if not x.shape or not 0 <= k <= x.shape[-1]:
        raise ShapeError(f"top_k: an input of shape {shown(x.shape)} has no {k} elements along its last axis")
    last = x.shape[-1] - 1
    ascending = xp.argsort(xp.flip(x, -1), axis=-1, kind="stable")  # turned round, so that turned back the first leads
    return (last - xp.flip(ascending, -1)[..., :k]).astype("int32")


def top_k(x: Array, k: int, sorted: bool = True) -> tuple[Array, Array]:
    """Return the k largest along the last axis, the largest first, and where they are (int32).

    They come in order whatever `sorted` says. Gradient: of the values, to where each came from.
    Raises: ShapeError where there are fewer than k.
    """
    x = as_array(x)
    where = _of_largest(x, k=k)
    return take_along_axis(x, where, axis=-1), where


@without_gradient
def _at_least_one_of(value: Array, top: Array) -> Array:
    return (value >= top).any(axis=-1)


def in_top_k(targets: Array, predictions: Array, k: int) -> Array:
    """Whether the prediction for each target is among the k largest of its row; what equals the k-th is.

    Shapes: integers (N,), predictions (N, K) -> (N,). No gradient.
    Raises: ShapeError where there are fewer than k, or the shapes do not fit.
    """
    targets, predictions = as_array(targets), as_array(predictions)
    if len(predictions.shape) != 2 or tuple(targets.shape) != tuple(predictions.shape[:1]):
        raise ShapeError(
            f"in_top_k: targets of shape {shown(targets.shape)} and predictions of shape {shown(predictions.shape)} "
            "must have the shapes (N,) and (N, K)"
        )
    top, _ = top_k(predictions, k)
    return _at_least_one_of(take_along_axis(predictions, expand_dims(targets, 1), axis=1), top)


@differentiable
def median(x: Array, *, axis: int | Shape | None = None, keepdims: bool = False) -> tuple[Array, Any]:
    """Take the element in the middle of the order over `axis`, or the mean of the two in the middle.

    Where one is not a number, neither is the median. Gradient: to the one in the middle, or half to each of the two.
    """
    xp, x, axis = array_module(x), floating(x), axes_of(axis)
    over = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    over = tuple(axis_of(n, x.ndim) for n in over)
    order = (*(n for n in range(x.ndim) if n not in over), *over)
    there = x.transpose(order)
    rows = there.reshape(*there.shape[: x.ndim - len(over)], -1)
    ascending = xp.argsort(rows, axis=-1, kind="stable")
    middle = slice((rows.shape[-1] - 1) // 2, rows.shape[-1] // 2 + 1)
    y = xp.take_along_axis(rows, ascending[..., middle], -1).mean(axis=-1)
    y = xp.where(xp.isnan(rows).any(axis=-1), xp.asarray(xp.nan, x.dtype), y)

    def backward(dy: Array) -> Array:
        rank = xp.argsort(ascending, axis=-1)
        chosen = ((rank >= middle.start) & (rank < middle.stop)).astype(dy.dtype) / (middle.stop - middle.start)
        back = [order.index(n) for n in range(x.ndim)]
        return spread(dy, x, axis, keepdims) * chosen.reshape(there.shape).transpose(back)

    shape = tuple(1 if n in over else size for n, size in enumerate(x.shape))
    return xp.asarray(y.reshape(shape) if keepdims else y), backward


def unique(
    x: Array,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
) -> Any:
    """Return the different elements in ascending order, or the different slices along `axis`; plain arrays.

    On request also where each stands first, which of them every element is, and how often each occurs (int32). They
    come in order whatever `sorted` says. No gradient.
    Raises: UsageError for a symbolic tensor: how many there are depends on the values.
    """
    if hasattr(type(x), "__gpudl_op__"):
        raise UsageError("unique: how many different values there are is not known while a model is put together")
    x = as_array(x)
    x = x.data if isinstance(x, Tensor) else x
    asked = {"return_index": return_index, "return_inverse": return_inverse, "return_counts": return_counts}
    found = array_module(x).unique(x, axis=axis, **asked)
    if not isinstance(found, tuple):
        return found
    named = dict(zip([name for name in asked if asked[name]], found[1:], strict=True))
    if return_inverse:
        named["return_inverse"] = named["return_inverse"].reshape(x.shape if axis is None else -1)
    return (found[0], *(where.astype("int32") for where in named.values()))
