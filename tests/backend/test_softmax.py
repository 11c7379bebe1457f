"""Softmax, the cross-entropies after it, and the running sums of metrics, on both devices against float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.backend import kernels
from gpudl.testing import check_close

SIZES = {"M": st.integers(1, 20), "K": st.integers(1, 70), "seed": st.integers(0, 10**6)}


def drawn(M: int, K: int, seed: int, dtype: str) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x, dy, t = (rng.normal(size=(M, K)).astype(dtype) for _ in range(3))
    return x * 3, dy, np.abs(t), rng.integers(0, K, M)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=25)
@given(**SIZES)
def test_rows(put: Callable[[Any], Any], dtype: str, M: int, K: int, seed: int) -> None:
    x, dy, t, labels = drawn(M, K, seed, dtype)
    twin = kernels("softmax", put(x))
    wide = x.astype("float64")
    p = np.exp(wide - wide.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    close = 1e-5 if dtype == "float32" else 1e-12
    check_close("softmax", twin.forward(put(x)), p, close)
    single = p.astype(dtype)
    check_close(
        "its gradient", twin.backward(put(dy), put(single)), p * (dy - (dy * p).sum(axis=1, keepdims=True)), close
    )
    picked = np.clip(p[np.arange(M), labels], 1e-7, 1 - 1e-7)
    one = np.eye(K)[labels]
    for kind in ("int64", "int32", "uint8", "int16"):
        check_close("picked", twin.picked(put(single), put(labels.astype(kind))), -np.log(picked), close, scale=1)
        slope = twin.picked_gradient(put(dy[:, 0]), put(single), put(labels.astype(kind)))
        check_close("its gradient", slope, (p - one) * dy[:, :1].astype("float64"), close, scale=1)
    scale = float(np.abs(t).sum(axis=1).max() * 16)
    crossed = -(t * np.log(np.clip(p, 1e-7, 1 - 1e-7))).sum(axis=1)
    check_close("crossed", twin.crossed(put(single), put(t)), crossed, close, scale=scale)
    wanted = dy[:, :1].astype("float64") * (p * t.sum(axis=1, keepdims=True) - t)
    check_close("its gradient", twin.crossed_gradient(put(dy[:, 0]), put(single), put(t)), wanted, close, scale=scale)


def test_what_is_no_probability_is_nan(put: Callable[[Any], Any]) -> None:
    twin = kernels("softmax", put(np.zeros(1)))
    x = np.array([[0, np.nan, 1], [np.inf, 0, 1], [-np.inf, -np.inf, -np.inf], [-np.inf, 0, 0]], "float32")
    found = np.asarray(twin.forward(put(x)).get() if hasattr(put(x), "get") else twin.forward(x))
    assert np.isnan(found[:3]).all() and found[3].tolist() == [0, 0.5, 0.5]


def test_a_label_that_is_no_class_is_nan_on_the_gpu(cupy: Any) -> None:
    p = cupy.asarray(np.full((3, 2), 0.5, "float32"))
    found = kernels("softmax", p).picked(p, cupy.asarray(np.array([0, 2, -1]))).get()
    assert found[0] == np.float32(np.log(2)) and np.isnan(found[1:]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (33,), (700,), (40, 30)])
def test_running_sums(put: Callable[[Any], Any], dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(len(shape)).normal(size=shape) * 9
    values = np.asarray(values).astype(dtype)
    total, count = put(np.array(2.0)), put(np.array(5.0))
    for _ in range(2):
        kernels("totals", total).add_values(total, count, put(values), 0.25, 3)
    assert float(count) == 11
    assert float(total) == pytest.approx(2 + 0.5 * float(values.astype("float64").sum()), rel=1e-12, abs=1e-9)
