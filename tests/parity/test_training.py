"""Whole models trained beside Keras: losses of each step, weights at the end, history, and the order of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpudl
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

CLOSE = 1e-4


def cnn(of: Any, input: Any, last: str | None = "softmax", regularizer: Any = None) -> list[Any]:
    return [
        input,
        of.Rescaling(0.5, offset=0.1),
        of.Conv2D(4, 3, padding="same", activation="relu", kernel_regularizer=regularizer),
        of.BatchNormalization(momentum=0.8),
        of.MaxPooling2D(),
        of.Conv2D(6, 3, strides=2, use_bias=False),
        of.Activation("tanh"),
        of.AveragePooling2D(2, strides=1, padding="valid"),
        of.Flatten(),
        of.Dense(8, activation="sigmoid", kernel_regularizer=regularizer, bias_regularizer=regularizer),
        of.Dense(3, activation=last),
    ]


def mlp(of: Any, input: Any, last: str | None = "softmax", units: int = 3, regularizer: Any = None) -> list[Any]:
    return [
        input,
        of.Dense(7, activation="tanh", kernel_regularizer=regularizer),
        of.BatchNormalization(momentum=0.9),
        of.Dense(units, activation=last),
    ]


@pytest.fixture(scope="module")
def pair(keras: Any) -> Callable[..., tuple[Any, Any]]:
    """Build one model in both, with the same weights."""

    def build(make: Callable[..., list[Any]], shape: tuple[int, ...], **arguments: Any) -> tuple[Any, Any]:
        gpudl.utils.set_random_seed(0)
        ours = gpudl.Sequential(make(gpudl.layers, gpudl.Input(shape=shape), **arguments))
        theirs = keras.Sequential(make(keras.layers, keras.Input(shape=shape), **arguments))
        theirs.set_weights(ours.get_weights())
        return ours, theirs

    return build


def samples(n: int, shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (rng.standard_normal((n, *shape)) + 0.5 * y.reshape(-1, *(1 for _ in shape))).astype(np.float32), y


def same_history(ours: Any, theirs: Any) -> None:
    assert set(ours.history) == set(theirs.history)
    assert ours.epoch == theirs.epoch
    for name, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[name], values, rtol=CLOSE, atol=1e-6, err_msg=name)


def same_weights(ours: Any, theirs: Any) -> None:
    for weight, value in zip(ours.weights, theirs.get_weights(), strict=True):
        check_close(weight.name, weight.numpy(), value, CLOSE, scale=max(1.0, float(np.abs(value).max())))


@pytest.mark.parametrize(
    ("optimizer", "arguments"),
    [
        ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"learning_rate": 0.001}),
        ("RMSprop", {"learning_rate": 0.001}),
    ],
)
def test_twenty_steps_of_a_cnn(keras: Any, pair: Any, optimizer: str, arguments: dict[str, Any]) -> None:
    ours, theirs = pair(cnn, (13, 13, 2))
    x, y = samples(160, (13, 13, 2))
    losses: dict[str, list[float]] = {"ours": [], "theirs": []}

    def note(base: Any, where: list[float]) -> Any:
        class Note(base):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                where.append(float(logs["loss"]))

        return Note()

    for model, of in ((ours, gpudl), (theirs, keras)):
        made = getattr(of.optimizers, optimizer)(**arguments)
        model.compile(made, "sparse_categorical_crossentropy", metrics=["accuracy"])
    settings: dict[str, Any] = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    mine = ours.fit(x, y, callbacks=[note(gpudl.callbacks.Callback, losses["ours"])], **settings)
    other = theirs.fit(x, y, callbacks=[note(keras.callbacks.Callback, losses["theirs"])], **settings)
    assert len(losses["ours"]) == 20
    np.testing.assert_allclose(losses["ours"], losses["theirs"], rtol=CLOSE)
    same_history(mine, other)
    same_weights(ours, theirs)
    check_close("predictions", ours.predict(x, verbose=0), theirs.predict(x, verbose=0), CLOSE)
    assert losses["ours"][-1] < losses["ours"][0]


X, Y = samples(43, (5,))
ONE_HOT = np.eye(3, dtype=np.float32)[Y]
WEIGHT = np.random.default_rng(1).choice([0.0, 0.5, 2.0], 43).astype(np.float32)
X_VAL, Y_VAL = samples(21, (5,), seed=2)
W_VAL = np.random.default_rng(3).choice([0.0, 0.5, 2.0], 21).astype(np.float32)

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}, {}),
    "default batch size": ({}, {}, {"batch_size": None}),
    "validation split": ({}, {}, {"validation_split": 0.3}),
    "validation data": ({}, {}, {"validation_data": (X_VAL, Y_VAL)}),
    "validation batches": ({}, {}, {"validation_data": (X_VAL, Y_VAL), "validation_batch_size": 4}),
    "validation steps": (
        {},
        {},
        {"validation_data": (X_VAL, Y_VAL), "validation_batch_size": 4, "validation_steps": 2},
    ),
    "validation every second epoch": ({}, {}, {"validation_data": (X_VAL, Y_VAL), "validation_freq": 2}),
    "validation in given epochs": ({}, {}, {"validation_data": (X_VAL, Y_VAL), "validation_freq": [1, 3]}),
    "weighted validation": ({}, {}, {"validation_data": (X_VAL, Y_VAL, W_VAL)}),
    "sample weights": ({}, {}, {"sample_weight": WEIGHT}),
    "sample weights, split": ({}, {}, {"sample_weight": WEIGHT, "validation_split": 0.25}),
    "class weights": ({}, {}, {"class_weight": {0: 0.5, 1: 3.0, 2: 1.0}, "validation_split": 0.25}),
    "steps per epoch": ({}, {}, {"steps_per_epoch": 3, "epochs": 1}),
    "initial epoch": ({}, {}, {"initial_epoch": 1}),
    "penalties": ({"regularizer": "l2"}, {}, {"validation_split": 0.3}),
    "both penalties": ({"regularizer": "L1L2"}, {}, {"validation_split": 0.3, "sample_weight": WEIGHT}),
    "one-hot": ({}, {"loss": "categorical_crossentropy"}, {"y": ONE_HOT, "validation_split": 0.3}),
    "one-hot class weights": (
        {},
        {"loss": "categorical_crossentropy"},
        {"y": ONE_HOT, "class_weight": {0: 0.5, 1: 3.0, 2: 1.0}},
    ),
    "labels in a column": ({}, {}, {"y": Y[:, None], "validation_split": 0.3}),
    "binary": (
        {"units": 1, "last": "sigmoid"},
        {"loss": "binary_crossentropy"},
        {"y": (Y > 0).astype(np.float32), "validation_split": 0.3},
    ),
    "binary, integers, class weights": (
        {"units": 1, "last": "sigmoid"},
        {"loss": "binary_crossentropy"},
        {"y": (Y > 0).astype(np.int64), "class_weight": {0: 2.0, 1: 0.5}},
    ),
    "many yes or no": (
        {"last": "sigmoid"},
        {"loss": "binary_crossentropy"},
        {"y": (ONE_HOT + np.roll(ONE_HOT, 1, axis=0) > 0).astype(np.float32)},
    ),
    "regression": (
        {"units": 1, "last": None},
        {"loss": "mse", "metrics": ["mse"]},
        {"y": X.sum(axis=1), "validation_split": 0.3},
    ),
    "regression of several": (
        {"last": None},
        {"loss": "mean_squared_error", "metrics": ["mean_squared_error"]},
        {"y": X[:, :3], "sample_weight": WEIGHT},
    ),
    "no metrics": ({}, {"metrics": None}, {"validation_split": 0.3}),
    "metrics by several names": (
        {},
        {"metrics": ["acc", "sparse_categorical_accuracy"]},
        {"validation_split": 0.3},
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_history(pair: Any, case: str) -> None:
    """43 samples in batches of 8: the last one is partial. Three epochs."""
    model, how, given = CASES[case]
    ours, theirs = pair(mlp, (5,), **model)
    how = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "optimizer": "sgd", **how}
    ours.compile(**how)
    theirs.compile(**how)
    given = {"x": X, "y": Y, "batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0, **given}
    mine = ours.fit(**given)
    same_history(mine, theirs.fit(**given))
    same_weights(ours, theirs)
    y = given["y"]
    for arguments in ({}, {"batch_size": 10}, {"sample_weight": WEIGHT}, {"steps": 1, "batch_size": 10}):
        expected = theirs.evaluate(X, y, verbose=0, **arguments)
        np.testing.assert_allclose(ours.evaluate(X, y, verbose=0, **arguments), expected, rtol=CLOSE, atol=1e-6)
        assert np.shape(ours.evaluate(X, y, verbose=0, **arguments)) == np.shape(expected)
        by_name = ours.evaluate(X, y, verbose=0, return_dict=True, **arguments)
        assert sorted(by_name) == sorted(theirs.evaluate(X, y, verbose=0, return_dict=True, **arguments))


def test_short_epochs_go_on_where_the_last_one_stopped(pair: Any) -> None:
    ours, theirs = pair(mlp, (5,))
    for model in (ours, theirs):
        model.compile("sgd", "sparse_categorical_crossentropy")
    given: dict[str, Any] = {"epochs": 2, "steps_per_epoch": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
    same_history(ours.fit(X, Y, **given), theirs.fit(X, Y, **given))


def test_logits(keras: Any, pair: Any) -> None:
    ours, theirs = pair(mlp, (5,), last=None)
    ours.compile("sgd", gpudl.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    theirs.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    given: dict[str, Any] = {"epochs": 3, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    same_history(ours.fit(X, Y, **given), theirs.fit(X, Y, **given))
    same_weights(ours, theirs)


def test_frozen_layers(pair: Any) -> None:
    """Weights and statistics of what is frozen stay; a penalty on frozen weights does not count."""
    ours, theirs = pair(mlp, (5,), regularizer="l2")
    for model in (ours, theirs):
        for layer in model.layers[:2]:
            layer.trainable = False
        model.compile("sgd", "sparse_categorical_crossentropy")
    before = ours.get_weights()
    given: dict[str, Any] = {"epochs": 2, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    same_history(ours.fit(X, Y, **given), theirs.fit(X, Y, **given))
    same_weights(ours, theirs)
    for weight, value in zip(ours.get_weights()[:6], before[:6], strict=True):
        np.testing.assert_array_equal(weight, value)
    assert (ours.get_weights()[6] != before[6]).any()


def test_a_schedule(keras: Any, pair: Any) -> None:
    ours, theirs = pair(mlp, (5,))
    arguments = {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5}
    ours.compile(gpudl.optimizers.SGD(gpudl.schedules.ExponentialDecay(**arguments)), "sparse_categorical_crossentropy")
    theirs.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(**arguments)),
        "sparse_categorical_crossentropy",
    )
    given: dict[str, Any] = {"epochs": 3, "shuffle": False, "verbose": 0, "batch_size": 16}
    same_history(ours.fit(X, Y, **given), theirs.fit(X, Y, **given))
    same_weights(ours, theirs)


def test_fitting_twice_goes_on_with_the_optimizer(pair: Any) -> None:
    ours, theirs = pair(mlp, (5,))
    for model in (ours, theirs):
        model.compile("adam", "sparse_categorical_crossentropy")
    given: dict[str, Any] = {"epochs": 2, "shuffle": False, "verbose": 0}
    for _ in range(2):
        same_history(ours.fit(X, Y, **given), theirs.fit(X, Y, **given))
    same_weights(ours, theirs)


EVENTS = [
    f"on_{what}{when}"
    for what in ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("_begin", "_end")
]


def recorder(base: Any, stop_at: tuple[str, int] | None = None) -> Any:
    """Note every event with its number and the names in its logs; where both have logs, they must be the same."""
    events: list[tuple[str, Any, list[str]]] = []

    def note(event: str) -> Any:
        def method(self: Any, *arguments: Any, logs: Any = None) -> None:
            number = arguments[0] if arguments and isinstance(arguments[0], int) else None
            given = logs if logs is not None else next((a for a in arguments if not isinstance(a, int)), None)
            events.append((event, number, sorted(given or {})))
            if stop_at == (event, number):
                self.model.stop_training = True

        return method

    made = type("Recorder", (base,), {event: note(event) for event in EVENTS})()
    return made, events


@pytest.mark.parametrize(
    "stop_at", [None, ("on_train_batch_end", 1), ("on_epoch_end", 1), ("on_epoch_begin", 1), ("on_train_begin", None)]
)
@pytest.mark.parametrize("validation", [{}, {"validation_split": 0.3}, {"validation_split": 0.3, "validation_freq": 2}])
def test_events(keras: Any, pair: Any, validation: dict[str, Any], stop_at: Any) -> None:
    ours, theirs = pair(mlp, (5,))
    recorded = []
    for model, base in ((ours, gpudl.callbacks.Callback), (theirs, keras.callbacks.Callback)):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        callback, events = recorder(base, stop_at)
        model.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=[callback], **validation)
        model.evaluate(X, Y, batch_size=16, verbose=0, callbacks=[callback])
        model.predict(X, batch_size=16, verbose=0, callbacks=[callback])
        recorded.append(events)
    mine, other = recorded
    assert [(event, number) for event, number, _ in mine] == [(event, number) for event, number, _ in other]
    for (event, number, names), (_, _, expected) in zip(mine, other, strict=True):
        if event in ("on_epoch_end", "on_train_end", "on_test_end"):
            assert names == expected, (event, number)
        elif event in ("on_train_batch_end", "on_test_batch_end"):
            assert set(names) >= set(expected), (event, number)


def test_params_of_callbacks(keras: Any, pair: Any) -> None:
    ours, theirs = pair(mlp, (5,))
    found = []
    for model, base in ((ours, gpudl.callbacks.Callback), (theirs, keras.callbacks.Callback)):
        model.compile("sgd", "sparse_categorical_crossentropy")
        callback = base()
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
        found.append(dict(callback.params))
        assert callback.model is model
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 2, "validation_split": 1.0},
        {"epochs": 2, "validation_split": 0.999},
        {"epochs": 2, "y": Y[:-1]},
        {"epochs": 2, "sample_weight": WEIGHT[:-1]},
        {"epochs": 2, "validation_data": (X_VAL, Y_VAL[:-1])},
        {"epochs": 2, "validation_data": X_VAL},
        {"epochs": 2, "nonsense": 1},
    ],
)
def test_arguments_of_fit_that_keras_refuses_are_refused(pair: Any, bad: dict[str, Any]) -> None:
    ours, theirs = pair(mlp, (5,))
    for model in (theirs, ours):
        model.compile("sgd", "sparse_categorical_crossentropy")
        with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
            model.fit(**{"x": X, "y": Y, "verbose": 0, **bad})
