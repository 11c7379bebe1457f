from __future__ import annotations

from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.errors import UsageError


@differentiable
def embedding(index: Array, embeddings: Array) -> tuple[Array, Any]:
    """Take a row of `embeddings` for each number: y[...] = embeddings[index[...]].

    Numbers of floating point, as layers hand them over, are cut down to whole ones.

    Shapes: index of any shape, embeddings (I, O) -> y (*index.shape, O).
    Gradient: for the embeddings, dy added up for each row; the index has none.
    Raises: UsageError where a number is below 0 or not below I.
    """
    xp = array_module(index, embeddings)
    rows = xp.asarray(index).astype("int64")
    count = embeddings.shape[0]
    if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise UsageError(
            f"index runs from {int(rows.min())} to {int(rows.max())}, but there are embeddings for 0 to {count - 1}; "
            "make input_dim larger than the largest number"
        )

    def embeddings_gradient(dy: Array) -> Array:
        total = xp.zeros(embeddings.shape, dy.dtype)
        xp.add.at(total, rows.ravel(), dy.reshape(-1, dy.shape[-1]))
        return total

    return embeddings[rows], (None, embeddings_gradient)
