"""Adding up rows at places that may be the same, on NumPy."""

from __future__ import annotations

import numpy as np


def add_rows(places: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """places (M,) of integers from 0 to count - 1, rows (M, D) -> (count, D): the sum of the rows of each place."""
    total = np.zeros((count, rows.shape[1]), rows.dtype)
    if rows.shape[1] == 1:  # NumPy is quick where all is flat
        np.add.at(total.reshape(-1), places, rows.reshape(-1))
    else:
        np.add.at(total, places, rows)
    return total
