"""Running sums of metrics on NumPy."""

from __future__ import annotations

import numpy as np


def add_values(total: np.ndarray, count: np.ndarray, values: np.ndarray, share: float, number: float) -> None:
    """total += share * sum(values), count += number, in place; both float64 of no axes, values of any shape."""
    total += share * (values.item() if values.size == 1 else values.sum(dtype="float64"))
    count += number
