"""dense: against NumPy's einsum, central differences and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.errors import ShapeError
from gpudl.testing import check_close, check_op

LEADING = st.lists(st.integers(1, 5), max_size=3).map(tuple)
SIZES = st.integers(1, 7)


def arrays(leading: Any, features: int, units: int, seed: int) -> list[np.ndarray]:
    """x, kernel and bias; all positive, so that no sum happens to cancel."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.25, 1.75, shape) for shape in ((*leading, features), (features, units), (units,))]


def formula(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    y = np.einsum("...i,io->...o", x, kernel)
    return y if bias is None else y + bias


@given(leading=LEADING, features=SIZES, units=SIZES, biased=st.booleans(), seed=st.integers(0, 2**16))
def test_dense_is_its_definition(put: Any, leading: Any, features: int, units: int, biased: bool, seed: int) -> None:
    given_arrays: list[Any] = [put(a) for a in arrays(leading, features, units, seed)]
    if not biased:
        given_arrays[2] = None
    check_op(ops.dense, given_arrays, oracle=formula, seed=seed)


@pytest.mark.parity
@given(leading=LEADING, features=SIZES, units=SIZES, seed=st.integers(0, 2**16))
def test_dense_matches_torch(
    torch: Any, same_as_torch: Any, leading: Any, features: int, units: int, seed: int
) -> None:
    same_as_torch(
        ops.dense,
        lambda x, kernel, bias: torch.nn.functional.linear(x, kernel.T, bias),
        arrays(leading, features, units, seed),
    )


@pytest.mark.parity
def test_a_wide_dense_matches_torch(torch: Any, same_as_torch: Any, rng: np.random.Generator) -> None:
    """784 features, as the first layer of an MNIST lesson has."""
    shapes = ((131, 784), (784, 67), (67,))
    same_as_torch(
        ops.dense,
        lambda x, kernel, bias: torch.nn.functional.linear(x, kernel.T, bias),
        [rng.standard_normal(shape) for shape in shapes],
    )


def test_whole_numbers_go_in() -> None:
    x, kernel, bias = np.arange(6).reshape(2, 3), np.ones((3, 2), np.float64), np.array([0.5, 1])
    check_close("y", ops.dense(x, kernel, bias), formula(x, kernel, bias), 0.0)
    assert ops.dense(x.astype(np.uint8), kernel.astype(np.float32)).dtype == np.float32


def test_errors_name_the_numbers() -> None:
    with pytest.raises(ShapeError, match=r"\(N, 3\) has 3 features.*\(4, 2\) takes 4"):
        ops.dense(np.zeros((5, 3)), np.zeros((4, 2)))
    with pytest.raises(ShapeError, match="bias"):
        ops.dense(np.zeros((5, 3)), np.zeros((3, 2)), np.zeros(1))
