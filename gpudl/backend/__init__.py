"""Arrays of two libraries behind one door: NumPy's on the CPU, CuPy's on the GPU.

`array_module(x)` gives the library an array belongs to; `kernels(stem, x)` the module of gpudl's own kernels for it.
The modules `backend/numpy/<stem>.py` and `backend/cupy/<stem>.py` are twins: same functions, same signatures.
CuPy is imported only when an array of it is at hand or a device is asked for (devices.py).
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from gpudl.config import backend as backend
from gpudl.config import epsilon as epsilon
from gpudl.config import floatx as floatx
from gpudl.config import image_data_format as image_data_format
from gpudl.config import set_floatx as set_floatx
from gpudl.config import set_image_data_format as set_image_data_format
from gpudl.errors import DeviceError
from gpudl.naming import clear_session as clear_session

Array: TypeAlias = Any
"""A `numpy.ndarray` or `cupy.ndarray`; where an op takes it, a Tensor as well."""

Shape: TypeAlias = tuple[int, ...]


@cache
def _is_of_cupy(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "cupy"


def library(*arrays: Array) -> str:
    """Return "cupy" or "numpy", whichever the arrays belong to; numbers and lists go with either.

    Raises: DeviceError where both meet.
    """
    for a in arrays:
        if type(a) is not np.ndarray and _is_of_cupy(type(a)):
            break
    else:
        return "numpy"
    for a in arrays:
        if not _is_of_cupy(type(a)) and hasattr(a, "ndim"):
            kinds = ", ".join(f"{type(a).__module__.partition('.')[0]} {getattr(a, 'shape', '')}" for a in arrays)
            raise DeviceError(
                f"arrays of two libraries in one call: {kinds}; move one with cupy.asarray or cupy.asnumpy"
            )
    return "cupy"


def array_module(*arrays: Array) -> Any:
    """Return the module `numpy` or `cupy` that the arrays belong to."""
    return np if library(*arrays) == "numpy" else sys.modules["cupy"]  # whose arrays they are


@cache
def _kernel_module(stem: str, name: str) -> ModuleType:
    return importlib.import_module(f"gpudl.backend.{name}.{stem}")


def kernels(stem: str, *arrays: Array) -> Any:
    """Return gpudl's kernels of a family ("conv2d", "pool2d", ...) for the library the arrays belong to."""
    for array in arrays:
        if type(array) is not np.ndarray:
            return _kernel_module(stem, library(*arrays))
    return _kernel_module(stem, "numpy")


def to_numpy(array: Array) -> np.ndarray:
    """Return an array's values as a NumPy array, copied from the GPU where need be."""
    return array.get() if library(array) == "cupy" else np.asarray(array)
