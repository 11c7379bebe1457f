"""Batch normalization on NumPy: rows (M, C), one channel a column.

Memory plan. Plain NumPy would write five temporaries of the batch's size. Here every pass runs over blocks that stay in
cache: one for mean and variance, one that normalizes, and two for the gradient. Several rows are taken as one, since
loops over a row of few channels would start more often than they run; sums over rows are products with ones, which BLAS
is quick at. Each block leaves its own sums, which are then joined in a fixed order. What is one block altogether stays
where it is between the passes, which spares one of each. Where numba is installed, a large batch is gone through by
loops instead, which need no room for a block: loops.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from gpudl.backend.numpy import loops
from gpudl.backend.numpy.constants import ones
from gpudl.backend.numpy.rows import repeated, rows_together
from gpudl.backend.numpy.workers import Piece, blocks, run

BLOCK = 1 << 19
"""Elements of one block. In smaller ones two threads wait for the interpreter between many short steps, and half a
million numbers take one thread no longer than two (measured)."""


class _Rows:
    """Rows (M, C) as fewer and longer ones, and the blocks that they are cut into."""

    def __init__(self, shape: tuple[int, int], kind: np.dtype) -> None:
        rows, columns = shape
        self.together, self.columns, self.kind = rows_together(rows, columns), columns, kind
        self.width = self.together * columns
        self.pieces = blocks(rows // self.together, max(1, BLOCK // self.width))
        self.longest = self.pieces[0][1] if self.pieces else 0
        self.size = rows * columns

    def is_one_block(self, *arrays: np.ndarray) -> bool:
        """Whether it is one block, of arrays of the statistics' type, that no loop goes through."""
        if len(self.pieces) != 1 or any(array.dtype != self.kind for array in arrays):
            return False
        return loops.loop_for(loops.add_rows, (), self.size, arrays[0]) is None

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

    def added(self, loop: loops.Loop, *arrays: np.ndarray, kinds: int = 1) -> list[np.ndarray]:
        """Run a loop that adds up long rows; return its sums over the true rows, (C,) each."""
        totals = np.zeros((kinds, self.width), self.kind)
        loop(*arrays, *totals)
        return [self.folded(total) for total in totals]

    def each(self, do: Callable[[int, slice, np.ndarray], None]) -> None:
        """Call `do(number, long rows, workspace)` for each block."""

        def work(share: Iterator[Piece]) -> None:
            room = np.empty((self.longest, self.width), self.kind)
            for start, stop in share:
                do(start // self.longest, slice(start, stop), room[: stop - start])

        run(work, self.pieces, self.size)


_rows = lru_cache(maxsize=64)(_Rows)


def _statistics_type(x: np.ndarray) -> np.dtype:
    return np.result_type(x.dtype, np.float32)


def forward(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    moving: tuple[np.ndarray, np.ndarray],
    momentum: float,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize by the batch's own statistics -> y (M, C), mean (C,), scale = 1 / sqrt(biased variance + epsilon).

    The moving mean and variance, (C,), follow in place: moving = momentum * moving + (1 - momentum) * batch.
    Means and sums of squares about them are taken by blocks and joined: source Chan, Golub and LeVeque 1979, Updating
    formulae and a pairwise algorithm for computing sample variances.
    """
    kind = _statistics_type(x)
    rows = _rows(x.shape, kind)
    wide = rows.wide(x)
    if rows.is_one_block(x):
        count = rows.size // rows.columns
        mean = rows.sums(wide) / count
        y = wide - rows.repeated(mean)
        variance = rows.sums(y * y) / count
        scale = _follow(moving, mean, variance, momentum, epsilon)
        y *= rows.repeated(scale if gamma is None else scale * gamma)
        if beta is not None:
            y += rows.repeated(beta)
        return y.reshape(x.shape), mean, scale
    parts = np.empty((2, len(rows.pieces), x.shape[1]), kind)
    add_rows, add_squares = (loops.loop_for(make, (), x.size, x) for make in (loops.add_rows, loops.add_squares))

    def add_up(number: int, block: slice, room: np.ndarray) -> None:
        if add_rows is not None and add_squares is not None:
            mean = rows.added(add_rows, wide[block])[0] / (len(room) * rows.together)
            parts[:, number] = mean, rows.added(add_squares, wide[block], rows.repeated(mean))[0]
            return
        mean = rows.sums(wide[block].astype(kind, copy=False)) / (len(room) * rows.together)
        np.subtract(wide[block], rows.repeated(mean), out=room)
        room *= room
        parts[:, number] = mean, rows.sums(room)

    rows.each(add_up)
    mean, variance = _joined(parts, rows)
    scale = _follow(moving, mean, variance, momentum, epsilon)
    return normalize(x, mean, scale, gamma, beta), mean, scale


def _follow(
    moving: tuple[np.ndarray, np.ndarray], mean: np.ndarray, variance: np.ndarray, momentum: float, epsilon: float
) -> np.ndarray:
    """Let the moving statistics follow the batch's; return 1 / sqrt(variance + epsilon), (C,)."""
    for moves, batch in zip(moving, (mean, variance), strict=True):
        moves *= momentum
        moves += (1 - momentum) * batch
    return 1 / np.sqrt(variance + variance.dtype.type(epsilon))


def _joined(parts: np.ndarray, rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (C,) of all rows from the means and sums of squares of the blocks, (2, blocks, C)."""
    means, squares = parts
    count = len(rows.pieces)
    if count == 1:
        return means[0], squares[0] / (rows.size // rows.columns)
    counts = np.array([[(stop - start) * rows.together] for start, stop in rows.pieces], rows.kind)
    mean = (means * counts).sum(axis=0) / counts.sum()
    return mean, (squares.sum(axis=0) + ((means - mean) ** 2 * counts).sum(axis=0)) / counts.sum()


def normalize(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None
) -> np.ndarray:
    """gamma (x - mean) scale + beta, as (x - mean) * factor + beta: exact where x is near the mean."""
    rows = _rows(x.shape, x.dtype)
    y = np.empty(x.shape, x.dtype)
    source, target = rows.wide(x), rows.wide(y)
    middle, factor = rows.repeated(mean), rows.repeated(scale if gamma is None else scale * gamma)
    shift = None if beta is None else rows.repeated(beta)
    loop = loops.loop_for(loops.normalize, (), x.size, x)

    def work(number: int, block: slice, room: np.ndarray) -> None:
        if loop is not None:
            loop(source[block], middle, factor, np.zeros_like(middle) if shift is None else shift, target[block])
            return
        out = np.subtract(source[block], middle, out=target[block], casting="same_kind")
        out *= factor
        if shift is not None:
            out += shift

    rows.each(work)
    return y


def backward(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, scale: np.ndarray, gamma: np.ndarray | None, training: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dy (M, C) -> dx (M, C), dgamma (C,), dbeta (C,).

    In training dx = gamma scale (dy - mean(dy) - xhat mean(dy xhat)); with fixed statistics dx = gamma scale dy.
    """
    kind = _statistics_type(x)
    rows = _rows(x.shape, kind)
    middle = rows.repeated(mean)
    if training and rows.is_one_block(x, dy):
        gradient = rows.wide(dy)
        dx = rows.wide(x) - middle
        dbeta, dgamma = rows.sums(gradient), rows.sums(dx * gradient) * scale
        share = 1 / max(1, x.shape[0])
        dx *= rows.repeated(dgamma * scale * -share)
        dx -= rows.repeated(dbeta * share)
        dx += gradient
        dx *= rows.repeated(scale if gamma is None else scale * gamma)
        return dx.reshape(x.shape), dgamma, dbeta
    dx = np.empty(x.shape, dy.dtype)
    gradient, source, target = rows.wide(dy), rows.wide(x), rows.wide(dx)
    parts = np.empty((2, len(rows.pieces), x.shape[1]), kind)
    add_gradients, of_input = (
        loops.loop_for(make, (), x.size, x, dy) for make in (loops.add_gradients, loops.normalize_gradients)
    )

    def add_up(number: int, block: slice, room: np.ndarray) -> None:
        if add_gradients is not None:
            parts[:, number] = rows.added(add_gradients, gradient[block], source[block], middle, kinds=2)
            return
        parts[0, number] = rows.sums(gradient[block])
        np.subtract(source[block], middle, out=room)
        room *= gradient[block]
        parts[1, number] = rows.sums(room)

    rows.each(add_up)
    dbeta, projected = parts.sum(axis=1)
    dgamma = projected * scale
    factor = rows.repeated(scale if gamma is None else scale * gamma)
    pull = rows.repeated((dgamma * scale / max(1, x.shape[0])).astype(x.dtype))
    drift = rows.repeated((dbeta / max(1, x.shape[0])).astype(x.dtype))

    def work(number: int, block: slice, room: np.ndarray) -> None:
        out = target[block]
        if training and of_input is not None:
            of_input(gradient[block], source[block], middle, factor, drift, pull, out)
        elif training:
            np.subtract(middle, source[block], out=out, casting="same_kind")
            out *= pull
            out -= drift
            out += gradient[block]
            out *= factor
        else:
            np.multiply(gradient[block], factor, out=out, casting="same_kind")

    rows.each(work)
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)
