"""Batch normalization on NumPy: rows (M, C), one channel a column.

Memory plan. Plain NumPy would write five temporaries of the batch's size. Here every pass runs over blocks of rows
that stay in cache. Each block leaves its own sums over the rows, which are then added up in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpudl.backend.numpy.workers import Piece, blocks, run

BLOCK = 1 << 16
"""Elements of one block: 256 KiB of float32."""


def _pieces(x: np.ndarray) -> list[tuple[int, int]]:
    return blocks(x.shape[0], max(1, BLOCK // x.shape[1]))


def _statistics_type(x: np.ndarray) -> np.dtype:
    return np.result_type(x.dtype, np.float32)


def _sum_by_block(x: np.ndarray, fill, count: int) -> np.ndarray:
    """Add up what `fill(block slice, out)` writes for each block: (count, C)."""
    pieces = _pieces(x)
    sums = np.empty((len(pieces), count, x.shape[1]), _statistics_type(x))
    size = pieces[0][1]

    def work(share: Iterator[Piece]) -> None:
        for start, stop in share:
            fill(slice(start, stop), sums[start // size])

    run(work, pieces, x.size)
    return sums.sum(axis=0)


def forward(
    x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalize by the batch's own statistics -> y (M, C), mean (C,), biased variance (C,)."""
    kind = _statistics_type(x)

    def add_up(rows: slice, out: np.ndarray) -> None:
        np.sum(x[rows], axis=0, dtype=kind, out=out[0])

    mean = _sum_by_block(x, add_up, 1)[0] / x.shape[0]

    def add_squares(rows: slice, out: np.ndarray) -> None:
        centred = x[rows] - mean
        np.einsum("mc,mc->c", centred, centred, out=out[0])

    variance = _sum_by_block(x, add_squares, 1)[0] / x.shape[0]
    scale = 1 / np.sqrt(variance + kind.type(epsilon))
    return normalize(x, mean, scale, gamma, beta), mean, variance


def normalize(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None
) -> np.ndarray:
    """gamma (x - mean) scale + beta, as (x - mean) * factor + beta: exact where x is near the mean."""
    factor = scale if gamma is None else scale * gamma
    y = np.empty(x.shape, x.dtype)

    def work(share: Iterator[Piece]) -> None:
        for start, stop in share:
            out = np.subtract(x[start:stop], mean, out=y[start:stop], casting="same_kind")
            out *= factor
            if beta is not None:
                out += beta

    run(work, _pieces(x), x.size)
    return y


def backward(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, scale: np.ndarray, gamma: np.ndarray | None, training: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dy (M, C) -> dx (M, C), dgamma (C,), dbeta (C,).

    In training dx = gamma scale (dy - mean(dy) - xhat mean(dy xhat)); with fixed statistics dx = gamma scale dy.
    """

    def add_up(rows: slice, out: np.ndarray) -> None:
        np.sum(dy[rows], axis=0, out=out[0])
        np.einsum("mc,mc->c", dy[rows], x[rows] - mean, out=out[1])

    dbeta, projected = _sum_by_block(x, add_up, 2)
    dgamma = projected * scale
    factor = scale if gamma is None else scale * gamma
    dx = np.empty(x.shape, dy.dtype)
    pull = (dgamma * scale / x.shape[0]).astype(x.dtype)
    drift = (dbeta / x.shape[0]).astype(x.dtype)

    def work(share: Iterator[Piece]) -> None:
        for start, stop in share:
            out = dx[start:stop]
            if training:
                np.subtract(mean, x[start:stop], out=out, casting="same_kind")
                out *= pull
                out -= drift
                out += dy[start:stop]
                out *= factor
            else:
                np.multiply(dy[start:stop], factor, out=out, casting="same_kind")

    run(work, _pieces(x), x.size)
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)
