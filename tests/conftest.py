"""Fixtures that all tests share. They live for the session, so that property tests may use them."""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from gpudl import random
from gpudl.autograd import Tensor
from gpudl.testing import check_close

# The same examples in every run; how many is enough depends on the test.
settings.register_profile("gpudl", derandomize=True, deadline=None, max_examples=100, database=None)
settings.load_profile("gpudl")


def pytest_runtest_setup() -> None:
    """Every test draws the same weights in every run, alone or among others."""
    random.set_random_seed(0)


def _why_no_cuda() -> str | None:
    if importlib.util.find_spec("gpudl.backend.cupy") is None:
        return "gpudl has no CUDA kernels"
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    import cupy  # pyright: ignore[reportMissingImports]

    try:
        return None if cupy.cuda.runtime.getDeviceCount() else "there is no GPU"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"there is no GPU: {error}"


@pytest.fixture(scope="session", params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; the GPU is skipped where there is none."""
    if request.param == "cuda" and (reason := _why_no_cuda()):
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
