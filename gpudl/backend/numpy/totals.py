"""Running sums of metrics on NumPy."""

from __future__ import annotations

import numpy as np


def add_values(total: np.ndarray, count: np.ndarray, values: np.ndarray, share: float, number: float) -> None:
    """total += share * sum(values), count += number, in place; both float64 of no axes, values of any shape and type.

    Python adds two numbers in a quarter of the time that NumPy takes for arrays of one.
    """
    if values.dtype == bool:
        added = int(np.count_nonzero(values))
    else:
        added = values.item() if values.size == 1 else values.sum(dtype="float64").item()
    total[()] = total.item() + share * added
    count[()] = count.item() + number
