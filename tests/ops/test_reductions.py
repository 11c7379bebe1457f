"""Reductions: against NumPy's own and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.errors import UsageError
from gpudl.testing import check_close, check_op

SEEDS = st.integers(0, 2**16)


@st.composite
def reductions(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    several = st.sets(st.integers(0, len(shape) - 1), min_size=1).map(tuple)
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1) | several)
    x = np.random.default_rng(draw(SEEDS)).uniform(-2, 2, shape) + 0.01
    return x, {"axis": axis, "keepdims": draw(st.booleans())}


@given(drawn=reductions())
def test_reductions(put: Any, drawn: Any) -> None:
    x, settings = drawn
    check_op(ops.var, [put(x)], settings, oracle=np.var)
    check_op(ops.prod, [put(x)], settings, oracle=np.prod)
    check_op(ops.logsumexp, [put(x)], settings, oracle=lambda x, **more: np.log(np.exp(x).sum(**more)))
    if x.std(axis=settings["axis"]).min() > 0.05:  # where numbers are nearly equal, its gradient is rounding
        check_op(ops.std, [put(x)], settings, oracle=np.std)
    check_op(ops.norm, [put(x)], settings, oracle=lambda x, **more: np.sqrt((x**2).sum(**more)))
    if isinstance(settings["axis"], int):
        for order in (1, 3, 2.5, np.inf, -np.inf):
            check_op(ops.norm, [put(x)], {"ord": order, **settings}, oracle=np.linalg.norm)


@given(drawn=reductions(), order=st.integers(1, 3))
@settings(max_examples=40)
def test_normalize(put: Any, drawn: Any, order: int) -> None:
    x, settings = drawn
    axis = settings["axis"] if isinstance(settings["axis"], int) else -1
    if x.shape[axis] > 1:  # alone it becomes 1 or -1, and its gradient rounding
        check_op(
            ops.normalize, [put(x)], {"axis": axis, "order": order},
            oracle=lambda x, axis, order: x / np.linalg.norm(x, order, axis, keepdims=True),
        )  # fmt: skip
    assert (ops.normalize(np.zeros((2, 3), np.float32), order=order) == 0).all()


def test_products_with_zeros(put: Any) -> None:
    """The gradient is the product of the others: of one 0 the rest, of two nothing."""
    x = Tensor(put(np.array([[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0]])), requires_grad=True)
    ops.prod(x, axis=1).backward(put(np.ones(3)))
    assert x.grad is not None and x.grad.tolist() == [[12, 8, 6], [0, 8, 0], [0, 0, 0]]


def test_norm_at_0_has_gradient_0(put: Any) -> None:
    x = Tensor(put(np.zeros(3)), requires_grad=True)
    ops.norm(x).backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0]
    with pytest.raises(UsageError, match="only the Frobenius norm"):
        ops.norm(np.ones((2, 2)), 1)
    with pytest.raises(UsageError, match=r"norm\(ord=0.5\)"):
        ops.norm(np.ones(2), 0.5)
    with pytest.raises(UsageError, match="order='l2'"):
        ops.normalize(np.ones(2), order="l2")  # pyright: ignore[reportArgumentType]


def test_logsumexp_at_the_ends(put: Any) -> None:
    x = put(np.array([[1e4, 1e4], [-np.inf, -np.inf], [np.inf, 0], [np.nan, 0]], np.float32))
    expected = np.float32([1e4 + np.log(2), -np.inf, np.inf, np.nan])
    check_close("logsumexp", ops.logsumexp(x, axis=1), expected, 1e-6)


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data(), seed=SEEDS)
@settings(max_examples=40)
def test_along_an_axis(put: Any, shape: Any, data: st.DataObject, seed: int) -> None:
    x = np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape) / 8
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    check_op(ops.cumsum, [put(x)], {"axis": axis}, oracle=np.cumsum)
    for op, oracle in ((ops.argmax, np.argmax), (ops.argmin, np.argmin)):
        found = op(Tensor(put(x), requires_grad=True), axis=axis)
        assert not isinstance(found, Tensor) and found.dtype == np.int32
        check_close(op.__name__, found, oracle(x, axis), 0.0)


def test_lists_of_axes(put: Any, rng: np.random.Generator) -> None:
    x = put(rng.standard_normal((2, 3, 4)))
    for op in (ops.sum, ops.mean, ops.max, ops.min, ops.var, ops.prod, ops.logsumexp):
        check_close(op.__name__, op(x, axis=[0, 2]), op(x, axis=(0, 2)), 0.0)
        check_close(op.__name__, op(x, [0, 2]), op(x, axis=(0, 2)), 0.0)
