from __future__ import annotations

import builtins
from collections.abc import Sequence

from gpudl.autograd import as_array
from gpudl.backend import Array
from gpudl.errors import ShapeError
from gpudl.ops.arithmetic import get_item
from gpudl.shapes import shown


def slice(inputs: Array, start_indices: Sequence[int], shape: Sequence[int]) -> Array:
    """Cut out the block of this shape that begins at these indices. Gradient: dy there, 0 elsewhere.

    Raises: ShapeError where the block does not lie within the array.
    """
    inputs = as_array(inputs)
    starts, lengths = [int(n) for n in start_indices], [int(n) for n in shape]
    sizes = inputs.shape
    fits = len(starts) == len(lengths) == len(sizes) and all(
        start >= 0 and length >= 0 and (size is None or start + length <= size)
        for start, length, size in zip(starts, lengths, sizes, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"slice: no block of shape {tuple(lengths)} begins at {tuple(starts)} in an array of shape {shown(sizes)}"
        )
    block = (builtins.slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
    return get_item(inputs, tuple(block))
