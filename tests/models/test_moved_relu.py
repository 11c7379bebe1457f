"""ReLU is made elsewhere than it is written only where nobody can see it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl import Input, Model, layers, ops
from gpudl.autograd import Tensor, listening
from gpudl.testing import check_close

N = 10


def data(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((N, *shape)).astype(np.float32) for shape in shapes]


def test_convolution_and_pooling_are_the_same_where_others_look_in_between() -> None:
    """ReLU and max pooling change places only where nobody can see it."""

    class Doubled(layers.Conv2D):
        def call(self, x: Any) -> Any:
            return 2.0 * super().call(x)

    class Shifted(layers.MaxPooling2D):
        def call(self, x: Any) -> Any:
            return super().call(x) - 1.0

    (image,) = data((6, 6, 1))
    for conv in (
        layers.Conv2D(3, 3, activation="relu"),
        Doubled(3, 3, activation="relu"),
        layers.Activation("relu"),
        layers.Activation("relu", activity_regularizer="l1"),
        layers.ReLU(negative_slope=0.5),
    ):
        for pool, told in (
            (layers.MaxPooling2D(), {}),
            (Shifted(), {}),
            (layers.MaxPooling2D(), {"training": False}),
            (layers.MaxPooling2D(activity_regularizer="l1"), {}),
        ):
            x = Input((6, 6, 1))
            model = Model(x, pool(conv(x), **told))
            check_close("output", np.asarray(model(image)), np.asarray(pool(np.asarray(conv(image)))))
            model.compile("sgd", "mse")
            y = np.zeros(model(image).shape, np.float32)
            expected = float((np.asarray(pool(np.asarray(conv(image)))) ** 2).mean())
            expected += sum(float(penalty) for layer in (conv, pool) for penalty in layer.losses)
            assert model.evaluate(image, y, batch_size=N, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_relu_within_the_layer_before_is_the_same_where_others_look_in_between() -> None:
    """The same bits, loss and gradients as layer by layer, wherever ReLU is made."""

    class Doubled(layers.BatchNormalization):
        def call(self, x: Any, training: bool = False, relu: bool = False) -> Any:
            return 2.0 * super().call(x, training=training, relu=relu)

    image, other = data((6, 6, 3), (6, 6, 3))
    relus = [
        layers.ReLU(),
        layers.Activation("relu"),
        layers.Activation("relu", activity_regularizer="l1"),
        layers.ReLU(negative_slope=0.5),
        layers.Activation("tanh"),
    ]
    befores = [
        layers.BatchNormalization(),
        layers.BatchNormalization(activity_regularizer="l1"),
        Doubled(),
        layers.Add(),
        layers.Add(activity_regularizer="l2"),
        layers.Subtract(),
    ]
    ends = [layers.Flatten, layers.MaxPooling2D]
    for before, relu, end, looks in itertools.product(befores, relus, ends, (False, True)):
        several = isinstance(before, (layers.Add, layers.Subtract))
        told = {} if several else {"training": True}

        def by_layer(
            x: Any, y: Any, last: Any, before: Any = before, relu: Any = relu, several: bool = several, told: Any = told
        ) -> tuple[Any, Any]:
            middle = before([x, y] if several else x, **told)
            return last(relu(middle)), middle

        x, y = Input((6, 6, 3)), Input((6, 6, 3))
        outputs = by_layer(x, y, end())
        model = Model([x, y], list(outputs) if looks else outputs[0])
        found = []
        for call in (lambda a, b, model=model: model([a, b]), lambda a, b, end=end: by_layer(a, b, end())[0]):
            a, b = (Tensor(part, requires_grad=True) for part in (image, other))
            result = call(a, b)
            result = result[0] if isinstance(result, list) else result
            (result * result).sum().backward()
            found.append([np.asarray(part).tobytes() for part in (result, a.grad, b.grad) if part is not None])
        assert found[0] == found[1]
        if before.activity_regularizer is None and relu.activity_regularizer is None:
            continue
        model.compile("sgd", "mse")
        parts = model.predict([image, other], batch_size=N, verbose=0)
        zeros = [np.zeros_like(part) for part in parts] if looks else np.zeros_like(parts)
        loss = model.evaluate([image, other], zeros, batch_size=N, verbose=0)
        loss = loss[0] if isinstance(loss, list) else loss
        plain = sum(float((part**2).mean()) for part in (parts if looks else [parts]))
        by_layer(image, other, end())
        penalties = sum(float(penalty) for layer in (before, relu) for penalty in layer.losses)
        assert loss == pytest.approx(plain + penalties, rel=1e-4) and penalties > 0


@pytest.mark.parametrize(("before", "within"), [(layers.BatchNormalization, "batch_norm"), (layers.Add, "relu_of_sum")])
def test_where_relu_is_made_within_the_layer_before(before: Any, within: str) -> None:
    class Ops:
        def __init__(self) -> None:
            self.names: list[str] = []

        def called(self, op: Any, arrays: Any, settings: Any, result: Any) -> None:
            self.names.append(op.__name__)

        def going_back(self, last: Any, gradient: Any) -> None: ...

    def names(*ends: Any, looks: bool = False) -> list[str]:
        x = Input((6, 6, 3))
        middle = before()([x, x] if before is layers.Add else x)
        y = layers.ReLU()(middle)
        for end in ends:
            y = end(y)
        ops_called = Ops()
        with listening(ops_called):
            Model(x, [y, middle] if looks else y)(data((6, 6, 3))[0])
        return ops_called.names

    assert names() == [within]
    assert "relu" in names(looks=True)
    assert names(layers.MaxPooling2D())[-1] == "relu", "on a quarter of the elements"


def joined_in_many_ways() -> dict[str, Any]:
    """What leads from images x and y to an output, where ReLU may be moved or not; `note` is given all in between."""

    def shared(x: Any, y: Any, note: Any) -> Any:
        norm, relu, add = layers.BatchNormalization(), layers.ReLU(), layers.Add()
        a, b = (note(relu(note(norm(part)))) for part in (x, y))
        return relu(note(add([note(relu(note(add([a, b])))), a])))

    def frozen(x: Any, y: Any, note: Any) -> Any:
        norm = layers.BatchNormalization(trainable=False)
        return layers.ReLU()(note(norm(x)))

    def of_one(x: Any, y: Any, note: Any) -> Any:
        return layers.ReLU()(note(layers.Add()([x])))

    def of_three(x: Any, y: Any, note: Any) -> Any:
        column = note(layers.Dense(1)(x))
        return layers.Activation("relu")(note(layers.Add()([x, column, y])))

    def nested(x: Any, y: Any, note: Any) -> Any:
        inner = Input((6, 6, 3))
        return layers.ReLU()(note(Model(inner, layers.BatchNormalization()(inner))(x)))

    def told(x: Any, y: Any, note: Any) -> Any:
        a = note(layers.BatchNormalization()(x, relu=True))
        return layers.ReLU()(note(layers.Add()([note(layers.ReLU()(a)), y], relu=False)))

    def ops_before_pooling(x: Any, y: Any, note: Any) -> Any:
        return note(layers.MaxPooling2D()(note(ops.relu(x)))) + note(layers.MaxPooling2D()(note(-y)))

    def several_inputs(x: Any, y: Any, note: Any) -> Any:
        norm = note(layers.BatchNormalization()(x))
        return layers.Add()([note(layers.ReLU()(norm)), norm])

    return dict(locals())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("way", joined_in_many_ways())
def test_relu_is_the_same_wherever_it_is_made(way: str, training: bool) -> None:
    x, y = Input((6, 6, 3)), Input((6, 6, 3))
    between: list[Any] = []

    def note(value: Any) -> Any:
        between.append(value)
        return value

    end = joined_in_many_ways()[way](x, y, note)
    images, found = data((6, 6, 3), (6, 6, 3)), []
    for model in (Model([x, y], end), Model([x, y], [end, *between])):
        a, b = (Tensor(part, requires_grad=True) for part in images)
        result = model([a, b], training=training)
        result = result if isinstance(result, Tensor) else result[0]
        (result * result).sum().backward()
        found.append([None if part is None else np.asarray(part).tobytes() for part in (result, a.grad, b.grad)])
    assert found[0] == found[1]


def test_a_relu_that_is_set_otherwise_afterwards() -> None:
    x = Input((6, 6, 3))
    relu, pool = layers.ReLU(), layers.MaxPooling2D()
    model, pooled = Model(x, relu(layers.BatchNormalization()(x))), Model(x, pool(layers.ReLU()(x)))
    (image,) = data((6, 6, 3))
    assert np.asarray(model(image)).min() == 0
    relu.negative_slope = 0.5
    assert np.asarray(model(image)).min() < 0
    pool.activity_regularizer = gpudl.regularizers.get("l1")
    pooled.compile("sgd", "mse")
    parts = np.asarray(pooled(image))
    zeros = np.zeros_like(parts)
    expected = (parts**2).mean() + 0.01 * np.abs(parts).sum() / N
    assert pooled.evaluate(image, zeros, batch_size=N, verbose=0) == pytest.approx(float(expected), rel=1e-4)
