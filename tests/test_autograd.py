"""Tensor, Parameter and the tape."""

from __future__ import annotations

import gc
import operator
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import autograd, ops
from gpudl.autograd import Parameter, Tensor, differentiable, no_grad
from gpudl.backend.later import Later
from gpudl.errors import OutOfMemoryError, UsageError
from gpudl.testing import check_close, check_op

SEEDS = st.integers(0, 2**16)
OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


def leaf(values: Any, precision: str = "float64") -> Tensor:
    return Tensor(np.asarray(values, precision), requires_grad=True)


def gradient(tensor: Tensor) -> np.ndarray:
    assert tensor.grad is not None
    return np.asarray(tensor.grad)


def positive(seed: int, shape: Any) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).uniform(1.25, 3, shape))


@st.composite
def broadcasting_pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    full = draw(st.lists(st.integers(1, 4), max_size=4))
    pair = []
    for _ in range(2):
        shape = [n if draw(st.booleans()) else 1 for n in full]
        pair.append(tuple(shape[draw(st.integers(0, len(full))) :]))
    return pair[0], pair[1]


# Operators


@pytest.mark.parametrize("act", OPERATORS, ids=lambda act: act.__name__)
@given(shapes=broadcasting_pairs(), seed=SEEDS)
def test_operators_broadcast(act: Callable[..., Any], shapes: Any, seed: int) -> None:
    """Each operator on two Tensors; check_op puts the same text on plain arrays."""
    check_op(act, [positive(seed, shapes[0]), positive(seed + 1, shapes[1])], oracle=act, seed=seed)


@pytest.mark.parametrize("act", OPERATORS, ids=lambda act: act.__name__)
@given(shapes=broadcasting_pairs(), seed=SEEDS)
def test_a_plain_array_may_stand_on_either_side(act: Callable[..., Any], shapes: Any, seed: int) -> None:
    """An array on the left leaves the operator to the Tensor."""
    plain, values = positive(seed, shapes[0]), positive(seed + 1, shapes[1])
    for left in (True, False):
        one, both = leaf(values), leaf(values)
        y = act(plain, one) if left else act(one, plain)
        expected = act(Tensor(plain), both) if left else act(both, Tensor(plain))
        assert type(y) is Tensor
        check_close("value", y.data, expected.data, 0.0)
        y.sum().backward()
        expected.sum().backward()
        check_close("gradient", gradient(one), gradient(both), 0.0)


@pytest.mark.parametrize("act", OPERATORS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("number", [2, 2.5, np.float32(2.5), np.array(2.5, np.float32)], ids=lambda n: type(n).__name__)
def test_numbers_may_stand_on_either_side_and_leave_float32(act: Callable[..., Any], number: Any) -> None:
    values = np.array([1.5, 3.0], np.float32)
    for left in (True, False):
        x = leaf(values, "float32")
        y = act(number, x) if left else act(x, number)
        assert type(y) is Tensor
        y.sum().backward()
        assert y.dtype == gradient(x).dtype == np.float32
        double = leaf(values)
        exact = act(float(number), double) if left else act(double, float(number))
        exact.sum().backward()
        check_close("value", y.data, exact.data, 1e-6)
        check_close("gradient", gradient(x), gradient(double), 1e-6)


def test_python_numbers_leave_float32_through_a_whole_expression() -> None:
    x = leaf([0.5, 2.0], "float32")
    y = ((1 - x * 2.0) / 3 + 2**x - x**2 + -x).mean() * 0.5
    y.backward()
    assert y.dtype == gradient(x).dtype == np.float32
    values = np.array([0.5, 2.0])
    check_close("gradient", gradient(x), (-2 / 3 + 2**values * np.log(2) - 2 * values - 1) / 4, 1e-6)


def test_comparisons_give_plain_booleans() -> None:
    x = leaf([1.0, 2.0, 3.0])
    for result, expected in (
        (x < 2, [True, False, False]),
        (x <= Tensor(np.array(2.0)), [True, True, False]),
        (x > np.array([0, 2, 4]), [True, False, False]),
        (x >= 2, [False, True, True]),
        (np.array([0, 2, 4]) < x, [True, False, False]),
    ):
        assert isinstance(result, np.ndarray) and result.tolist() == expected


@given(data=st.data(), rank_a=st.integers(1, 4), rank_b=st.integers(1, 4), seed=SEEDS)
def test_matmul_of_all_ranks(data: st.DataObject, rank_a: int, rank_b: int, seed: int) -> None:
    """Vectors, matrices and stacks of them that broadcast."""
    size = st.integers(1, 4)
    rows, inner, columns = data.draw(size), data.draw(size), data.draw(size)
    stack = data.draw(st.lists(size, min_size=2, max_size=2))

    def leading(rank: int) -> list[int]:
        own = [n if data.draw(st.booleans()) else 1 for n in stack]
        return own[2 - (rank - 2) :] if rank > 2 else []

    shape_a = [*leading(rank_a), rows, inner] if rank_a > 1 else [inner]
    shape_b = [*leading(rank_b), inner, columns] if rank_b > 1 else [inner]
    a, b = positive(seed, shape_a), positive(seed + 1, shape_b)
    check_op(operator.matmul, [a, b], oracle=np.matmul, seed=seed)
    for left, right in ((a, Tensor(b)), (Tensor(a), b)):
        y = left @ right
        assert type(y) is Tensor
        check_close("value", y.data, a @ b, 0.0)


# Reductions, reshaping, indexing as methods


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), seed=SEEDS)
def test_reductions_as_methods(data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    axes = st.sets(st.integers(-len(shape), -1), min_size=1).map(tuple)
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1) | axes)
    keepdims = data.draw(st.booleans())
    values = (np.random.default_rng(seed).permutation(int(np.prod(shape))) / 8 + 1).reshape(shape)
    for name in ("sum", "mean", "max", "min"):

        def act(x: Any, name: str = name) -> Any:
            return getattr(x, name)(axis=axis, keepdims=keepdims) if isinstance(x, Tensor) else plain(x, name)

        def plain(x: np.ndarray, name: str) -> np.ndarray:
            return np.asarray(getattr(np, name)(x, axis=axis, keepdims=keepdims))

        check_op(act, [values], oracle=lambda x, name=name: plain(x, name), seed=seed)


@pytest.mark.parametrize(
    "index",
    [
        2, -1, slice(None, None, 2), slice(5, 0, -1), ..., (1, 2), (..., 0), (slice(1, 3), ..., None), (None, 1),
        [0, 0, 2], np.array([[0, 1], [1, 1]]), (np.array([0, 0, 1]), np.array([2, 2, 0])), (slice(None), [1, 1]),
        np.array([True, False, True]), np.array([[True, False] * 2] * 3), (np.array([True, False, True]), 1),
        np.int64(1),
    ],
    ids=repr,
)  # fmt: skip
def test_indexing(rng: np.random.Generator, index: Any) -> None:
    """What is taken twice gets two gradients; what is not taken gets 0."""
    values = rng.standard_normal((3, 4))
    check_op(lambda x: x[index] if isinstance(x, Tensor) else np.asarray(x[index]), [values])
    x = leaf(values)
    x[index].sum().backward()
    times = np.zeros_like(values)
    np.add.at(times, index, 1)
    check_close("gradient of the sum", gradient(x), times, 0.0)


def test_reshaping_as_methods(rng: np.random.Generator) -> None:
    x = leaf(rng.standard_normal((2, 3, 4)))
    dy = rng.standard_normal((4, 6))
    x.transpose(2, 0, 1).reshape(4, -1).backward(dy)
    check_close("transpose and reshape", gradient(x), dy.reshape(4, 2, 3).transpose(1, 2, 0), 0.0)
    assert x.T.shape == x.transpose().shape == (4, 3, 2)
    assert x.transpose((1, 0, 2)).shape == (3, 2, 4)
    assert x.reshape((6, 4)).shape == x.reshape(6, 4).shape == (6, 4)
    assert x.reshape(24).shape == (24,)


def test_a_tensor_is_a_little_like_an_array() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]], "float32")
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 2), 2, 4, np.float32, 2)
    assert np.asarray(x).tolist() == x.numpy().tolist() == [[1, 2], [3, 4]]
    assert np.asarray(x, "float64").dtype == np.float64
    assert [row.numpy().tolist() for row in x] == [[1, 2], [3, 4]]
    assert x[1, 0].item() == float(x[1, 0]) == 3.0
    assert bool(x[0, 0]) and not bool(x[0, 0] - 1)
    assert "Tensor" in repr(x) and "3." in repr(x)
    assert Tensor(x).data is x.data
    assert Tensor([1, 2]).shape == (2,)


# The tape


def test_a_value_used_twice_gets_both_gradients() -> None:
    x = leaf([2.0, -3.0])
    y = x * x
    z = (y * x + y).sum()  # x^3 + x^2
    z.backward()
    assert gradient(x).tolist() == [3 * 4 + 2 * 2, 3 * 9 - 2 * 3]


def test_a_diamond_is_complete_before_it_is_passed_on() -> None:
    """The short branch must wait for the long one."""
    x = leaf(3.0)
    y = x * 2
    long = y
    for _ in range(10):
        long = long + 1
    (y * long).backward()  # 2x (2x + 10)
    assert float(gradient(x)) == 8 * 3 + 20


def test_the_same_leaf_on_both_sides() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    (x @ x).sum().backward()
    ones = np.ones((2, 2))
    check_close("gradient", gradient(x), ones @ x.data.T + x.data.T @ ones, 0.0)


def test_gradients_of_leaves_add_up() -> None:
    x, w = leaf([1.0, 2.0]), Parameter(np.array([3.0, 4.0]))
    (x * w).sum().backward()
    (x * w * 10).sum().backward()
    assert gradient(x).tolist() == [33, 44] and gradient(w).tolist() == [11, 22]
    x.grad = None
    (x * w).sum().backward()
    assert gradient(x).tolist() == [3, 4] and gradient(w).tolist() == [12, 24]


def test_what_lies_between_keeps_no_gradient() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    y.sum().backward()
    assert y.grad is None


def test_gradients_are_arrays_of_their_own() -> None:
    """Changing one in place changes no other, nor what was passed to backward()."""
    a, b, dy = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.ones(2)
    (a + b).backward(dy)
    gradient(a)[...] = 7
    assert gradient(b).tolist() == [1, 1] and dy.tolist() == [1, 1]
    c = leaf([1.0, 2.0])
    c.sum().backward()
    gradient(c)[...] *= 5
    assert gradient(c).tolist() == [5, 5]


def test_backward_of_a_leaf() -> None:
    x = leaf(3.0)
    x.backward()
    assert float(gradient(x)) == 1


def test_backward_with_a_gradient() -> None:
    x = leaf([1.0, 2.0, 3.0])
    (x * 2).backward(np.array([1.0, 10.0, 100.0]))
    assert gradient(x).tolist() == [2, 20, 200]


def test_backward_of_an_array_needs_a_gradient() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(UsageError, match=r"shape \(2,\) needs a gradient"):
        (x * 2).backward()
    leaf([[1.0]]).backward()


def test_a_gradient_of_another_shape_is_refused() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    for wrong in (np.ones(2), np.ones((4, 2, 2)), np.ones((2, 3))):
        with pytest.raises(UsageError, match=r"\(2, 2\)"):
            (x * 2).backward(wrong)
    assert x.grad is None


def test_the_tape_is_used_up() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y.sum()
    z.backward()
    with pytest.raises(UsageError, match="used up"):
        z.backward()
    with pytest.raises(UsageError, match="used up"):
        (y * 3).sum().backward()
    assert gradient(x).tolist() == [2, 2]


def test_nothing_recorded_nothing_to_go_back() -> None:
    with pytest.raises(UsageError, match="nothing was recorded"):
        (Tensor(np.ones(2)) * 2).sum().backward()
    frozen = Parameter(np.ones(2), trainable=False)
    with pytest.raises(UsageError, match="nothing was recorded"):
        frozen.sum().backward()


def test_no_grad() -> None:
    x = leaf([1.0, 2.0])
    with no_grad():
        y = x * 2
        with no_grad():
            pass
        z = x + 1
    assert not y.requires_grad and y.node is None and not z.requires_grad
    with pytest.raises(UsageError, match="no_grad"):
        y.sum().backward()
    assert (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad


def test_no_grad_holds_in_its_own_thread_only() -> None:
    x, seen = leaf([1.0]), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach_stops_the_gradient() -> None:
    x = leaf([2.0, 3.0])
    (x * x.detach()).sum().backward()
    assert gradient(x).tolist() == [2, 3]
    assert x.detach().data is x.data


def test_only_what_requires_a_gradient_gets_one() -> None:
    x, plain = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    y = x * plain
    y.sum().backward()
    assert plain.grad is None and gradient(x).tolist() == [3, 4]
    assert not (plain * 2).requires_grad


@pytest.mark.parametrize("steps", [5_000, 30_000])
def test_long_chains_do_not_recurse(steps: int) -> None:
    """Neither on the way back, nor when a chain that was never gone back is dropped."""
    x = leaf(1.0)
    y = x
    for _ in range(steps):
        y = y + 1.0
    y.backward()
    assert float(gradient(x)) == 1 and float(y) == steps + 1
    y = leaf([1.0])
    for _ in range(steps):
        y = y * 1.0
    last = weakref.ref(y.data)
    del y
    assert last() is None


def test_arrays_are_freed_on_the_way_back() -> None:
    """After backward() nothing holds what the ops kept, though the loss and what lies between are still there."""

    class Kept(np.ndarray):
        """An array that a weak reference can watch."""

    x = leaf(np.ones(4))
    held = np.full(4, 2.0).view(Kept)
    watch = weakref.ref(held)
    between = x * held
    loss = between.sum()
    del held
    gc.collect()
    assert watch() is not None
    loss.backward()
    gc.collect()
    assert watch() is None
    assert between.node is loss.node is autograd._USED
    assert gradient(x).tolist() == [2] * 4


def test_a_value_that_is_dropped_frees_its_tape() -> None:
    """Without any help of the garbage collector: a loop over batches must not pile up memory."""

    class Kept(np.ndarray):
        """An array that a weak reference can watch."""

    held = np.full(4, 2.0).view(Kept)
    watch = weakref.ref(held)
    gc.disable()
    try:
        loss = (leaf(np.ones(4)) * held).sum()
        del held
        assert watch() is not None
        del loss
        assert watch() is None
    finally:
        gc.enable()


# Parameters


def test_a_parameter_is_a_named_leaf() -> None:
    w = Parameter(np.ones(2), name="kernel")
    assert (w.name, w.trainable, w.requires_grad) == ("kernel", True, True)
    w.trainable = False
    assert not w.requires_grad and not (w * 2).requires_grad


def test_a_parameter_writes_its_gradient_into_the_buffer() -> None:
    flat = np.full(5, np.nan, np.float32)
    w = Parameter(np.array([[1.0, 2.0]], np.float32))
    w.buffer = flat[1:3].reshape(1, 2)
    (w * 3.0).sum().backward()
    assert w.grad is w.buffer and flat[1:3].tolist() == [3, 3]
    (w * w).sum().backward()
    assert flat[1:3].tolist() == [5, 7]
    assert np.isnan(flat[[0, 3, 4]]).all()
    w.grad = None
    w.sum().backward()
    assert flat[1:3].tolist() == [1, 1]


def test_assign_overwrites_in_place() -> None:
    w = Parameter(np.zeros((2, 2), np.float32), name="dense/kernel")
    data = w.data
    w.assign([[1, 2], [3, 4]])
    assert w.data is data and data.dtype == np.float32 and data.tolist() == [[1, 2], [3, 4]]
    w.assign(Tensor(np.ones((2, 2))))
    assert data.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(UsageError, match=r'"dense/kernel" has shape \(2, 2\).*\(4,\)'):
        w.assign(np.ones(4))


# The decorator


def test_arrays_may_be_named() -> None:
    rng = np.random.default_rng(0)
    x, kernel, bias = (leaf(rng.standard_normal(shape)) for shape in ((1, 5, 5, 2), (3, 3, 2, 4), (4,)))
    expected = ops.conv2d(x, kernel, bias, strides=2)
    got = ops.conv2d(x, kernel, bias=bias, strides=2)
    check_close("value", got.data, expected.data, 0.0)
    got.sum().backward()
    assert gradient(bias).tolist() == [4] * 4
    check_close("all by name", ops.conv2d(kernel=kernel, x=x, bias=bias, strides=2).data, expected.data, 0.0)
    without = ops.conv2d(kernel=kernel, x=x, strides=2)
    check_close("without bias", without.data, expected.data - bias.data, 1e-14)


def test_an_array_left_out_is_missed_by_name() -> None:
    with pytest.raises(TypeError, match="kernel"):
        ops.conv2d(np.zeros((1, 5, 5, 2)), bias=np.zeros(2))  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="kernel"):
        ops.conv2d(np.zeros((1, 5, 5, 2)))  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="'x'"):
        ops.conv2d(np.zeros((1, 5, 5, 2)), np.zeros((3, 3, 2, 2)), x=np.zeros(2))  # pyright: ignore[reportCallIssue]


def test_an_op_keeps_its_name_and_its_documentation() -> None:
    assert ops.conv2d.__name__ == "conv2d" and (ops.conv2d.__doc__ or "").startswith("Slide a kernel")


def test_gradients_nobody_wants_are_not_computed() -> None:
    """Where the way back is one function per array, only those of arrays that require a gradient run."""
    called = []

    @differentiable
    def product(a: Any, b: Any) -> Any:
        def toward(name: str, other: Any) -> Callable[[Any], Any]:
            return lambda dy: called.append(name) or dy * other

        return a * b, (toward("a", b), toward("b", a))

    x = leaf([2.0])
    product(x, np.array([3.0])).sum().backward()
    product(Tensor(np.array([3.0])), x).sum().backward()
    assert called == ["a", "b"] and gradient(x).tolist() == [6]


def test_one_way_back_for_all_arrays() -> None:
    @differentiable
    def product(a: Any, b: Any) -> Any:
        return a * b, lambda dy: (dy * b, dy * a)

    a, b = leaf([2.0]), leaf([3.0])
    product(a, b).backward(np.ones(1))
    assert gradient(a).tolist() == [3] and gradient(b).tolist() == [2]
    product(a, 5.0).backward(np.ones(1))
    assert gradient(a).tolist() == [8]


def promised(started: list[str], ended: list[str]) -> Callable[..., Any]:
    """An op, a * b, whose gradient for b comes later."""

    @differentiable
    def product(a: Any, b: Any, *, name: str) -> Any:
        def later(dy: Any) -> Later:
            started.append(name)
            return Later(lambda: ended.append(name) or dy * a)

        return a * b, (lambda dy: dy * b, later)

    return product


def test_gradients_of_leaves_may_come_later() -> None:
    """One is waited for when the next begins, so that no more is kept alive for it; the last at the end."""
    started: list[str] = []
    ended: list[str] = []
    product = promised(started, ended)
    x, a, b, c = leaf([2.0]), leaf([3.0]), leaf([5.0]), leaf([7.0])
    y = product(product(product(x, a, name="a"), b, name="b"), c, name="c")
    seen: list[tuple[list[str], list[str]]] = []

    @differentiable
    def look(value: Any) -> Any:
        return value, lambda dy: seen.append((started.copy(), ended.copy())) or dy

    product(product(look(y), b, name="again"), look(leaf([11.0])), name="of a value").backward(np.ones(1))
    assert started == ["of a value", "again", "c", "b", "a"] and ended == started
    assert seen == [(["of a value"], ["of a value"]), (["of a value", "again"], ["of a value"])]
    assert gradient(x).tolist() == [3 * 5 * 7 * 5 * 11] and gradient(a).tolist() == [2 * 5 * 7 * 5 * 11]
    assert gradient(b).tolist() == [2 * (2 * 3 * 5 * 7) * 11] and gradient(c).tolist() == [2 * 3 * 5 * 5 * 11]


def test_an_error_in_the_pass_leaves_nobody_at_work() -> None:
    started: list[str] = []
    ended: list[str] = []
    product = promised(started, ended)

    @differentiable
    def broken(value: Any) -> Any:
        def back(dy: Any) -> Any:
            raise ArithmeticError("on the way back")

        return value, back

    with pytest.raises(ArithmeticError, match="on the way back"):
        product(broken(leaf([2.0])), leaf([3.0]), name="b").backward(np.ones(1))
    assert started == ended == ["b"]


def test_an_error_of_one_that_comes_later_does_not_lose_the_next() -> None:
    ended: list[str] = []

    @differentiable
    def product(a: Any, b: Any, *, name: str) -> Any:
        def fail() -> Any:
            ended.append(name)
            raise ArithmeticError(name)

        return a * b, (lambda dy: dy * b, lambda dy: Later(fail))

    with pytest.raises(ArithmeticError, match="last"):
        product(product(leaf([2.0]), leaf([3.0]), name="first"), leaf([5.0]), name="last").backward(np.ones(1))
    assert ended == ["last", "first"]


def test_no_room_for_one_that_comes_later_is_said_of_that() -> None:
    @differentiable
    def product(a: Any, b: Any) -> Any:
        def fail() -> Any:
            raise MemoryError("Unable to allocate 3.00 GiB for an array")

        return a * b, (lambda dy: dy * b, lambda dy: Later(fail))

    with pytest.raises(OutOfMemoryError, match=r"the gradient for a value of \(3,\): out of memory: 3.00 GiB asked"):
        (product(leaf([2.0]), leaf([1.0, 2.0, 3.0])) * 2).sum().backward()


class Symbol:
    """Takes over every op it meets, as a symbolic Tensor does."""

    def __gpudl_op__(self, op: Any, arrays: Any, settings: Any) -> Any:
        return self, op, arrays, settings


def test_an_argument_may_take_the_call_over() -> None:
    symbol, x = Symbol(), leaf([[1.0]])
    taker, op, arrays, settings = ops.dense(x, symbol, bias=None)
    assert taker is symbol and op is ops.dense and settings == {}
    assert arrays[0] is x and arrays[1] is symbol and arrays[2] is None
    _, op, arrays, settings = ops.max_pool2d(symbol, pool_size=2)
    assert op is ops.max_pool2d and arrays == (symbol,) and settings == {"pool_size": 2}
    assert ops.concatenate([x, _with_shape(symbol, (1, 1))])[1].__name__ == "_concatenate"
    assert (x + symbol)[1] is ops.add  # pyright: ignore[reportIndexIssue]


def _with_shape(symbol: Symbol, shape: tuple[int, ...]) -> Symbol:
    symbol.shape = shape  # pyright: ignore[reportAttributeAccessIssue]
    return symbol
