"""Functions of each element: against NumPy's own and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
SEEDS = st.integers(0, 2**16)


def between(seed: int, shape: Any, low: float, high: float) -> np.ndarray:
    """Numbers that are no halves or whole ones: away from steps."""
    values = np.random.default_rng(seed).integers(int(10 * low), int(10 * high), shape) / 10 + 0.0321
    return np.asarray(values)


@pytest.mark.parametrize(
    ("op", "oracle"),
    [
        (ops.sin, np.sin), (ops.cos, np.cos), (ops.log1p, np.log1p), (ops.expm1, np.expm1), (ops.log2, np.log2),
        (ops.log10, np.log10), (ops.rsqrt, lambda x: x**-0.5), (ops.reciprocal, lambda x: 1 / x),
        (ops.floor, np.floor), (ops.ceil, np.ceil), (ops.sign, np.sign), (ops.round, np.round),
        (ops.absolute, np.fabs),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
@given(shape=SHAPES, seed=SEEDS)
@settings(max_examples=30)
def test_of_one_array(put: Any, op: Any, oracle: Any, shape: Any, seed: int) -> None:
    check_op(op, [put(between(seed, shape, 0.2, 4))], oracle=oracle, seed=seed)


@given(shape=SHAPES, seed=SEEDS, stretched=st.booleans())
@settings(max_examples=50)
def test_of_several_arrays(put: Any, shape: Any, seed: int, stretched: bool) -> None:
    x, y = between(seed, shape, -4, 4), between(seed + 1, shape[1:] if stretched else shape, 1, 4) + 0.05
    check_op(ops.mod, [put(x), put(np.asarray(y))], oracle=np.mod, seed=seed)
    mask = np.asarray(np.random.default_rng(seed).random(shape) < 0.5)
    check_op(ops.where, [put(mask), put(x), put(np.asarray(y))], oracle=np.where, seed=seed)
    low, high = np.asarray(-1.25), np.asarray(y)
    check_op(ops.clip, [put(x), put(low), put(high)], oracle=np.clip, differentiate=[0], seed=seed)
    check_close("floor_divide", ops.floor_divide(put(x), put(np.asarray(y))), np.floor(x / y), 0.0)


def test_at_the_edge_of_what_is_defined(put: Any) -> None:
    """inf and NaN without a warning, in the value and in the gradient."""
    for op, expected in ((ops.log, -np.inf), (ops.sqrt, 0.0), (ops.rsqrt, np.inf), (ops.reciprocal, np.inf)):
        x = Tensor(put(np.array([0.0, -1.0])), requires_grad=True)
        y = op(x)
        assert y.data[0] == expected
        y.backward(put(np.ones(2)))
        assert x.grad is not None and np.isinf(x.grad[0])
    assert ops.exp(put(np.array([1e4])))[0] == np.inf


def test_clip_takes_the_ends_for_inside(put: Any) -> None:
    x = Tensor(put(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])), requires_grad=True)
    ops.clip(x, -1, 1).backward(put(np.ones(5)))
    assert x.grad is not None and x.grad.tolist() == [0, 1, 1, 1, 0]


def test_comparisons_are_plain_arrays(put: Any) -> None:
    """From Tensors too, so that they can be counted, compared and used as an index."""
    x = Tensor(put(np.array([1.0, 2.0, 3.0])), requires_grad=True)
    for op, expected in (
        (ops.equal, [0, 1, 0]), (ops.not_equal, [1, 0, 1]), (ops.greater, [0, 0, 1]),
        (ops.greater_equal, [0, 1, 1]), (ops.less, [1, 0, 0]), (ops.less_equal, [1, 1, 0]),
    ):  # fmt: skip
        mask = op(x, 2.0)
        assert not isinstance(mask, Tensor) and mask.dtype == bool and mask.tolist() == expected
    x[ops.greater(x, 1.5)].sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 1, 1]
    assert ops.equal(np.float32([0.1]), 0.1).all()  # a number takes the array's precision
