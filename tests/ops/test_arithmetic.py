"""Arithmetic, reductions and reshaping by name: against NumPy's own functions, central differences and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 4), max_size=4).map(tuple)
SEEDS = st.integers(0, 2**16)


def normal(seed: int, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def positive(seed: int, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).uniform(0.25, 3, shape))


def distinct(seed: int, shape: Any) -> np.ndarray:
    """Numbers at least 1/8 apart, none of them 0."""
    return np.asarray((np.random.default_rng(seed).permutation(int(np.prod(shape))) / 8 - 2.0625).reshape(shape))


@st.composite
def broadcasting_pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that stretch to one: axes of either may be 1 or missing at the front."""
    full = draw(st.lists(st.integers(1, 4), max_size=4))
    pair = []
    for _ in range(2):
        shape = [n if draw(st.booleans()) else 1 for n in full]
        pair.append(tuple(shape[draw(st.integers(0, len(full))) :]))
    return pair[0], pair[1]


@pytest.mark.parametrize(
    ("op", "oracle", "draw"),
    [
        (ops.exp, np.exp, normal),
        (ops.log, np.log, positive),
        (ops.sqrt, lambda x: x**0.5, positive),
        (ops.square, np.square, normal),
        (ops.abs, lambda x: np.where(x < 0, -x, x), distinct),
        (ops.negative, lambda x: 0 - x, normal),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@given(shape=SHAPES, seed=SEEDS)
def test_of_one_array(put: Any, op: Any, oracle: Any, draw: Any, shape: Any, seed: int) -> None:
    check_op(op, [put(draw(seed, shape))], oracle=oracle, seed=seed)


@pytest.mark.parametrize(
    ("op", "oracle"),
    [
        (ops.add, np.add),
        (ops.subtract, np.subtract),
        (ops.multiply, np.multiply),
        (ops.divide, np.divide),
        (ops.power, np.power),
        (ops.maximum, lambda a, b: np.where(a > b, a, b)),
        (ops.minimum, lambda a, b: np.where(a < b, a, b)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@given(shapes=broadcasting_pairs(), seed=SEEDS)
def test_of_two_arrays(put: Any, op: Any, oracle: Any, shapes: Any, seed: int) -> None:
    a = positive(seed, shapes[0])
    b = np.asarray(np.round(positive(seed + 1, shapes[1]) * 8) / 8)
    if op in (ops.maximum, ops.minimum):
        a = np.asarray(np.round(a * 8) / 8 + 1 / 16)  # never equal to b
    if op is ops.power:
        a = a + 1  # logarithms of one sign
    check_op(op, [put(a), put(b)], oracle=oracle, seed=seed)


def test_the_gradient_between_equals_is_halved(put: Any) -> None:
    for op, expected in ((ops.maximum, [[0.5, 0, 1], [0.5, 1, 0]]), (ops.minimum, [[0.5, 1, 0], [0.5, 0, 1]])):
        a, b = (Tensor(put(np.array(v)), requires_grad=True) for v in ([2.0, 1.0, 5.0], [2.0, 3.0, 4.0]))
        op(a, b).backward(put(np.ones(3)))
        assert a.grad is not None and b.grad is not None
        assert [a.grad.tolist(), b.grad.tolist()] == expected


def test_power_of_zero(put: Any) -> None:
    """x ** 0 is 1 everywhere, so its gradient at 0 is 0; so is the gradient of 0 ** b for b."""
    x = Tensor(put(np.array([0.0, 2.0])), requires_grad=True)
    ops.power(x, 0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0]
    b = Tensor(put(np.array([1.0, 2.0])), requires_grad=True)
    ops.power(put(np.array([0.0, 1.0])), b).sum().backward()
    assert b.grad is not None and b.grad.tolist() == [0, 0]


@st.composite
def reductions(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=4)))
    axes = st.integers(-len(shape), len(shape) - 1) if shape else st.nothing()
    several = st.sets(st.integers(0, len(shape) - 1)).map(tuple) if shape else st.nothing()
    settings = {"axis": draw(st.none() | axes | several), "keepdims": draw(st.booleans())}
    return shape, settings


@given(drawn=reductions(), seed=SEEDS)
def test_reductions(put: Any, drawn: Any, seed: int) -> None:
    shape, settings = drawn
    x = put(distinct(seed, shape))
    check_op(ops.sum, [x], settings, oracle=np.sum, seed=seed)
    check_op(ops.mean, [x], settings, oracle=np.mean, seed=seed)
    check_op(ops.max, [x], settings, oracle=np.max, seed=seed)
    check_op(ops.min, [x], settings, oracle=np.min, seed=seed)


def test_ties_share_the_gradient(put: Any) -> None:
    x = Tensor(put(np.array([[3.0, 3.0, 1.0], [2.0, 4.0, 4.0]])), requires_grad=True)
    x.max(axis=1).backward(put(np.array([2.0, 6.0])))
    assert x.grad is not None and x.grad.tolist() == [[1, 1, 0], [0, 3, 3]]
    x = Tensor(x.data, requires_grad=True)
    (-x).min().backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 0, 0], [0, -0.5, -0.5]]


@given(data=st.data(), count=st.integers(1, 4), seed=SEEDS)
def test_concatenate_and_stack(put: Any, data: st.DataObject, count: int, seed: int) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for i in range(count):
        own = list(shape)
        own[axis] = data.draw(st.integers(1, 3))
        parts.append(put(normal(seed + i, own)))
    check_op(
        lambda *arrays: ops.concatenate(arrays, axis), parts, seed=seed,
        oracle=lambda *arrays: np.concatenate(arrays, axis),
    )  # fmt: skip
    new_axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    equal = [put(normal(seed + i, shape)) for i in range(count)]
    check_op(
        lambda *arrays: ops.stack(arrays, new_axis), equal, seed=seed,
        oracle=lambda *arrays: np.stack(arrays, new_axis),
    )  # fmt: skip


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
def test_reshaping(put: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    x = put(normal(seed, shape))
    target = data.draw(st.permutations(shape).map(tuple) | st.just((-1,)) | st.just((1, -1)) | st.just((*shape, 1)))
    check_op(lambda x: ops.reshape(x, target), [x], oracle=lambda x: x.reshape(target))
    axes = data.draw(st.none() | st.permutations(range(len(shape))).map(tuple))
    check_op(lambda x: ops.transpose(x, axes), [x], oracle=lambda x: np.transpose(x, axes))
    new = data.draw(st.integers(-len(shape) - 1, len(shape)))
    check_op(lambda x: ops.expand_dims(x, new), [x], oracle=lambda x: np.expand_dims(x, new))
    ones = tuple(i for i, n in enumerate(shape) if n == 1)
    some = st.sampled_from(ones) | st.sets(st.sampled_from(ones)).map(tuple) if ones else st.none()
    dropped = data.draw(st.none() | some)
    check_op(lambda x: ops.squeeze(x, dropped), [x], oracle=lambda x: np.squeeze(x, dropped))


@pytest.mark.parametrize(
    "index",
    [
        1, -1, slice(1, None), slice(None, None, -2), ..., (0, ...), (..., 1), (slice(None), None, 2), None,
        np.array([0, 2, 2, 0]), [1, 1], (np.array([0, 2, 0]), np.array([1, 3, 1])), (slice(0, 2), np.array([3, 3])),
        np.array([True, False, True]), np.arange(12).reshape(3, 4) % 5 == 0, np.int64(2), (1, 2),
        (np.array([[0], [2]]), np.array([1, 1])),
    ],
    ids=repr,
)  # fmt: skip
def test_get_item(put: Any, rng: np.random.Generator, index: Any) -> None:
    """Elements taken twice add up in the gradient."""
    check_op(lambda x: ops.get_item(x, index), [put(rng.standard_normal((3, 4)))], oracle=lambda x: x[index])


@pytest.mark.parity
@given(drawn=reductions(), seed=SEEDS)
def test_reductions_match_torch(torch: Any, same_as_torch: Any, drawn: Any, seed: int) -> None:
    shape, settings = drawn
    axis, keepdims = settings["axis"], settings["keepdims"]
    every = tuple(range(len(shape))) if axis is None else axis
    if every == ():  # to PyTorch no axis means all
        return
    x = distinct(seed, shape)
    same_as_torch(lambda x: ops.sum(x, **settings), lambda x: torch.sum(x, every, keepdims), [x])
    same_as_torch(lambda x: ops.mean(x, **settings), lambda x: torch.mean(x, every, keepdims), [x])
    same_as_torch(lambda x: ops.max(x, **settings), lambda x: torch.amax(x, every, keepdims), [x])
    same_as_torch(lambda x: ops.min(x, **settings), lambda x: torch.amin(x, every, keepdims), [x])


@pytest.mark.parity
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "pow", "maximum", "minimum"])
@given(shapes=broadcasting_pairs(), seed=SEEDS)
def test_two_arrays_match_torch(torch: Any, same_as_torch: Any, name: str, shapes: Any, seed: int) -> None:
    """Halves of sixteenths, so that some are equal: PyTorch halves the gradient between equals as well."""
    a, b = (np.asarray(np.round(positive(seed + i, shapes[i]) * 2) / 2 + 0.5) for i in (0, 1))
    op = ops.power if name == "pow" else getattr(ops, name)
    same_as_torch(op, getattr(torch, name), [a, b])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\), \(3, 3\) must agree but for axis 1"):
        ops.concatenate([np.zeros((2, 3)), np.zeros((3, 3))], axis=1)
    with pytest.raises(ShapeError):
        ops.concatenate([])
    with pytest.raises(ShapeError, match=r"axis 1 of shape \(1, 3\)"):
        ops.squeeze(np.zeros((1, 3)), 1)


def test_python_numbers_go_with_any_precision() -> None:
    x = np.ones(2, np.float32)
    for op in (ops.add, ops.subtract, ops.multiply, ops.divide, ops.power, ops.maximum, ops.minimum):
        assert op(x, 2.0).dtype == op(2.0, x).dtype == np.float32, op.__name__
    check_close("power", ops.power(2.0, np.array([3.0, -1.0])), np.array([8, 0.5]))
