"""Activation functions: against their formulas, central differences, PyTorch, and at the ends of the number line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)
FORMULAS = {
    ops.relu: lambda x: np.where(x > 0, x, 0),
    ops.sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    ops.tanh: lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
}


def away_from_zero(seed: int, shape: Any) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.uniform(0.01, 2.5, shape) * rng.choice([-1, 1], shape))


@pytest.mark.parametrize("op", FORMULAS, ids=lambda op: op.__name__)
@given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_elementwise_activations(put: Any, op: Any, shape: Any, seed: int) -> None:
    check_op(op, [put(away_from_zero(seed, shape))], oracle=FORMULAS[op], seed=seed)


@st.composite
def scores(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """An array of one to four axes, and one of them; nothing so large that float32 has no digits left of 1 - y."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return rng.uniform(-2, 2, shape), axis


def softmax_formula(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


@given(drawn=scores())
def test_softmax_and_its_logarithm(put: Any, drawn: tuple[np.ndarray, int]) -> None:
    x, axis = drawn
    check_op(ops.softmax, [put(x)], {"axis": axis}, oracle=softmax_formula)
    check_op(ops.log_softmax, [put(x)], {"axis": axis}, oracle=lambda x, axis: np.log(softmax_formula(x, axis)))


@pytest.mark.parity
@given(drawn=scores())
def test_activations_match_torch(torch: Any, same_as_torch: Any, drawn: tuple[np.ndarray, int]) -> None:
    x, axis = drawn
    same_as_torch(ops.relu, torch.relu, [x])
    same_as_torch(ops.sigmoid, torch.sigmoid, [x])
    same_as_torch(ops.tanh, torch.tanh, [x])
    same_as_torch(lambda x: ops.softmax(x, axis=axis), lambda x: torch.softmax(x, axis), [x])
    same_as_torch(lambda x: ops.log_softmax(x, axis=axis), lambda x: torch.log_softmax(x, axis), [x])


def test_relu_at_zero_has_gradient_zero_and_keeps_nan(put: Any) -> None:
    x = Tensor(put(np.array([-1.0, 0.0, 2.0, np.nan])), requires_grad=True)
    y = ops.relu(x)
    check_close("y", y.data, np.array([0, 0, 2, np.nan]))
    y.backward(put(np.ones(4)))
    assert x.grad is not None
    assert x.grad[:3].tolist() == [0, 0, 1]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_sigmoid_at_the_ends(put: Any, precision: str) -> None:
    """No overflow, no warning; exact 0, 1/2 and 1, and small values keep their digits."""
    x = np.array([-np.inf, -1e30, -1000, -50, 0, 50, 1000, 1e30, np.inf]).astype(precision)
    tensor = Tensor(put(x), requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        y = ops.sigmoid(tensor)
        y.backward(put(np.ones_like(x)))
    assert y.dtype == precision
    assert y.numpy()[[0, 1, 2, 4, 6, 7, 8]].tolist() == [0, 0, 0, 0.5, 1, 1, 1]
    assert np.isclose(y.numpy()[3], np.exp(-50.0), rtol=1e-6, atol=0)
    assert tensor.grad is not None
    assert tensor.grad[[0, 1, 2, 4, 6, 7, 8]].tolist() == [0, 0, 0, 0.25, 0, 0, 0]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_softmax_at_the_ends(put: Any, precision: str) -> None:
    """No overflow, no warning; adding a number to all scores changes nothing."""
    x = np.array([[1e4, 0, -1e4], [1e30, 1e30, -1e30], [-1e30, -1e30, -1e30], [3, -np.inf, 3]]).astype(precision)
    with np.errstate(all="raise", under="ignore"):
        y = ops.softmax(put(x))
    expected = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3, [0.5, 0, 0.5]])
    check_close("softmax", y, expected.astype(precision), 1e-7)
    with np.errstate(all="raise", under="ignore"):
        logs = ops.log_softmax(put(x[:1]))
    assert logs.tolist() == [[0, -1e4, -2e4]]


def test_softmax_of_whole_numbers(put: Any) -> None:
    check_close("softmax", ops.softmax(put(np.arange(4))), softmax_formula(np.arange(4.0)), 1e-6)
    check_close("log_softmax", ops.log_softmax(put(np.arange(4))), np.log(softmax_formula(np.arange(4.0))), 1e-6)
