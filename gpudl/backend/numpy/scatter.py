"""Adding up at places that may be the same, on NumPy. The sums are all that is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpudl.backend import Shape


def add_rows(places: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """places (M,) of integers from 0 to count - 1, rows (M, D) -> (count, D): the sum of the rows of each place."""
    total = np.zeros((count, rows.shape[1]), rows.dtype)
    if rows.shape[1] == 1:  # NumPy is quick where all is flat
        np.add.at(total.reshape(-1), places, rows.reshape(-1))
    else:
        np.add.at(total, places, rows)
    return total


def add_at(shape: Shape, index: Any, values: np.ndarray) -> np.ndarray:
    """Zeros of a shape with the values added at an index of it, any that arrays take."""
    total = np.zeros(shape, values.dtype)
    np.add.at(total, index, values)
    return total
