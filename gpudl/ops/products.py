"""Products of arrays over axes of one's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpudl.arithmetic import axis_of
from gpudl.autograd import as_array, differentiable, multiply
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError
from gpudl.shapes import shown


@differentiable
def _tensordot(x1: Array, x2: Array, *, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[Array, Any]:
    xp = array_module(x1, x2)
    summed = tuple(tuple(axis_of(n, x.ndim) for n in own) for x, own in zip((x1, x2), axes, strict=True))
    kept = tuple(tuple(n for n in range(x.ndim) if n not in own) for x, own in zip((x1, x2), summed, strict=True))

    def gradient_1(dy: Array) -> Array:
        """dy @ x2, its axes being those kept of x1, then those summed in x2's order."""
        dx = xp.tensordot(dy, x2, (tuple(range(len(kept[0]), dy.ndim)), kept[1]))
        order = [*kept[0], *(one for _, one in sorted(zip(summed[1], summed[0], strict=True)))]
        return dx.transpose([order.index(n) for n in range(x1.ndim)])

    def gradient_2(dy: Array) -> Array:
        """x1 @ dy, its axes being those summed in x1's order, then those kept of x2."""
        dx = xp.tensordot(x1, dy, (kept[0], tuple(range(len(kept[0])))))
        order = [*(two for _, two in sorted(zip(summed[0], summed[1], strict=True))), *kept[1]]
        return dx.transpose([order.index(n) for n in range(x2.ndim)])

    return xp.asarray(xp.tensordot(x1, x2, summed)), (gradient_1, gradient_2)


def tensordot(x1: Array, x2: Array, axes: int | Sequence[int | Sequence[int]] = 2) -> Array:
    """Multiply and sum over the last `axes` of x1 and the first of x2, or over two lists of axes, one for each.

    Raises: ShapeError where the axes differ in length.
    """
    x1, x2 = as_array(x1), as_array(x2)
    if isinstance(axes, int):
        axes = (range(x1.ndim - axes, x1.ndim), range(axes))
    first, second = ((own,) if isinstance(own, int) else tuple(own) for own in axes)
    if [x1.shape[n] for n in first] != [x2.shape[n] for n in second]:
        raise ShapeError(
            f"tensordot: axes {first} of shape {shown(x1.shape)} do not fit axes {second} of {shown(x2.shape)}"
        )
    return _tensordot(x1, x2, axes=(first, second))


def dot(x1: Array, x2: Array) -> Array:
    """Multiply matrices or vectors: sum over the last axis of x1 and the last but one of x2, the only one of a vector.

    A number multiplies every element.
    """
    x1, x2 = as_array(x1), as_array(x2)
    if not x1.shape or not x2.shape:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=((x1.ndim - 1,), (max(x2.ndim - 2, 0),)))
