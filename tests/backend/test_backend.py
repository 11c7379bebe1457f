"""The door between the array libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpudl import backend
from gpudl.backend import devices
from gpudl.errors import DeviceError


class Foreign:
    """What an array of CuPy looks like to the door."""

    __module__ = "cupy"
    ndim, shape = 2, (2, 3)

    def get(self) -> np.ndarray:
        return np.arange(6).reshape(2, 3)


def test_numbers_and_lists_go_with_any_library() -> None:
    assert backend.library(np.zeros(2), 3, None, [1]) == "numpy"
    assert backend.library(2.0) == "numpy"
    assert backend.library(3, Foreign()) == "cupy"
    assert backend.array_module(np.zeros(2), 1.0) is np


def test_two_libraries_in_one_call_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"numpy \(4,\), cupy \(2, 3\).*cupy.asarray"):
        backend.library(np.zeros(4), Foreign())


def test_subclasses_of_arrays_are_arrays() -> None:
    class Marked(np.ndarray):
        pass

    marked = np.zeros(3).view(Marked)
    assert backend.array_module(marked) is np
    assert backend.kernels("conv2d", marked) is backend.kernels("conv2d", np.zeros(3), np.zeros(2))


def test_kernels_are_modules_of_the_library() -> None:
    assert backend.kernels("pool2d", np.zeros(3)).__name__ == "gpudl.backend.numpy.pool2d"


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), Foreign(), [[0, 1, 2], [3, 4, 5]]])
def test_to_numpy(array: Any) -> None:
    values = backend.to_numpy(array)
    assert type(values) is np.ndarray and values.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_devices() -> None:
    assert devices.resolve_device("cpu") == "cpu"
    assert devices.resolve_device("auto") in ("cpu", "cuda")
    for name in ("tpu", "cuda:1", "gpu:1"):
        with pytest.raises(DeviceError, match=f'"{name}" is unknown; use "auto", "cpu" or "cuda"'):
            devices.resolve_device(name)


def test_a_device_that_is_there_is_given(device: str) -> None:
    for name in {"cpu": ("cpu", "cpu:0"), "cuda": ("cuda", "gpu", "cuda:0", "gpu:0")}[device]:
        assert devices.resolve_device(name) == device
