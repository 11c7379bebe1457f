"""Sums of parts that blocks of their own have added up."""

from __future__ import annotations

from gpudl.backend import Array, array_module
from gpudl.backend.cupy.launching import launch_each


def sum_of_parts(parts: Array) -> Array:
    """parts (count, ...) -> their sum (...), added up in order."""
    if len(parts) == 1:
        return parts[0]
    total = array_module(parts).empty(parts.shape[1:], parts.dtype)
    launch_each("parts", "add_parts", total.size, (parts, total, len(parts)))
    return total
