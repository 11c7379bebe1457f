"""Products in parts against products at once, and what follows them, on NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.backend.numpy import dense, products, rows, workers

SIZES = st.sampled_from([1, 2, 31, 64, 127, 128, 300])


def draw(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=100)
@given(M=SIZES, inner=SIZES, N=SIZES, turned=st.booleans(), worth=st.sampled_from([0, products.WORTH_SPLITTING]))
def test_a_product_is_the_product(M: int, inner: int, N: int, turned: bool, worth: int) -> None:
    a = draw(inner, M, seed=M).T if turned else draw(M, inner, seed=M)
    b = draw(inner, N, seed=N)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "WORTH_SPLITTING", worth)
        patch.setattr(workers, "SMALL", 0)
        found = products.product(a, b)
    assert found.dtype == np.float32 and found.shape == (M, N)
    exact = a.astype("float64") @ b.astype("float64")
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 * max(1, inner))


@pytest.mark.parametrize("shape", [(128, 784, 256), (784, 128, 256), (4096, 64, 200)])
def test_the_bits_of_a_product_do_not_depend_on_the_threads(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    M, inner, N = shape
    a, b = draw(M, inner, seed=1), draw(inner, N, seed=2)
    found = set()
    try:
        for count in ("1", "2", "5"):
            monkeypatch.setenv("GPUDL_NUM_THREADS", count)
            workers.reset()
            found.add(products.product(a, b).tobytes())
    finally:
        workers.reset()
    assert len(found) == 1


@settings(max_examples=100)
@given(
    rows=st.sampled_from([0, 1, 127, 128, 1000, 4099]),
    inner=st.sampled_from([1, 9, 32]),
    columns=st.sampled_from([1, 32, 300]),
    turned=st.booleans(),
    most=st.sampled_from([10_000, products.SMALL_PRODUCT]),
)
def test_a_product_of_small_ones(rows: int, inner: int, columns: int, turned: bool, most: int) -> None:
    a = draw(inner, rows, seed=rows).T if turned else draw(rows, inner, seed=rows)
    b, dy = draw(inner, columns, seed=columns), draw(rows, columns, seed=inner)
    exact = [array.astype("float64") for array in (a, b, dy)]
    found, sums = np.full((rows, columns), np.nan, "float32"), np.full((inner, columns), np.nan, "float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "SMALL_PRODUCT", most)
        products.multiply(a, b, found)
        products.multiply_long(a.T, dy, sums)
    np.testing.assert_allclose(found, exact[0] @ exact[1], rtol=0, atol=1e-6 * inner)
    np.testing.assert_allclose(sums, exact[0].T @ exact[2], rtol=0, atol=1e-6 * max(1, rows))


@given(length=st.integers(2 * products.LEAST_LENGTH, 10_000), work=st.integers(products.WORTH_SPLITTING, 1 << 34))
def test_parts_cover_a_side(length: int, work: int) -> None:
    parts = products._parts(length, work)
    assert parts[0][0] == 0 and parts[-1][1] == length
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    assert all(start % products.EVEN == 0 for start, _ in parts)
    assert 2 <= len(parts) <= products.MOST_PARTS + 1


@settings(max_examples=60)
@given(
    M=st.sampled_from([0, 1, 7, 64, 96, 1000, 4096]),
    K=st.sampled_from([1, 3, 16, 100]),
    biased=st.booleans(),
    relu=st.booleans(),
    block=st.sampled_from([256, rows.SMALL, dense.BLOCK]),
)
def test_bias_and_relu(M: int, K: int, biased: bool, relu: bool, block: int) -> None:
    x, bias = draw(M, K, seed=M), draw(K, seed=K) if biased else None
    if M:
        x[0, 0] = np.nan
    expected = x if bias is None else x + bias
    expected = np.maximum(expected, 0) if relu else expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "BLOCK", block)
        patch.setattr(workers, "SMALL", 0)
        dense.finish(x, bias, relu)
    np.testing.assert_array_equal(x, expected)
