"""Setting a test part aside."""

from __future__ import annotations

import numpy as np

from gpudl.datasets.base import Data
from gpudl.errors import UsageError


def check_fraction(owner: str, test_fraction: float) -> None:
    """Refuse a fraction outside [0, 1). Raises: UsageError."""
    number = isinstance(test_fraction, (int, float)) and not isinstance(test_fraction, bool)
    if not number or not 0 <= test_fraction < 1:
        raise UsageError(
            f"{owner}: test_fraction={test_fraction!r} is not a number from 0 up to, but not including, 1; "
            "0.2 keeps a fifth of the rows for testing, 0 none"
        )


def split(
    owner: str,
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    test_fraction: float,
    class_names: tuple[str, ...] | None = None,
) -> Data:
    """Put the first round(N * test_fraction) rows of `order` into the test part, the rest into the training part.

    So a smaller test part is contained in a larger one of the same order.

    Shapes: x (N, ...), y (N,), order (N,), a permutation of 0..N-1.
    Raises: UsageError where a part would be empty; fraction 0 asks for no test part.
    """
    total = len(order)
    count = round(total * test_fraction)
    if test_fraction > 0 and not 0 < count < total:
        empty = "test" if count == 0 else "training"
        raise UsageError(
            f"{owner}: test_fraction={test_fraction} of {total} rows leaves the {empty} part empty; "
            "use another fraction, or 0 for no test part"
        )
    test, train = order[:count], order[count:]
    if count == 0:
        return Data(x[train], y[train], class_names=class_names)
    return Data(x[train], y[train], x[test], y[test], class_names)
