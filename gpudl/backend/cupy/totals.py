"""Running sums of metrics on the GPU: launches of totals.cu."""

from __future__ import annotations

import numpy as np

from gpudl.backend import Array
from gpudl.backend.cupy.launching import TYPES, as_index, contiguous, index_type, launch, name_of

THREADS = 256


def add_values(total: Array, count: Array, values: Array, share: float, number: float) -> None:
    """total += share * sum(values), count += number, in place; both float64 of no axes, values of any shape
    and type."""
    values = contiguous(values if name_of(values.dtype) in TYPES else values.astype("float64"))
    index = index_type(values)
    arguments = (values, total, count, np.float64(share), np.float64(number), as_index(values.size, index))
    macros = {"T": TYPES[name_of(values.dtype)], "INDEX": index}
    launch("totals", "add_values", macros, (1,), THREADS, arguments, 8 * THREADS // 32)
