"""Optimizers: their flat buffers, their state, and steps by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, callbacks, layers, optimizers, schedules
from gpudl.autograd import Parameter, Tensor
from gpudl.backend.numpy import optimizers as kernels
from gpudl.backend.numpy import workers
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
    assert views(optimizer) and optimizer._weights.shape == (48,)  # each begins at a multiple of 16
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


EVERY = ["SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Lion"]


@pytest.mark.parametrize("name", EVERY)
def test_a_parameter_without_a_gradient_stays_as_it_is(name: str) -> None:
    one, _, three = own = parameters((3,), (2,), (4,))
    optimizer = getattr(optimizers, name)(weight_decay=0.1, gradient_accumulation_steps=2)
    for p in own * 2:
        p.accumulate(np.ones(p.shape, np.float32))
    for given in (own, own, [one, three], [one, three]):
        before = [p.numpy().copy() for p in own]
        for p in given:
            p.accumulate(np.ones(p.shape, np.float32))
        optimizer.apply(own)
    assert [(p.numpy() == w).all() for p, w in zip(own, before, strict=True)] == [False, True, False]
    assert (optimizer.steps, optimizer.iterations) == (4, 2)
    with pytest.raises(UsageError, match="no weight has a gradient"):
        optimizer.apply(own)
    assert optimizer.steps == 4


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
    assert views(optimizer) and all((w == 0.5).all() for w in made.get_weights())
    made.fit(X, Y, verbose=0)
    assert views(optimizer) and all((w != 0.5).all() for w in made.get_weights())
    for w, place in zip(made.get_weights(), optimizer._places, strict=True):
        np.testing.assert_array_equal(w.ravel(), optimizer._weights[place])


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
        lambda: optimizers.AdamW(0.1, gradient_accumulation_steps=2, use_ema=True, ema_overwrite_frequency=2),
        lambda: optimizers.SGD(0.1, gradient_accumulation_steps=2, clipnorm=0.5),
        lambda: optimizers.Nadam(0.1, use_ema=True),
        lambda: optimizers.Adamax(0.1),
        lambda: optimizers.Adagrad(0.1),
        lambda: optimizers.Adadelta(0.1, loss_scale_factor=3.0),
        lambda: optimizers.Lion(0.1, weight_decay=0.1),
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

    def undecayed(optimizer: optimizers.Optimizer, own: list[Parameter]) -> optimizers.Optimizer:
        optimizer.exclude_from_weight_decay(own[:1])
        return optimizer

    whole, first = parameters((2, 3), (4,)), parameters((2, 3), (4,))
    optimizer, before = undecayed(make(), whole), undecayed(make(), first)
    run(optimizer, whole, slice(0, 6))
    run(before, first, slice(0, 3))
    second = [Parameter(p.numpy().copy()) for p in first]
    after = make()
    after.load_state(before.state(), second)
    run(after, second, slice(3, 6))
    for each, of in ((after, second), (optimizer, whole)):
        each.finalize_variable_values(of)
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
    with pytest.raises(UsageError, match="follows ExponentialDecay, so it cannot be set"):
        scheduled.learning_rate = 0.125
    scheduled.learning_rate = schedules.PiecewiseConstantDecay([3], [0.75, 0.5])
    assert scheduled.learning_rate == 0.75 and scheduled.get_config()["learning_rate"]["boundaries"] == [3]
    called = optimizers.SGD(lambda: 0.5)
    assert called.learning_rate == 0.5
    with pytest.raises(UsageError, match="cannot be saved"):
        called.get_config()


def test_what_is_refused() -> None:
    for make, about in (
        (lambda: optimizers.SGD(-0.1), "learning_rate=-0.1"),
        (lambda: optimizers.SGD(float("nan")), "learning_rate=nan"),
        (lambda: optimizers.SGD(momentum=2), "momentum=2"),
        (lambda: optimizers.Adam(beta_1=1.0), "beta_1=1.0"),
        (lambda: optimizers.Adam(beta_2=-0.5), "beta_2=-0.5"),
        (lambda: optimizers.SGD().apply([]), "no trainable weights"),
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=2.0), "clipnorm=1.0, clipvalue=2.0"),
        (lambda: optimizers.Adam(use_ema=True, ema_momentum=2.0), "ema_momentum=2.0"),
        (lambda: optimizers.Adam(use_ema=True, ema_overwrite_frequency=1.5), "ema_overwrite_frequency=1.5"),  # pyright: ignore[reportArgumentType]
        (lambda: optimizers.Adam(gradient_accumulation_steps=1), "gradient_accumulation_steps=1"),
        (lambda: optimizers.Lion(beta_1=0.0), "beta_1=0.0"),
        (lambda: optimizers.AdamW(weight_decay=None), "weight_decay=None"),  # pyright: ignore[reportArgumentType]
        (lambda: optimizers.get(3), "optimizer=3 is no optimizer"),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(UsageError, match=about):
            make()
    for typed in ("adamm", "adma"):
        with pytest.raises(UnknownNameError, match='did you mean "adam"'):
            optimizers.get(typed)


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

    p.accumulate(np.ones(3, np.float32))
    with pytest.raises(UsageError, match="Bare must define update"):
        Bare().apply(own)


def test_gradients_that_are_given_count_and_not_those_in_the_parameters() -> None:
    one, two = own = parameters((3,), (2,))
    before = [p.numpy().copy() for p in own]
    optimizer = optimizers.SGD(0.5)
    for _ in range(2):
        for p in own:
            p.accumulate(np.full(p.shape, 100, np.float32))
        optimizer.apply([np.ones(3), Tensor(np.ones(2))], own)
        assert one.grad is None and two.grad is None
    optimizer.apply([p.numpy() * 0 + 1 for p in own])
    optimizer.apply_gradients([(np.ones(2), two), (np.ones(3), one)])
    for p, w in zip(own, before, strict=True):
        np.testing.assert_allclose(p.numpy(), w - 2, rtol=1e-6)
    assert views(optimizer)


def test_gradients_that_do_not_fit() -> None:
    one, two, three = parameters((3,), (2,), (1,))
    optimizer = optimizers.SGD(0.5)
    with pytest.raises(UsageError, match="does not know which weights"):
        optimizer.apply([np.ones(3)])
    optimizer.build([one, two])
    for gradients, weights, about in (
        ([np.ones(3)], None, "1 gradients for 2 weights"),
        ([np.ones(3)], [one, two], "1 gradients for 2 weights"),
        ([np.ones(1)], [three], r'"p2" of shape \(1,\) is not among the weights'),
        ([np.ones(2)], [one], r'gradient of "p0" has shape \(2,\), but the weight \(3,\)'),
        ([None], [one], "no weight has a gradient"),
    ):
        with pytest.raises(UsageError, match=about):
            optimizer.apply(gradients, weights)
    with pytest.warns(UserWarning, match="no gradient for p1"):
        optimizer.apply([np.ones(3), None], [one, two])


def test_freezing_and_unfreezing_keep_what_is_known_of_a_weight() -> None:
    one, two = own = parameters((3,), (2,))
    optimizer = optimizers.SGD(0.1, momentum=0.5, use_ema=True)
    for trained in (own, [two], own):
        for p in trained:
            p.accumulate(np.ones(p.shape, np.float32))
        optimizer.apply(trained)
    arrays = optimizer.state()["arrays"]
    np.testing.assert_allclose(arrays["1/velocity"], -0.175, rtol=1e-6)  # three steps
    np.testing.assert_allclose(arrays["0/velocity"], -0.1, rtol=1e-6)  # frozen weights are forgotten
    np.testing.assert_allclose(arrays["0/ema"], 0.99 * (one.numpy() + 0.1) + 0.01 * one.numpy(), rtol=1e-6)


def test_running_means_take_the_weights_place_at_the_end_of_fit() -> None:
    made = model()
    made.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    seen: list[np.ndarray] = []
    optimizer: Any = made.optimizer

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(optimizer._weights.copy())

    made.fit(X, Y, batch_size=4, verbose=0, callbacks=[Watch()])
    mean = seen[0]
    for weights in seen[1:]:
        mean = 0.5 * mean + 0.5 * weights
    np.testing.assert_allclose(optimizer._weights, mean, rtol=1e-5)
    assert (optimizer._weights != seen[-1]).any()
    stranger = parameters((3,))
    with pytest.raises(UsageError, match='no running mean of "p0"'):
        optimizer.finalize_variable_values(stranger)


def test_fit_scales_the_loss_and_apply_the_gradients_back() -> None:
    results = []
    for factor in (None, 1024.0):
        made = model()
        made.set_weights([np.full(w.shape, 0.1) for w in made.weights])
        made.compile(optimizers.SGD(0.1, loss_scale_factor=factor), "mse")
        history = made.fit(X, Y, epochs=3, verbose=0).history["loss"]
        results.append((history, np.concatenate([w.ravel() for w in made.get_weights()])))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])  # 1024 is a power of 2


def test_accumulated_batches_are_as_one() -> None:
    results = []
    for size, count in ((16, None), (4, 4)):
        made = model()
        made.set_weights([np.full(w.shape, 0.1) for w in made.weights])
        made.compile(optimizers.Adam(0.1, gradient_accumulation_steps=count), "mse")
        made.fit(X, Y, batch_size=size, epochs=5, shuffle=False, verbose=0)
        assert made.optimizer is not None and made.optimizer.iterations == 5
        results.append(np.concatenate([w.ravel() for w in made.get_weights()]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_a_step_is_the_same_to_the_bit_for_any_number_of_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    start, gradient = rng.standard_normal((2, 3 * kernels.BLOCK + 1)).astype(np.float32)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GPUDL_NUM_THREADS", threads)
        workers.reset()
        p = Parameter(start.copy())
        optimizer = getattr(optimizers, name)(0.1, weight_decay=0.1, global_clipnorm=0.5, use_ema=True)
        for _ in range(2):
            optimizer.apply([gradient], [p])
        optimizer.finalize_variable_values()
        results.append(p.numpy())
    workers.reset()
    np.testing.assert_array_equal(results[0], results[1])


def test_what_it_holds_can_be_read() -> None:
    own = parameters((3,))
    optimizer = optimizers.Adagrad(0.5, name="mine")
    assert not optimizer.built and repr(optimizer) == 'Adagrad "mine"'
    optimizer.apply([np.full(3, 2.0)], own)
    assert optimizer.built
    read = {v.name: v.numpy() for v in optimizer.variables}
    assert (read["iteration"], read["learning_rate"]) == (1, 0.5)
    np.testing.assert_allclose(read["p0_accumulator"], 4.1, rtol=1e-6)
    assert optimizers.serialize(optimizer)["type"] == "adagrad"
    again = optimizers.get({"class_name": "Adagrad", "config": optimizer.get_config()})
    assert again.get_config() == optimizer.get_config()


def test_schedules_are_found_where_keras_has_them() -> None:
    from gpudl.optimizers.schedules import CosineDecay

    assert CosineDecay is schedules.CosineDecay is optimizers.schedules.CosineDecay
    made = optimizers.schedules.deserialize({"class_name": "CosineDecay", "config": CosineDecay(0.5, 10).get_config()})
    assert optimizers.schedules.serialize(made) == {"type": "cosine_decay", **CosineDecay(0.5, 10).get_config()}
