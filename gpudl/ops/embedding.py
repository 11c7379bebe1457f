from __future__ import annotations

from typing import Any

import numpy as np

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module, kernels
from gpudl.errors import UsageError


@differentiable
def embedding(index: Array, embeddings: Array) -> tuple[Array, Any]:
    """Take a row of `embeddings` for each number: y[...] = embeddings[index[...]].

    Numbers of floating point, as layers hand them over, are cut down to whole ones.

    Shapes: index of any shape, embeddings (I, O) -> y (*index.shape, O).
    Gradient: for the embeddings, dy added up for each row; the index has none.
    Raises: UsageError where a number is below 0 or not below I; on the GPU, where nothing is read back, its row is NaN.
    """
    xp = array_module(index, embeddings)
    rows = xp.asarray(index).astype("int64")
    count = embeddings.shape[0]
    if xp is not np:  # on the GPU nothing is read back: what is not there is NaN, and without a gradient
        known = ((rows >= 0) & (rows < count))[..., None]
        rows = xp.clip(rows, 0, count - 1)
        y = xp.where(known, embeddings[rows], embeddings.dtype.type(np.nan))
        return y, (None, lambda dy: _added(rows, xp.where(known, dy, dy.dtype.type(0)), count))
    if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise UsageError(
            f"index runs from {int(rows.min())} to {int(rows.max())}, but there are embeddings for 0 to {count - 1}; "
            "make input_dim larger than the largest number"
        )

    return embeddings[rows], (None, lambda dy: _added(rows, dy, count))


def _added(rows: Array, dy: Array, count: int) -> Array:
    return kernels("scatter", dy).add_rows(rows.reshape(-1), dy.reshape(-1, dy.shape[-1]), count)
