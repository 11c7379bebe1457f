"""How float32 products are made on the GPU: what `gpudl.set_float32_precision` says, as far as the device can."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from gpudl import config
from gpudl.backend import Array
from gpudl.backend.cupy.launching import name_of

FMA, TF32, THREE_TF32, SIXTEEN = 0, 1, 3, 16
"""The values of MATH in tiles.cuh."""


@cache
def has_tensor_cores() -> bool:
    """Whether the device's tensor cores take TF32 and bfloat16: from compute capability 8.0 on."""
    return int(import_module("cupy").cuda.Device().compute_capability) >= 80


def products(array: Array) -> int:
    """Return the MATH that products of this array are to be made by."""
    precision = config.float32_precision()
    if array.dtype.itemsize == 2:
        return SIXTEEN if has_tensor_cores() else FMA
    if name_of(array.dtype) != "float32" or precision == "highest" or not has_tensor_cores():
        return FMA
    return THREE_TF32 if precision == "high" else TF32
