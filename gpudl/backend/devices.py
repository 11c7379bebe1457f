"""Where arrays are put when nobody says: on the GPU, where there is one that CuPy can use, else on the CPU.

`set_device` or the environment variable GPUDL_DEVICE choose; where neither does, the first layer that is called or has
weights asks whether there is a GPU, and imports CuPy for it. Ops on plain arrays never ask: they follow their arrays.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from gpudl.backend import library, to_numpy
from gpudl.backend.diagnosis import why_no_gpu
from gpudl.errors import DeviceError

NAMES = ("auto", "cpu", "cuda")
_chosen: str = os.environ.get("GPUDL_DEVICE", "auto")
_current: str | None = None
"""What the choice came to, once somebody asked."""


def resolve_device(name: str) -> str:
    """Turn "auto", "cpu" or "cuda" into "cpu" or "cuda". "auto" warns where CuPy is installed but has no GPU to use.

    Keras's names, "gpu", "gpu:0", "cuda:0" and "cpu:0", will do as well.
    Raises: DeviceError for another name, and for "cuda" where it is not to be had, with what to do.
    """
    plain = {"gpu": "cuda"}.get(name.lower().removesuffix(":0"), name.lower().removesuffix(":0"))
    if plain not in NAMES:
        other = "; to use another GPU, set CUDA_VISIBLE_DEVICES" if ":" in plain else ""
        raise DeviceError(f'device "{name}" is unknown; use "auto", "cpu" or "cuda"{other}')
    if plain == "cpu":
        return "cpu"
    reason = why_no_gpu()
    if reason is None:
        return "cuda"
    if plain == "cuda":
        raise DeviceError(f"there is no GPU to use: {reason}")
    if reason.worth_saying:
        warnings.warn(f"computing on the CPU, since there is no GPU to use: {reason}", stacklevel=2)
    return "cpu"


def current() -> str:
    """Return the device in use, "cpu" or "cuda"."""
    global _current
    if _current is None:
        _current = resolve_device(_chosen)
    return _current


def set_device(name: str) -> None:
    """Choose where new weights and arrays are put: "cpu", "cuda", or "auto", a GPU where there is one.

    What has been made stays where it is. Raises: DeviceError where there is no such device.
    """
    global _chosen, _current
    _current = None if name == "auto" else resolve_device(name)
    _chosen = name


@contextmanager
def device(name: str) -> Iterator[None]:
    """Within this context new weights and arrays are put on that device, as with Keras's `keras.device`."""
    global _chosen, _current
    before = _chosen, _current
    set_device(name)
    try:
        yield
    finally:
        _chosen, _current = before


def module() -> Any:
    """Return the library of the device in use: `numpy` or `cupy`."""
    return np if current() == "cpu" else import_module("cupy")


def is_movable(array: Any) -> bool:
    """Whether these are numbers, which a GPU can hold; text cannot leave the CPU."""
    return hasattr(array, "dtype") and array.dtype.kind in "biuf"


def beside(array: Any, like: Any) -> Any:
    """Return an array in the library of another: itself, or a copy on that one's device."""
    if type(array) is np.ndarray and type(like) is np.ndarray:
        return array
    if library(like) == "cupy":
        return import_module("cupy").asarray(array) if isinstance(array, np.ndarray) and is_movable(array) else array
    return to_numpy(array) if library(array) == "cupy" else array


def put(array: Any) -> Any:
    """Return a NumPy array on the device in use: itself, or a copy."""
    return import_module("cupy").asarray(array) if current() == "cuda" and is_movable(array) else array
