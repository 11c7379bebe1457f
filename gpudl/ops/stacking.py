"""Arrays put over and next to one another."""

from __future__ import annotations

from collections.abc import Sequence

from gpudl.autograd import as_array
from gpudl.backend import Array
from gpudl.ops.arithmetic import concatenate, reshape


def vstack(xs: Sequence[Array]) -> Array:
    """Put arrays over one another: along their first axis, vectors as rows of a matrix.

    Raises: ShapeError naming the shapes that do not fit.
    """
    xs = [as_array(x) for x in xs]
    return concatenate([x if len(x.shape) > 1 else reshape(x, (1, -1)) for x in xs], 0)


def hstack(xs: Sequence[Array]) -> Array:
    """Put arrays next to one another: along their second axis, vectors one after the other.

    Raises: ShapeError naming the shapes that do not fit.
    """
    xs = [as_array(x) for x in xs]
    xs = [x if x.shape else reshape(x, 1) for x in xs]
    return concatenate(xs, 0 if xs and len(xs[0].shape) == 1 else 1)
