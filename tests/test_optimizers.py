"""Optimizers: their flat buffers, their state, and steps by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, layers, optimizers, schedules
from gpudl.autograd import Parameter
from gpudl.errors import UnknownNameError, UsageError


def parameters(*shapes: tuple[int, ...]) -> list[Parameter]:
    rng = np.random.default_rng(0)
    return [Parameter(rng.standard_normal(shape).astype(np.float32), f"p{i}") for i, shape in enumerate(shapes)]


def views(optimizer: optimizers.Optimizer) -> bool:
    return all(
        p.data.base is optimizer._weights and p.buffer is not None and p.buffer.base is optimizer._gradients
        for p in optimizer.parameters
    )


def test_parameters_become_views_of_one_buffer_with_the_same_values() -> None:
    own = parameters((2, 3), (), (4,))
    before = [p.numpy().copy() for p in own]
    optimizer = optimizers.Adam()
    optimizer.build(own)
    assert views(optimizer) and optimizer._weights.shape == (11,)
    for p, value in zip(own, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
    optimizer._weights[:] = 7
    assert all((p.numpy() == 7).all() for p in own)


def test_steps_by_hand() -> None:
    (p,) = own = parameters((3,))
    w, g = p.numpy().copy(), np.array([1.0, -2.0, 0.5], np.float32)
    optimizer = optimizers.SGD(0.1, momentum=0.5)
    m = 0
    for _ in range(3):
        p.accumulate(g)
        optimizer.apply(own)
        m = 0.5 * m - 0.1 * g
        w = w + m
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-6)
        assert p.grad is None
    assert optimizer.iterations == 3


def test_gradients_add_up_until_the_step() -> None:
    results = []
    for gradients in ([1.0, 2.0], [3.0]):
        (p,) = own = parameters((3,))
        optimizer = optimizers.SGD(0.1)
        for value in gradients:  # before the buffers, and in them
            p.accumulate(np.full(3, value, np.float32))
        optimizer.apply(own)
        for value in gradients:
            p.accumulate(np.full(3, value, np.float32))
        optimizer.apply(own)
        results.append(p.numpy().copy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: optimizers.SGD(0.1), lambda: optimizers.Adam(0.1)])
def test_a_parameter_without_a_gradient_counts_as_gradient_0(make: Callable[[], optimizers.Optimizer]) -> None:
    one, two = own = parameters((3,), (2,))
    before = two.numpy().copy()
    optimizer = make()
    for _ in range(2):
        one.accumulate(np.ones(3, np.float32))
        optimizer.apply(own)
    np.testing.assert_array_equal(two.numpy(), before)
    two.accumulate(np.ones(2, np.float32))
    optimizer.apply(own)
    moved = two.numpy().copy()
    assert (moved != before).all()
    if isinstance(optimizer, optimizers.SGD):
        optimizer.apply(own)  # the gradient of the last step is not taken again
        np.testing.assert_array_equal(two.numpy(), moved)


def test_other_parameters_make_new_buffers() -> None:
    one, two, three = parameters((3,), (2,), (1,))
    optimizer = optimizers.SGD(0.5)
    for own in ([one, two], [two, three], [two]):
        before = [p.numpy().copy() for p in own]
        for p in own:
            p.accumulate(np.ones(p.shape, np.float32))
        optimizer.apply(own)
        assert optimizer.parameters == own and views(optimizer)
        for p, value in zip(own, before, strict=True):
            np.testing.assert_allclose(p.numpy(), value - 0.5, rtol=1e-6)


def model() -> Sequential:
    made = Sequential([Input(shape=(3,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
    made.compile(optimizers.Adam(0.01), "mse")
    return made


X = np.random.default_rng(1).standard_normal((16, 3)).astype(np.float32)
Y = X.sum(axis=1)


def test_a_trained_models_weights_are_views_and_stay_so() -> None:
    made = model()
    made.fit(X, Y, verbose=0)
    optimizer: Any = made.optimizer
    assert views(optimizer)
    made.set_weights([np.full(w.shape, 0.5) for w in made.weights])
    assert views(optimizer) and (optimizer._weights == 0.5).all()
    made.fit(X, Y, verbose=0)
    assert views(optimizer) and (optimizer._weights != 0.5).all()
    np.testing.assert_array_equal(np.concatenate([w.ravel() for w in made.get_weights()]), optimizer._weights)


def test_compiling_again_starts_the_optimizer_anew_and_keeps_the_weights() -> None:
    made = model()
    made.fit(X, Y, epochs=3, verbose=0)
    before, old = made.get_weights(), made.optimizer
    made.compile("adam", "mse")
    for a, b in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert made.optimizer is not old and made.optimizer is not None and made.optimizer.iterations == 0
    made.fit(X, Y, verbose=0)
    assert views(made.optimizer) and made.optimizer.iterations == 1
    assert all((a != b).any() for a, b in zip(made.get_weights(), before, strict=True))


def test_freezing_between_two_fits() -> None:
    made = model()
    made.fit(X, Y, verbose=0)
    made.layers[0].trainable = False
    before = made.get_weights()
    made.fit(X, Y, verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(made.get_weights(), before, strict=True)]
    assert same == [True, True, False, False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.SGD(0.1, momentum=0.9),
        lambda: optimizers.SGD(0.1),
        lambda: optimizers.Adam(0.1, amsgrad=True),
        lambda: optimizers.RMSprop(0.1, momentum=0.3, centered=True),
        lambda: optimizers.Adam(schedules.ExponentialDecay(0.1, 2, 0.5)),
    ],
)
def test_state_goes_on_to_the_bit(make: Callable[[], optimizers.Optimizer]) -> None:
    rng = np.random.default_rng(2)
    gradients = [[rng.standard_normal(s).astype(np.float32) for s in ((2, 3), (4,))] for _ in range(6)]

    def run(optimizer: optimizers.Optimizer, own: list[Parameter], steps: slice) -> None:
        for of_step in gradients[steps]:
            for p, gradient in zip(own, of_step, strict=True):
                p.accumulate(gradient)
            optimizer.apply(own)

    whole, first = parameters((2, 3), (4,)), parameters((2, 3), (4,))
    optimizer, before = make(), make()
    run(optimizer, whole, slice(0, 6))
    run(before, first, slice(0, 3))
    second = [Parameter(p.numpy().copy()) for p in first]
    after = make()
    after.load_state(before.state(), second)
    run(after, second, slice(3, 6))
    for p, q in zip(second, whole, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_the_learning_rate() -> None:
    optimizer = optimizers.SGD(0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.learning_rate = 0.25
    (p,) = own = parameters((1,))
    before = p.numpy().copy()
    p.accumulate(np.ones(1, np.float32))
    optimizer.apply(own)
    np.testing.assert_allclose(p.numpy(), before - 0.25)
    scheduled = optimizers.SGD({"type": "exponential_decay", "initial_learning_rate": 1.0, "decay_steps": 1,
                                "decay_rate": 0.5})  # pyright: ignore[reportArgumentType]  # fmt: skip
    rates = []
    for _ in range(3):
        rates.append(scheduled.learning_rate)
        p.accumulate(np.ones(1, np.float32))
        scheduled.apply(own)
    assert rates == [1.0, 0.5, 0.25]
    assert scheduled.get_config()["learning_rate"]["type"] == "exponential_decay"
    scheduled.learning_rate = 0.125
    assert scheduled.state()["learning_rate"] == 0.125


def test_what_is_refused() -> None:
    for make, about in (
        (lambda: optimizers.SGD(-0.1), "learning_rate=-0.1"),
        (lambda: optimizers.SGD(float("nan")), "learning_rate=nan"),
        (lambda: optimizers.SGD(momentum=2), "momentum=2"),
        (lambda: optimizers.Adam(beta_1=1.0), "beta_1=1.0"),
        (lambda: optimizers.Adam(beta_2=-0.5), "beta_2=-0.5"),
        (lambda: optimizers.SGD().apply([]), "no trainable weights"),
    ):
        with pytest.raises(UsageError, match=about):
            make()
    with pytest.raises(UnknownNameError, match='did you mean "adam"'):
        optimizers.get("adamm")


def test_an_optimizer_of_ones_own() -> None:
    class Sign(optimizers.Optimizer):
        slot_names = ("count",)

        def __init__(self, learning_rate: float = 0.1) -> None:
            self.learning_rate = learning_rate

        def update(self, weights: Any, gradients: Any, slots: Any, rate: float) -> None:
            weights -= rate * np.sign(gradients)
            slots[0][...] += 1

    (p,) = own = parameters((3,))
    before = p.numpy().copy()
    optimizer = Sign()
    for _ in range(2):
        p.accumulate(np.array([5.0, -3.0, 0.0], np.float32))
        optimizer.apply(own)
    np.testing.assert_allclose(p.numpy(), before + np.array([-0.2, 0.2, 0.0]), rtol=1e-5)
    np.testing.assert_array_equal(optimizer.state()["arrays"]["0/count"], [2, 2, 2])

    class Bare(optimizers.Optimizer):
        pass

    with pytest.raises(UsageError, match="Bare must define update"):
        Bare().apply(own)
