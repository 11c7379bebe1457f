"""Activation functions: against their formulas, central differences, PyTorch, and at the ends of the number line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend import to_numpy
from gpudl.errors import ShapeError
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)
FORMULAS = {
    ops.relu: lambda x: np.where(x > 0, x, 0),
    ops.sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    ops.tanh: lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    ops.leaky_relu: lambda x: np.where(x > 0, x, 0.2 * x),
    ops.relu6: lambda x: np.where(x > 0, x, 0),
    ops.elu: lambda x: np.where(x > 0, x, np.exp(x) - 1),
    ops.selu: lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    ops.celu: lambda x: np.where(x > 0, x, np.exp(x) - 1),
    ops.log_sigmoid: lambda x: np.log(1 / (1 + np.exp(-x))),
    ops.hard_sigmoid: lambda x: x / 6 + 0.5,
    ops.hard_silu: lambda x: x * (x / 6 + 0.5),
    ops.silu: lambda x: x / (1 + np.exp(-x)),
    ops.gelu: lambda x: 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    ops.mish: lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    ops.softplus: lambda x: np.log(1 + np.exp(x)),
    ops.squareplus: lambda x: (x + np.hypot(x, 2)) / 2,
    ops.softsign: lambda x: x / (1 + np.abs(x)),
    ops.tanh_shrink: lambda x: x - np.tanh(x),
    ops.exp: np.exp,
}
KINKED = {
    ops.hard_tanh: (lambda x: np.minimum(np.maximum(x, -1), 1), [-1, 1]),
    ops.sparse_plus: (lambda x: np.where(x > 1, x, np.where(x < -1, 0, (x + 1) ** 2 / 4)), [-1, 1]),
    ops.sparse_sigmoid: (lambda x: np.minimum(np.maximum(x / 2 + 0.5, 0), 1), [-1, 1]),
    ops.hard_shrink: (lambda x: x * (np.abs(x) > 0.5), [-0.5, 0.5]),
    ops.soft_shrink: (lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), [-0.5, 0.5]),
}


def away_from_zero(seed: int, shape: Any) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.uniform(0.01, 2.5, shape) * rng.choice([-1, 1], shape))


@pytest.mark.parametrize("op", FORMULAS, ids=lambda op: op.__name__)
@given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_elementwise_activations(put: Any, op: Any, shape: Any, seed: int) -> None:
    x = away_from_zero(seed, shape)
    x = x + np.sign(x) if op is ops.tanh_shrink else x  # near 0 it is a small difference of numbers that are not
    check_op(op, [put(x)], oracle=FORMULAS[op], seed=seed)


@pytest.mark.parametrize("op", KINKED, ids=lambda op: op.__name__)
@given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_activations_in_pieces(put: Any, op: Any, shape: Any, seed: int) -> None:
    formula, kinks = KINKED[op]
    x = away_from_zero(seed, shape)
    for kink in kinks:
        x = np.where(np.abs(x - kink) < 0.01, x + 0.05, x)
    check_op(op, [put(x)], oracle=formula, seed=seed)


@given(
    slope=st.floats(0.01, 2) | st.just(0.0),
    most=st.none() | st.floats(0.5, 2),
    start=st.floats(0.01, 0.4) | st.just(0.0),
    shape=SHAPES,
    seed=st.integers(0, 99),
)
def test_relu_with_settings(put: Any, slope: float, most: Any, start: float, shape: Any, seed: int) -> None:
    def formula(x: np.ndarray, negative_slope: float, max_value: Any, threshold: float) -> np.ndarray:
        top = np.inf if max_value is None else max_value
        return np.where(x >= top, top, np.where(x > threshold, x, negative_slope * (x - threshold)))

    x = away_from_zero(seed, shape)
    for kink in (start, most or 9):
        x = np.where(np.abs(x - kink) < 0.01, x + 0.05, x)
    settings = {"negative_slope": slope, "max_value": most, "threshold": start}
    check_op(ops.relu, [put(x)], settings, oracle=formula, seed=seed)


@given(shape=SHAPES, shared=st.booleans(), seed=st.integers(0, 99))
def test_prelu(put: Any, shape: Any, shared: bool, seed: int) -> None:
    alpha = np.asarray(np.random.default_rng(seed).uniform(0.1, 1, shape[-1:] if shared else shape))
    x = away_from_zero(seed, shape)
    check_op(ops.prelu, [put(x), put(alpha)], oracle=lambda x, alpha: np.where(x > 0, x, alpha * x), seed=seed)


def test_glu(put: Any, rng: np.random.Generator) -> None:
    def formula(x: np.ndarray, axis: int) -> np.ndarray:
        a, b = np.split(x, 2, axis)
        return a / (1 + np.exp(-b))

    x = rng.standard_normal((3, 4, 6))
    for axis in (1, 2, -1, -2):
        check_op(ops.glu, [put(x)], {"axis": axis}, oracle=formula)
    with pytest.raises(ShapeError, match=r"axis 0 of an input of shape \(3, 4, 6\) cannot be halved"):
        ops.glu(put(x), axis=0)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_nothing_overflows_aloud(put: Any, precision: str) -> None:
    """Where Keras gives inf or NaN so does gpudl, without a warning; forward and back."""
    x = np.array([-np.inf, -1e30, -1e4, 0, 1e4, 1e30, np.inf, np.nan]).astype(precision)
    for op in (*FORMULAS, *KINKED, ops.softmax, ops.log_softmax):
        y = op(Tensor(put(x), requires_grad=True))
        assert y.dtype == precision and np.isnan(y.numpy()[-1]), op.__name__
        y.backward(put(np.ones_like(x)))


def test_mish_near_its_minimum(put: Any) -> None:
    """There the parts of its slope cancel; float32 keeps the seventh decimal all the same."""
    x = np.linspace(-1.25, -1.13, 5000).astype(np.float32)
    slopes = []
    for numbers in (x, x.astype(np.float64)):
        tensor = Tensor(put(numbers), requires_grad=True)
        ops.mish(tensor).backward(put(np.ones_like(numbers)))
        slopes.append(tensor.grad)
    check_close("slope", *slopes, 2e-8, scale=1)


def test_settings_by_position(put: Any, rng: np.random.Generator) -> None:
    x = put(rng.standard_normal((3, 4)))
    check_close("softmax", ops.softmax(x, 0), ops.softmax(x, axis=0), 0.0)
    check_close("elu", ops.elu(x, 0.5), ops.elu(x, alpha=0.5), 0.0)
    check_close("relu", ops.relu(x, 0.5, 1.0), ops.relu(x, negative_slope=0.5, max_value=1.0), 0.0)
    with pytest.raises(TypeError, match=r"softmax\(\) got 'axis' by position and by name"):
        ops.softmax(x, 0, axis=0)
    with pytest.raises(TypeError, match="takes 1 settings after its arrays, but 2 were given"):
        ops.softmax(x, 0, 1)


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


@given(
    shapes=st.sampled_from([((3, 5), (3, 5)), ((4, 3, 5), (5,)), ((1, 5), (3, 1)), ((2, 1, 3), (4, 1))]),
    seed=st.integers(0, 2**16),
)
def test_relu_of_a_sum(put: Any, shapes: tuple[tuple[int, ...], ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.1, 2, shape) * rng.choice([-1, 1], shape) for shape in shapes)
    b *= 0.9 * np.abs(a).min() / np.abs(b).max()  # so that no sum is near 0
    check_op(ops.relu_of_sum, [put(a), put(b)], oracle=lambda a, b: np.where(a + b > 0, a + b, 0), seed=seed)


def test_relu_of_a_sum_is_the_same_bits(put: Any) -> None:
    found = []
    for op in (ops.relu_of_sum, lambda a, b: ops.relu(a + b)):
        rng = np.random.default_rng(0)
        a, b = (Tensor(put(rng.standard_normal((64, 40, 40)).astype("float32")), requires_grad=True) for _ in range(2))
        y = op(a, b)
        (y * y).sum().backward()
        found.append([to_numpy(part).tobytes() for part in (y.data, a.grad, b.grad)])
    assert found[0] == found[1]


def test_relu_at_zero_has_gradient_zero_and_keeps_nan(put: Any) -> None:
    """Where the gradient does not pass it is 0, whatever it was, as in PyTorch."""
    for slope in (1.0, np.nan):
        x = Tensor(put(np.array([-1.0, 0.0, -0.0, 2.0, np.inf, -np.inf, 1e-310, np.nan])), requires_grad=True)
        y = ops.relu(x)
        check_close("y", y.data, np.array([0, 0, 0, 2, np.inf, 0, 1e-310, np.nan]))
        y.backward(put(np.full(8, slope)))
        assert x.grad is not None
        check_close("gradient", x.grad, np.where([0, 0, 0, 1, 1, 0, 1, 1], slope, 0))


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
