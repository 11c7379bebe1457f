from __future__ import annotations

from typing import Any

from gpudl.autograd import as_array, differentiable
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.shapes import shown


@differentiable
def _meshgrid(*x: Array, which: int, indexing: str) -> tuple[Array, Any]:
    xp = array_module(*x)
    places = list(range(len(x)))
    if indexing == "xy" and len(x) > 1:
        places[:2] = [1, 0]
    shape = [x[i].size for i in places]  # the swap of two places is its own way back
    own = xp.asarray(x[which]).reshape([-1 if i == places[which] else 1 for i in range(len(x))])
    others = tuple(i for i in range(len(x)) if i != places[which])

    def backward(dy: Array) -> Array:
        return dy.sum(axis=others).reshape(x[which].shape)

    return xp.broadcast_to(own, shape), tuple(backward if i == which else None for i in range(len(x)))


def meshgrid(*x: Array, indexing: str = "xy") -> list[Array]:
    """Return for every vector an array that holds its values at each point of the grid all of them span.

    Shapes: (A,), (B,), (C,), ... -> as many of (B, A, C, ...) with indexing="xy", of (A, B, C, ...) with "ij".
    Gradient: summed over the points that share a value.
    Raises: UsageError for another `indexing`; ShapeError where one has more than one axis.
    """
    if indexing not in ("xy", "ij"):
        raise UsageError(f'meshgrid(indexing={indexing!r}): use "xy" or "ij"')
    arrays = [as_array(each) for each in x]
    for each in arrays:
        if len(each.shape) > 1:
            raise ShapeError(f"meshgrid: each array must have one axis, but one has shape {shown(each.shape)}")
    return [_meshgrid(*arrays, which=i, indexing=indexing) for i in range(len(arrays))]
