"""CuPy for the tests of kernels: the real one where there is a GPU, else the stand-in, for these tests alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from cuda_on_cpu import compiler, stand_in
from gpudl.backend.cupy import launching, precision


def with_a_gpu() -> Any:
    """Return CuPy if it has a GPU to run on."""
    try:
        import cupy  # pyright: ignore[reportMissingImports]

        return cupy if cupy.cuda.runtime.getDeviceCount() else None
    except Exception:  # however CuPy says that there is no driver, no GPU, or no CuPy
        return None


@pytest.fixture(scope="session")
def cupy() -> Iterator[Any]:
    """The module that kernels are launched through."""
    if (found := with_a_gpu()) is not None:
        yield found
        return
    if reason := compiler.why_not():
        pytest.skip(reason)
    before = {name: sys.modules.get(name) for name in ("cupy", "cupy.cuda")}
    stand_in.install()
    yield sys.modules["cupy"]
    for name, module in before.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module
    launching.compiled.cache_clear()
    precision.has_tf32.cache_clear()
