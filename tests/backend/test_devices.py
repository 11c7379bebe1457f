"""Which device is used, and what is said where it is not the one asked for."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gpudl
from gpudl.backend import devices, diagnosis
from gpudl.backend.diagnosis import Driver
from gpudl.backend.room import out_of_memory
from gpudl.cli.app import app
from gpudl.errors import DeviceError, OutOfMemoryError, TrainingError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make this machine one with another driver, and another CuPy or none."""

    def make(cuda: int, gpus: int, installed: list[str], error: Exception | None, capability: str = "90") -> None:
        fake = ModuleType("cupy")

        class Device:
            compute_capability = capability

            def __init__(self, number: int) -> None: ...

        def count() -> int:
            if error is not None:
                raise error
            return gpus

        class RawKernel:
            def __init__(self, *_: Any, **__: Any) -> None: ...

            def compile(self) -> None:
                if "headers" in installed:
                    raise RuntimeError("catastrophic error: cannot open source file cuda_fp16.h\nmore")

        fake.cuda = ModuleType("cuda")  # type: ignore[attr-defined]
        fake.cuda.Device, fake.RawKernel = Device, RawKernel  # type: ignore[attr-defined]
        fake.cuda.runtime = ModuleType("runtime")  # type: ignore[attr-defined]
        fake.cuda.runtime.getDeviceCount = count  # type: ignore[attr-defined]
        found = [name for name in installed if name.startswith("cupy")]
        monkeypatch.setitem(sys.modules, "cupy", fake if found else None)  # None: it cannot be imported
        monkeypatch.setattr(diagnosis, "driver", lambda: Driver(cuda, gpus))
        monkeypatch.setattr(diagnosis, "cupy_distributions", lambda: dict.fromkeys(found, "14.0"))
        diagnosis.why_no_gpu.cache_clear()

    yield make
    diagnosis.why_no_gpu.cache_clear()


CASES = {
    "no driver, no CuPy": ((0, 0, [], None), "there is no NVIDIA driver, nor CuPy; install the driver"),
    "no driver": ((0, 0, ["cupy-cuda13x"], RuntimeError("x")), "there is no NVIDIA driver; install the driver"),
    "no CuPy, new driver": ((13000, 1, [], None), r'CuPy is not installed; pip install "cupy-cuda13x\[ctk\]"'),
    "no CuPy, old driver": ((12040, 1, [], None), r'CuPy is not installed; pip install "cupy-cuda12x\[ctk\]"'),
    "two CuPys": (
        (13000, 1, ["cupy-cuda12x", "cupy-cuda13x"], RuntimeError("x")),
        r"2 CuPys are installed.*cupy-cuda12x, cupy-cuda13x; pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install",
    ),
    "driver too old for this CuPy": (
        (12040, 1, ["cupy-cuda13x"], RuntimeError("cudaErrorInsufficientDriver")),
        r"it runs CUDA 12.4, and cupy-cuda13x needs 13.0.*pip uninstall -y cupy-cuda13x && pip install .cupy-cuda12x",
    ),
    "driver too old for any": ((11080, 1, ["cupy-cuda12x"], RuntimeError("x")), "11.8.*install a newer driver"),
    "no GPU": ((13000, 0, ["cupy-cuda13x"], RuntimeError("cudaErrorNoDevice")), "the driver sees no GPU.*nvidia-smi"),
    "hidden GPU": ((13000, 0, ["cupy-cuda13x"], None), "the driver sees no GPU.*CUDA_VISIBLE_DEVICES"),
    "no headers": (
        (13000, 1, ["cupy-cuda13x", "headers"], None),
        r"cannot compile.*cuda_fp16.h; its compiler.*\[ctk\]",
    ),
    "a broken CuPy": (
        (13000, 1, ["cupy-cuda13x"], ImportError("libcublas.so")),
        "does not start: ImportError: libcubl",
    ),
    "a GPU of 2016": ((12040, 1, ["cupy-cuda12x"], None, "61"), "compute capability 6.1, and gpudl's kernels need 7.5"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_with_its_remedy(machine: Any, case: str) -> None:
    given, said = CASES[case]
    machine(*given)
    with pytest.raises(DeviceError, match=f"(?s)there is no GPU to use: .*{said}"):
        devices.set_device("cuda")
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0 and "trains on  the CPU" in shown.output, shown.output
    assert str(diagnosis.why_no_gpu()).split("; ")[0] in shown.output


@pytest.mark.parametrize("case", [name for name in CASES if name != "no driver, no CuPy"])
def test_auto_computes_on_the_cpu_and_says_so_once(machine: Any, case: str) -> None:
    machine(*CASES[case][0])
    devices.set_device("auto")
    with pytest.warns(UserWarning, match="computing on the CPU, since there is no GPU to use") as caught:
        assert gpudl.layers.Dense(2)(np.ones((1, 3))).shape == (1, 2)
        gpudl.layers.Dense(2)(np.ones((1, 3)))
    assert len(caught) == 1


def test_auto_is_silent_where_there_is_neither(machine: Any) -> None:
    machine(0, 0, [], None)
    devices.set_device("auto")
    assert devices.current() == "cpu" and devices.module() is np


def test_a_gpu_is_used(machine: Any) -> None:
    machine(13000, 1, ["cupy-cuda13x"], None)
    devices.set_device("auto")
    assert devices.current() == "cuda" and devices.module() is sys.modules["cupy"]


def test_names(cupy: Any) -> None:
    for name in ("cuda", "gpu", "GPU:0", "cuda:0"):
        assert devices.resolve_device(name) == "cuda"
    assert devices.resolve_device("cpu:0") == "cpu"
    with pytest.raises(DeviceError, match=r'"cuda:1" is unknown.*CUDA_VISIBLE_DEVICES'):
        devices.resolve_device("cuda:1")
    with pytest.raises(DeviceError, match=r'"tpu" is unknown; use "auto", "cpu" or "cuda"$'):
        devices.set_device("tpu")


def test_a_context_goes_back(cupy: Any) -> None:
    devices.set_device("cpu")
    with gpudl.device("gpu:0"):
        assert devices.current() == "cuda"
        with gpudl.device("cpu"):
            assert type(gpudl.ops.zeros(2)) is np.ndarray
        assert type(gpudl.ops.zeros(2)) is cupy.ndarray
    assert devices.current() == "cpu"


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUDL_DEVICE", "cpu")
    fresh = importlib.util.module_from_spec(devices.__spec__)  # type: ignore[attr-defined]
    devices.__spec__.loader.exec_module(fresh)  # type: ignore[union-attr]
    assert fresh.current() == "cpu"


def test_no_room_on_the_device(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's own words, as its memory pool raises them."""
    words = "Out of memory allocating 2,147,483,648 bytes (allocated so far: 512 bytes, limit set to: 1,024 bytes)."
    free = type("Pool", (), {"free_bytes": staticmethod(lambda: 2**28)})
    monkeypatch.setattr(cupy.cuda.runtime, "memGetInfo", lambda: (2**28, 2**33), raising=False)
    monkeypatch.setattr(cupy, "get_default_memory_pool", free, raising=False)

    class Greedy(gpudl.layers.Layer):
        def call(self, x: Any) -> Any:
            raise MemoryError(words)

    inner = gpudl.Sequential([gpudl.layers.Input((3,)), gpudl.layers.Dense(2)])
    inner.layers[0].call = Greedy().call  # type: ignore[method-assign]
    with pytest.raises(
        OutOfMemoryError, match=r'Dense "dense.*", called on \(5, 3\): out of memory: 2.00 GiB asked on'
    ):
        inner(np.ones((5, 3)))
    error = out_of_memory(MemoryError(words), "x")
    assert str(error).endswith("0.50 GiB free of 8.00 GiB; lower the batch size or the size of the layers")
    assert isinstance(error, TrainingError) and error.exit_code == 5


def test_no_room_beside_it() -> None:
    with pytest.raises(
        OutOfMemoryError, match=r'Conv2D "c", called on \(1, 8, 8, 3\): .*iB asked; lower the batch size'
    ):
        gpudl.layers.Conv2D(2**44, 1, use_bias=False, kernel_initializer="zeros", name="c")(np.ones((1, 8, 8, 3)))
    x = gpudl.Tensor(np.ones(3), requires_grad=True)
    y = x * 2
    assert y.node is not None

    def greedy(dy: Any) -> Any:
        return np.ones((2**20, 2**24))

    y.node.backward = (greedy, None)
    with pytest.raises(OutOfMemoryError, match=r"the gradient of multiply, to a value of \(3,\): .*128. TiB asked"):
        y.backward(np.ones(3))


def test_ops_on_arrays_of_numpy_ask_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "why_no_gpu", lambda: pytest.fail("somebody asked"))
    devices.set_device("auto")
    x = gpudl.Tensor(np.ones((1, 4, 4, 2), "float32"), requires_grad=True)
    y = gpudl.ops.relu(gpudl.ops.conv2d(x, np.ones((3, 3, 2, 4), "float32"))) * np.array(2.0)
    y.sum().backward()
    assert gpudl.ops.softmax(np.zeros(4, "float32")).tolist() == [0.25] * 4
