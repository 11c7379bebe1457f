"""Loops that numba compiles: what NumPy's code gives, over drawn shapes."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.backend.numpy import depthwise, loops, pool2d, pool_taps, workers
from gpudl.errors import ShapeError
from gpudl.shapes import DepthwiseGeometry, PoolGeometry

pytest.importorskip("numba")

seeds = st.integers(0, 2**16)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
paddings = st.sampled_from(["valid", "same"])


def both_ways(call: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a call returns by loops, and what by NumPy."""
    results: list[Any] = []
    for least in (0, 2**62):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loops, "LARGE", least)
            found = call()
            results.append(found if isinstance(found, tuple) else (found,))
    return zip(*results, strict=True)


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The loops that were asked for in a test, which must have been some."""
    asked: list[Any] = []
    compiled = loops._compiled
    monkeypatch.setattr(loops, "_compiled", lambda make, constants: asked.append(make) or compiled(make, constants))
    yield asked
    assert asked


@given(
    shape=shapes, window=st.tuples(st.integers(1, 3), st.integers(1, 3)), strides=st.none() | st.integers(1, 3),
    padding=paddings, seed=seeds, dtype=st.sampled_from(["float32", "float64", "int32"]),
)  # fmt: skip
@settings(max_examples=60)
def test_max_pooling(shape: Any, window: Any, strides: Any, padding: Any, seed: int, dtype: str) -> None:
    """The same bits, winners of equal numbers and NaN included."""
    try:
        pool = PoolGeometry.of(shape, window, strides, padding)
    except ShapeError:
        return
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, shape).astype(dtype)
    if dtype != "int32" and seed % 3 == 0:
        x[rng.random(shape) < 0.2] = np.nan
    for mine, other in both_ways(lambda: pool2d.max_forward(x, pool)):
        np.testing.assert_array_equal(mine, other)
    if dtype != "int32":
        winner, dy = pool2d.max_forward(x, pool)[1], rng.standard_normal(pool.y_shape).astype(dtype)
        for mine, other in both_ways(lambda: pool2d.max_backward(dy, winner, pool)):
            np.testing.assert_array_equal(mine, other)


@given(
    shape=shapes, window=st.tuples(st.integers(1, 4), st.integers(1, 4)), strides=st.sampled_from([1, 1, 2, (1, 2)]),
    padding=paddings, dilation=st.sampled_from([1, 1, 2]), seed=seeds, dtype=st.sampled_from(["float32", "float64"]),
    together=st.sampled_from([1, 6, 15, depthwise.TOGETHER]),
)  # fmt: skip
@settings(max_examples=120)
def test_depthwise(
    shape: Any, window: Any, strides: Any, padding: Any, dilation: int, seed: int, dtype: str, together: int
) -> None:
    try:
        conv = DepthwiseGeometry.of(shape, (*window, shape[3], 1), strides, padding, dilation if strides == 1 else 1)
    except ShapeError:
        return
    rng = np.random.default_rng(seed)
    x, kernel, bias, dy = (
        rng.standard_normal(of).astype(dtype) for of in (shape, conv.kernel_shape, (shape[3],), conv.y_shape)
    )
    calls = (
        lambda: depthwise.forward(x, kernel, bias, conv),
        lambda: depthwise.input_gradient(dy, kernel, conv),
        lambda: depthwise.kernel_gradient(x, dy, conv),
    )
    for call in calls:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(depthwise, "TOGETHER", together)
            results = list(both_ways(call))
        for mine, other in results:
            assert mine.dtype == dtype
            np.testing.assert_allclose(mine, other, atol=1e-5 if dtype == "float32" else 1e-13)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LARGE", 0)
    for module in (pool_taps, depthwise):
        monkeypatch.setattr(module, "BLOCK", 500)
    monkeypatch.setattr(workers, "SMALL", 0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 8, 8, 6), dtype=np.float32)
    pool, conv = PoolGeometry.of(x.shape, 2), DepthwiseGeometry.of(x.shape, (3, 3, 6, 1), 1, "same")
    results: list[bytes] = []
    for count in (1, 2, 5):
        pool_of = workers._Pool(count)
        monkeypatch.setattr(workers, "_pool", pool_of)
        found = *pool2d.max_forward(x, pool), depthwise.kernel_gradient(x, x, conv)
        results.append(b"".join(a.tobytes() for a in found))
        pool_of.close()
    assert len(set(results)) == 1


def test_small_arrays_and_other_types_are_numpys(used: list[Any]) -> None:
    x = np.zeros((1100, 1000), np.float32)
    assert loops.loop_for(loops.max_pool, (2, 2), x.size, x) is not None
    others = [(100, x), (x.size, x.astype(np.float16)), (x.size, x.T)]
    assert all(loops.loop_for(loops.max_pool, (2, 2), size, a) is None for size, a in others)


def test_without_numba(used: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *more: Any) -> Any:
        if name == "numba":
            raise ImportError("Numba needs NumPy 2.0 or less")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert loops.loop_for(loops.max_pool, (7, 5), 1 << 20) is None
