"""Fixtures that all tests share. They live for the session, so that property tests may use them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import compiler, stand_in
from hypothesis import settings

from gpudl import random
from gpudl.autograd import Tensor
from gpudl.backend import devices, diagnosis
from gpudl.testing import check_close

# The same examples in every run; how many is enough depends on the test.
settings.register_profile("gpudl", derandomize=True, deadline=None, max_examples=100, database=None)
settings.load_profile("gpudl")


def _real_cupy() -> Any:
    """Return CuPy if it has a GPU to run on."""
    try:
        import cupy  # pyright: ignore[reportMissingImports]

        return cupy if cupy.cuda.runtime.getDeviceCount() else None
    except Exception:  # however CuPy says that there is no driver, no GPU, or no CuPy
        return None


HAS_GPU = _real_cupy() is not None

DEVICE = os.environ.get("GPUDL_TEST_DEVICE", "cpu")
"""Where tests that do not say anything of devices run: GPUDL_TEST_DEVICE=cuda runs all of them there."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test draws the same weights in every run, alone or among others. Where there is no GPU, tests of the
    device "cuda" are given the stand-in for CuPy, and others are not.
    """
    random.set_random_seed(0)
    params = item.callspec.params if hasattr(item, "callspec") else {}
    of_cuda = params.get("device", DEVICE) == "cuda"
    if not HAS_GPU:
        stand_in.put_in_place(of_cuda or "cupy" in item.fixturenames)
    diagnosis.why_no_gpu.cache_clear()
    devices.set_device("cuda" if of_cuda else "cpu")


def _note_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Write down what could not be run here, for a second run in an environment with more in it."""
    if report.skipped and (path := os.environ.get("GPUDL_SKIPPED_TO")):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")


pytest_runtest_logreport = pytest_collectreport = _note_skipped


@pytest.fixture(scope="session")
def cupy() -> Any:
    """CuPy: the real one where there is a GPU, else the stand-in, whose kernels run on the CPU."""
    if not HAS_GPU and (reason := compiler.why_not()):
        pytest.skip(reason)
    import cupy  # pyright: ignore[reportMissingImports]

    return cupy


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn. Where there is no GPU, the stand-in for CuPy takes its place."""
    if request.param == "cuda" and not HAS_GPU and (reason := compiler.why_not()):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def put(device: str) -> Callable[[Any], Any]:
    """Move a NumPy array to the device."""
    if device == "cpu":
        return np.asarray
    import cupy  # pyright: ignore[reportMissingImports]

    return cupy.asarray


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that starts at the same place in every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, for the tests that compare with it; on one thread, since the cases are small."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras on its PyTorch backend, for the tests that compare with it."""
    pytest.importorskip("torch")
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras imports is not ours to mend
        return pytest.importorskip("keras")


@pytest.fixture(scope="session")
def same_as_torch(torch: Any, put: Callable[[Any], Any]) -> Callable[..., None]:
    """Compare an op with PyTorch in float32, values and gradients, to 1e-5 of the largest entry.

    `ours` takes gpudl Tensors, `theirs` torch tensors of the same values and layout. Integer arrays get no gradient.
    With theirs_in="float64" PyTorch works on the same numbers in double precision: for sums so long that its own
    rounding would show.
    """

    def compare(
        ours: Callable[..., Any],
        theirs: Callable[..., Any],
        arrays: Sequence[np.ndarray],
        seed: int = 0,
        theirs_in: str = "float32",
    ) -> None:
        floating = [array.dtype.kind == "f" for array in arrays]
        arrays = [a.astype(np.float32) if f else a for a, f in zip(arrays, floating, strict=True)]
        mine = [Tensor(put(a.copy()), requires_grad=f) for a, f in zip(arrays, floating, strict=True)]
        other = [
            torch.from_numpy(a.astype(theirs_in) if f else a).requires_grad_(f)
            for a, f in zip(arrays, floating, strict=True)
        ]
        y, y_torch = ours(*mine), theirs(*other)
        assert y.dtype == np.float32
        check_close("value", y.data, y_torch.detach().numpy())
        rng = np.random.default_rng([seed, 1])
        projection, *more = (rng.standard_normal(y.shape).astype(np.float32) for _ in range(3))
        y.backward(put(projection))
        leaves = [tensor for tensor, f in zip(other, floating, strict=True) if f]
        # Two more projections show how large a gradient is where its terms do not happen to cancel.
        gradients = [
            torch.autograd.grad(y_torch, leaves, torch.from_numpy(np.asarray(dy, theirs_in)), retain_graph=True)
            for dy in (projection, *more)
        ]
        ours_that_have_one = [tensor for tensor, f in zip(mine, floating, strict=True) if f]
        for i, tensor in enumerate(ours_that_have_one):
            assert tensor.grad is not None
            theirs_of_each = [of_all[i].numpy() for of_all in gradients]
            scale = max(float(np.abs(gradient).max(initial=0)) for gradient in theirs_of_each)
            check_close(f"gradient {i}", tensor.grad, theirs_of_each[0], scale=scale)

    return compare


def imported_from(text: str, framework: str) -> str:
    """Change the import lines of a lesson from Keras to another framework, and nothing else."""
    text = re.sub(r"^import keras$", f"import {framework} as keras", text, flags=re.MULTILINE)
    return re.sub(r"^(import|from) keras\b", rf"\1 {framework}", text, flags=re.MULTILINE)


@pytest.fixture(scope="session")
def run_lesson() -> Callable[[Path, str], dict[str, Any]]:
    """Run a script of tests/lessons, imported from "keras" or "gpudl", in the current folder; return its `result`."""

    def run(lesson: Path, framework: str) -> dict[str, Any]:
        text = lesson.read_text(encoding="utf-8")
        if framework != "keras":
            changed = imported_from(text, framework)
            pairs = zip(text.splitlines(), changed.splitlines(), strict=True)
            different = [line for line, other in pairs if line != other]
            assert different and all(line.startswith(("import keras", "from keras")) for line in different)
            text = changed
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, str(lesson), "exec"), namespace)
        return namespace["result"]

    return run
