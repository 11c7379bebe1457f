"""Batch normalization on NumPy: rows (M, C), one channel a column.

Memory plan. Plain NumPy would write five temporaries of the batch's size. Here all steps are made for one block of the
batch after the other, in the place of the result: first x - mean and its sums, then the rest. Several rows are taken as
one, since loops over a row of few channels would start more often than they run; sums over rows are products with ones,
which BLAS is quick at, and sums of products are einsum's, which writes nothing down. Each block leaves its own sums,
which are then joined in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from gpudl.backend.numpy import aligned
from gpudl.backend.numpy.constants import ones, zeros
from gpudl.backend.numpy.rows import beside, repeated, rows_together
from gpudl.backend.numpy.workers import Piece, blocks, run, single_threaded_blas

BLOCK = 1 << 18
"""Elements of one block at most, but for what fills up a long row; as many are two blocks. In smaller ones two threads
wait for the interpreter between many short steps (measured)."""


class _Rows:
    """Rows (M, C) as fewer and longer ones, and the blocks that they are cut into."""

    def __init__(self, shape: tuple[int, int], kind: np.dtype, block: int) -> None:
        self.rows, self.columns = rows, columns = shape
        self.together, self.kind = rows_together(rows, columns), kind
        self.width = self.together * columns
        self.size = rows * columns
        long = rows // self.together
        count = 2 * -(-self.size // (2 * block)) if self.size >= block else 1
        self.pieces = blocks(long, -(-long // count))
        self.longest = self.pieces[0][1] if self.pieces else 0
        lengths = [(stop - start) * self.together for start, stop in self.pieces]
        self.shares = np.array(lengths, kind) / kind.type(max(1, rows))
        """Of all rows, those in each block, (blocks,)."""

    def wide(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, self.width)

    def repeated(self, of_columns: np.ndarray) -> np.ndarray:
        return repeated(of_columns, self.together)

    def folded(self, of_width: np.ndarray) -> np.ndarray:
        """Sums (width,) over long rows -> the sums over the true rows, (C,)."""
        return ones(self.together, of_width.dtype) @ of_width.reshape(self.together, self.columns)

    def sums(self, x: np.ndarray) -> np.ndarray:
        """x (rows, width), some of the long rows -> the sums over the true rows, (C,)."""
        return self.folded(ones(len(x), x.dtype) @ x)

    def sums_of_products(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """x and y, some of the long rows -> the sums of x y over the true rows, (C,), in one pass."""
        return self.folded(np.einsum("ij,ij->j", x, y))

    def each(self, do: Callable[[int, slice], None]) -> None:
        """Call `do(number, long rows)` for each block."""

        def work(share: Iterator[Piece]) -> None:
            for start, stop in share:
                do(start // self.longest, slice(start, stop))

        run(work, self.pieces, self.size)


_rows = lru_cache(maxsize=256)(_Rows)


@lru_cache(maxsize=16)
def _statistics_type(given: np.dtype) -> np.dtype:
    return np.result_type(given, np.float32)


def forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    moving: tuple[np.ndarray, np.ndarray],
    momentum: float,
    epsilon: float,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize by the batch's own statistics -> y (M, C), mean (C,), scale = 1 / sqrt(biased variance + epsilon).

    The moving mean and variance, (C,), follow in place: moving = momentum * moving + (1 - momentum) * batch.
    With `relu` y is max(y, 0).
    Means and sums of squares about them are taken by blocks and joined: source Chan, Golub and LeVeque 1979, Updating
    formulae and a pairwise algorithm for computing sample variances.
    """
    kind = _statistics_type(x.dtype)
    rows = _rows(x.shape, kind, BLOCK)
    y = aligned.empty(x.shape, kind)
    source, target = rows.wide(x), rows.wide(y)
    parts = aligned.empty((2, len(rows.pieces), x.shape[1]), kind)

    def add_up(number: int, block: slice) -> None:
        wide = source[block]
        mean = rows.sums(wide.astype(kind, copy=False)) / (len(wide) * rows.together)
        centred = np.subtract(wide, rows.repeated(mean), out=target[block])
        parts[:, number] = mean, rows.sums_of_products(centred, centred)

    rows.each(add_up)
    mean, variance = _joined(parts, rows)
    for moves, batch in zip(moving, (mean, variance), strict=True):
        moves *= momentum
        moves += (1 - momentum) * batch
    scale = 1 / np.sqrt(variance + kind.type(epsilon))
    factor = scale if gamma is None else scale * gamma
    factors = rows.repeated(factor)

    def finish(number: int, block: slice) -> None:
        shift = (parts[0, number] - mean) * factor  # the block lies about its own mean
        out = target[block]
        out *= factors
        out += rows.repeated(shift if beta is None else shift + beta)
        if relu:
            beside(np.maximum, out, zeros, out=out)

    rows.each(finish)
    return y.astype(x.dtype, copy=False), mean, scale


def _joined(parts: np.ndarray, rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (C,) of all rows from the means and sums of squares of the blocks, (2, blocks, C)."""
    means, squares = parts
    if len(means) == 1:
        return means[0], squares[0] / rows.rows
    with single_threaded_blas:
        mean = rows.shares @ means
        away = np.subtract(means, mean)
        away *= away
        return mean, np.add.reduce(squares) / rows.rows + rows.shares @ away


def normalize(
    x: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    relu: bool = False,
) -> np.ndarray:
    """gamma (x - mean) scale + beta, as (x - mean) * factor + beta: exact where x is near the mean.

    With `relu` the maximum of that and 0.
    """
    rows = _rows(x.shape, x.dtype, BLOCK)
    y = aligned.empty(x.shape, x.dtype)
    source, target = rows.wide(x), rows.wide(y)
    middle, factor = rows.repeated(mean), rows.repeated(scale if gamma is None else scale * gamma)
    shift = None if beta is None else rows.repeated(beta)

    def work(number: int, block: slice) -> None:
        out = np.subtract(source[block], middle, out=target[block], casting="same_kind")
        out *= factor
        if shift is not None:
            out += shift
        if relu:
            beside(np.maximum, out, zeros, out=out)

    rows.each(work)
    return y


def backward(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, scale: np.ndarray, gamma: np.ndarray | None, training: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dy (M, C) -> dx (M, C), dgamma (C,), dbeta (C,).

    In training dx = gamma scale (dy - mean(dy) - xhat mean(dy xhat)); with fixed statistics dx = gamma scale dy.
    """
    kind = _statistics_type(x.dtype)
    rows = _rows(x.shape, kind, BLOCK)
    dx = aligned.empty(x.shape, kind)
    gradient, source, target = rows.wide(dy), rows.wide(x), rows.wide(dx)
    parts = aligned.empty((2, len(rows.pieces), x.shape[1]), kind)
    middle = rows.repeated(mean)

    def add_up(number: int, block: slice) -> None:
        centred = np.subtract(source[block], middle, out=target[block])
        parts[0, number] = rows.sums(gradient[block].astype(kind, copy=False))
        parts[1, number] = rows.sums_of_products(centred, gradient[block])

    rows.each(add_up)
    dbeta, projected = np.add.reduce(parts, axis=1)
    dgamma = projected * scale
    factor = rows.repeated(scale if gamma is None else scale * gamma)
    pull = rows.repeated(dgamma * scale / max(1, x.shape[0]))
    drift = rows.repeated(dbeta / max(1, x.shape[0]))

    def work(number: int, block: slice) -> None:
        out = target[block]
        if training:
            out *= pull
            np.subtract(gradient[block], out, out=out)
            out -= drift
            out *= factor
        else:
            np.multiply(gradient[block], factor, out=out)

    rows.each(work)
    return dx.astype(dy.dtype, copy=False), dgamma.astype(x.dtype), dbeta.astype(x.dtype)
