"""Short rows of a matrix taken several at a time."""

from __future__ import annotations


def rows_together(rows: int, columns: int) -> int:
    """Return how many rows to take as one where each gets the same: NumPy starts its loop anew for each."""
    together = 1
    while rows % (2 * together) == 0 and 2 * together * columns <= 1024:
        together *= 2
    return together
