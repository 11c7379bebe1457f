"""Calls of ops that are noted and made again: equal bits, nothing kept, and what leads past the ops is noticed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Parameter, Tensor, differentiable, listening, no_grad
from gpudl.replay import CannotReplay, Notes, Replay

Step = Callable[..., Any]


def noted(step: Step, arrays: list[Any], weights: list[Parameter], keys: tuple[int, ...] = ()) -> Replay:
    """Take a step while it is noted."""
    notes = Notes(arrays, weights)
    with listening(notes):
        result = step(*arrays)
    return Replay(notes, keys, result)


def weight(rng: np.random.Generator, *shape: int) -> Parameter:
    return Parameter(rng.normal(size=shape).astype("float32"))


def gradients(weights: list[Parameter]) -> list[np.ndarray]:
    found = [w.grad.copy() for w in weights if w.grad is not None]
    for w in weights:
        w.grad = None
    return found


def check_alike(step: Step, batches: list[list[Any]], weights: list[Parameter]) -> None:
    """A replay of the first step gives what the others give when they are taken: values and gradients, to the bit."""
    replay = noted(step, batches[0], weights)
    gradients(weights)
    for batch in batches[1:]:
        again = replay.repeat(batch)
        mine = [np.asarray(y) for y in (again if isinstance(again, tuple) else (again,))] + gradients(weights)
        taken = step(*batch)
        its = [np.asarray(y) for y in (taken if isinstance(taken, tuple) else (taken,))] + gradients(weights)
        assert len(mine) == len(its)
        assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(mine, its, strict=True))


UNARY = [
    ops.tanh,
    ops.exp,
    ops.square,
    ops.relu,
    ops.softmax,
    lambda x: x.T.T,
    lambda x: x.reshape(-1).reshape(3, 4),
]
BINARY = [ops.add, ops.multiply, ops.maximum, ops.subtract, lambda a, b: ops.matmul(a, b.T) @ b]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_any_graph(data: st.DataObject, seed: int) -> None:
    """Ops drawn at random on values drawn from all before: values used often, once or never, and shared weights."""
    rng = np.random.default_rng(seed)
    weights = [weight(rng, 3, 4), weight(rng, 3, 4)]
    plan = []
    for count in range(3, 3 + data.draw(st.integers(1, 12), label="ops")):
        places = st.integers(0, count - 1)
        if data.draw(st.booleans()):
            plan.append((data.draw(st.sampled_from(UNARY)), (data.draw(places),)))
        else:
            plan.append((data.draw(st.sampled_from(BINARY)), (data.draw(places), data.draw(places))))
    shown = data.draw(st.integers(0, len(plan) - 1), label="shown")

    def step(x: np.ndarray) -> tuple[Any, ...]:
        values: list[Any] = [Tensor(x), *weights]
        for op, places in plan:
            values.append(ops.tanh(op(*(values[place] for place in places))))
        loss = ops.mean(values[-1] * weights[0])
        loss.backward()
        return loss.data, values[3 + shown]

    check_alike(step, [[rng.normal(size=(3, 4)).astype("float32")] for _ in range(3)], weights)


def test_a_gradient_that_comes_later(rng: np.random.Generator) -> None:
    kernels = [weight(rng, 3, 3, 3, 32), weight(rng, 3, 3, 32, 32)]

    def step(x: np.ndarray) -> Any:
        y = ops.conv2d(ops.conv2d(x, kernels[0], padding="same"), kernels[1], padding="same")
        loss = ops.mean(ops.square(y))
        loss.backward()
        return loss.data

    check_alike(step, [[rng.normal(size=(16, 24, 24, 3)).astype("float32")] for _ in range(3)], kernels)


def test_without_a_way_back(rng: np.random.Generator) -> None:
    kernel = weight(rng, 4, 2)

    @no_grad()
    def step(x: np.ndarray, y: None, z: np.ndarray) -> Any:
        return ops.dense(x, kernel), [ops.mean(ops.multiply(z, 2.0)), {"a": ops.add(x, 1)}]

    batches = [[rng.normal(size=(5, 4)).astype("float32"), None, rng.normal(size=3)] for _ in range(2)]
    y, (average, inner) = noted(step, batches[0], [kernel]).repeat(batches[1])
    assert isinstance(y, Tensor) and y.node is None and kernel.grad is None
    np.testing.assert_array_equal(y.data, batches[1][0] @ kernel.data)
    assert average == (batches[1][2] * 2.0).mean()
    np.testing.assert_array_equal(inner["a"], batches[1][0] + 1)


def test_state_is_written_where_it_lies(rng: np.random.Generator) -> None:
    mean, variance = (Parameter(np.full(4, value, "float32"), trainable=False) for value in (0, 1))

    def step(x: np.ndarray) -> Any:
        return ops.batch_norm(x, None, None, mean, variance, training=True, momentum=0.5)

    one, two = rng.normal(size=(2, 8, 4)).astype("float32")
    noted(step, [one], [mean, variance]).repeat([two])
    np.testing.assert_allclose(mean.data, 0.25 * one.mean(0) + 0.5 * two.mean(0), rtol=1e-5, atol=1e-7)


def test_draws_take_the_keys_that_are_given() -> None:
    def step(x: np.ndarray) -> Any:
        return ops.dropout(ops.dropout(x, rate=0.5, key=11, noise_shape=x.shape), rate=0.5, key=22, noise_shape=x.shape)

    x = np.ones((40, 40), "float32")
    replay = noted(step, [x], [], (11, 22, 11))
    assert replay.keys == [11, 22]
    kept = [ops.dropout(x, rate=0.5, key=key, noise_shape=x.shape) for key in (33, 44)]
    np.testing.assert_array_equal(replay.repeat([x], [33, 44]), kept[0] * kept[1])
    with pytest.raises(CannotReplay, match="a random draw is no setting of an op"):
        noted(step, [x], [], (11, 22, 33))


def test_nothing_of_a_batch_is_kept(rng: np.random.Generator) -> None:
    """No array of the step that was noted, and none of one that was repeated, lives on; results as long as they are."""
    first, second = weight(rng, 40, 30), weight(rng, 30, 20)
    alive: list[weakref.ref[Any]] = []

    def step(x: np.ndarray) -> Any:
        hidden = ops.dense(x, first, relu=True)
        y = ops.dense(hidden, second)
        loss = ops.mean(ops.square(y))
        loss.backward()
        alive.extend(weakref.ref(tensor.data) for tensor in (hidden, y, loss))
        return y, loss.data

    gc.disable()
    try:
        x = rng.normal(size=(50, 40)).astype("float32")
        replay = noted(step, [x], [first, second])
        assert [ref() for ref in alive] == [None] * 3
        y, _ = replay.repeat([x])
        alive = [weakref.ref(x), weakref.ref(y.data)]
        del x, y
        assert [ref() for ref in alive] == [None] * 2
    finally:
        gc.enable()


def test_memory_is_freed_on_the_way(rng: np.random.Generator) -> None:
    """Without a way back, what no later call takes is freed at once, as it is where layers are called."""
    alive: list[weakref.ref[Any]] = []
    most = 0

    def watched(x: np.ndarray) -> np.ndarray:
        nonlocal most
        most = max(most, sum(ref() is not None for ref in alive))
        return x

    @no_grad()
    def step(x: np.ndarray) -> Any:
        for _ in range(6):
            x = ops.exp(x)
        return x

    replay = noted(step, [np.zeros(3)], [])
    before = [call.op for call in replay._steps]

    def spied(op: Callable[..., Any]) -> Callable[..., Any]:
        def call(x: np.ndarray) -> Any:
            y, back = op(watched(x))
            alive.append(weakref.ref(y))
            return y, back

        return call

    replay._steps = [call._replace(op=spied(op)) for call, op in zip(replay._steps, before, strict=True)]
    replay.repeat([np.zeros(3)])
    assert most == 1


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda x: ops.add(x, np.ones(3, "float32")), "add takes a ndarray that no op made"),
        (lambda x: ops.exp(x * 2), "exp takes a ndarray that no op made"),
        (lambda x: ops.multiply(x, x.sum()), "multiply takes a float32 that no op made"),
        (lambda x: ops.multiply(x, np.float64(2)), "multiply takes a float64 that no op made"),
        (lambda x: ops.take(Tensor(x), np.arange(2)), "that no op made|an array among its settings"),
        (lambda x: Tensor(x)[np.array([0, 2])], "getitem has an array among its settings"),
        (lambda x: x * 2, "the result takes a ndarray that no op made"),
        (lambda x: Tensor(x, requires_grad=True).backward(np.ones(3, "float32")), "backward.. is given a gradient"),
        (lambda x: ops.mean(Tensor(x, requires_grad=True)).backward(), "mean passes a gradient to what no op made"),
        (lambda x: (ops.mean(W).backward(), ops.mean(W).backward())[0], "backward.. is called twice"),
        (lambda x: (ops.mean(W).backward(), ops.exp(x))[1], "the result takes a ndarray that no op made"),
    ],
)
def test_what_leads_past_the_ops(step: Step, reason: str) -> None:
    with pytest.raises(CannotReplay, match=reason):
        noted(step, [np.ones(3, "float32")], [W])
    W.grad = None


W = Parameter(np.ones(3, "float32"))


def test_one_array_in_two_places() -> None:
    x = np.ones(3)
    with pytest.raises(CannotReplay, match="one array is given twice"):
        noted(lambda a, b: ops.add(a, b), [x, x], [])


def test_a_weight_as_the_batch() -> None:
    with pytest.raises(CannotReplay, match="a weight is given as the batch"):
        noted(lambda x: ops.mean(ops.add(x, W)), [W.data], [W])


def test_an_op_of_ones_own() -> None:
    def odd(x: np.ndarray) -> Any:
        return x * 2, None

    with pytest.raises(CannotReplay, match="odd is not gpudl's own"):
        noted(differentiable(odd), [np.ones(3)], [])


def test_a_key_that_nobody_drew() -> None:
    with pytest.raises(CannotReplay, match="an op has a key that no layer drew"):
        noted(lambda x: ops.dropout(x, rate=0.5, key=5, noise_shape=(3,)), [np.ones(3)], [])


def test_an_array_that_takes_the_place_of_another(rng: np.random.Generator) -> None:
    """An array that is freed may lend its id to one that no op made."""

    def step(x: np.ndarray) -> Any:
        for _ in range(50):
            ops.exp(x)  # gone at once
            other = np.full(3, 2.0)
            result = ops.add(x, other)
        return result

    with pytest.raises(CannotReplay, match="add takes a ndarray"):
        noted(step, [np.ones(3)], [])


def test_ops_that_ops_call_are_no_steps_of_their_own() -> None:
    def step(x: np.ndarray) -> Any:
        return ops.exp(x)

    notes = Notes([x := np.ones(3)], [])
    with listening(notes), listening(None):
        step(x)
    assert notes.steps == []


def test_an_error_on_the_way_back_ends_the_step(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = weight(rng, 4, 2)

    def step(x: np.ndarray) -> Any:
        loss = ops.mean(ops.dense(x, kernel))
        loss.backward()
        return loss.data

    x = rng.normal(size=(3, 4)).astype("float32")
    replay = noted(step, [x], [kernel])
    kernel.grad = None

    def fail(*_: Any) -> Any:
        raise MemoryError

    from gpudl.backend.numpy import dense

    with monkeypatch.context() as patch:
        patch.setattr(dense, "kernel_gradient", fail)
        with pytest.raises(MemoryError, match="the gradient of dense, to a value of"):
            replay.repeat([x])
        patch.setattr(dense, "forward", fail)
        with pytest.raises(MemoryError, match=r"dense, called on .*3, 4"):
            replay.repeat([x])
    replay.repeat([x])
    assert kernel.grad is not None
