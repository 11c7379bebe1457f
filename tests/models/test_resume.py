"""A run that was broken off and taken up again is equal to one that ran through, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Sequential, layers, optimizers, random, schedules
from gpudl.callbacks import Callback
from gpudl.models.saving import restore, save_model

RNG = np.random.default_rng(5)
X = RNG.standard_normal((50, 6, 6, 1)).astype(np.float32)
Y = RNG.integers(0, 3, 50)
GIVEN: dict[str, Any] = {"batch_size": 8, "epochs": 4, "verbose": 0, "validation_split": 0.2}  # 5 steps an epoch


class Stop(Exception):  # noqa: N818  not an error
    pass


class BreaksOff(Callback):
    """Raises at the n-th occurrence of an event, after 0 others."""

    def __init__(self, event: str, count: int) -> None:
        self.left = count

        def happens(*_: Any, **__: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise Stop

        # Listeners are found on the class.
        self.__class__ = type("BreaksOff", (BreaksOff,), {event: staticmethod(happens)})


class Counts(Callback):
    """Has a state that must not be lost: how many steps there were."""

    def __init__(self) -> None:
        self.steps = 0
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self.losses.append(logs["loss"])

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "losses": self.losses}

    def load_state(self, state: dict[str, Any]) -> None:
        self.steps, self.losses = state["steps"], list(state["losses"])


def make(optimizer: Any) -> Sequential:
    random.set_random_seed(11)
    model = Sequential(
        [
            layers.Input(shape=(6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(momentum=0.7),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(8, activation="tanh"),
            layers.Dropout(0.2, seed=3),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


OPTIMIZERS: dict[str, Any] = {
    "adam": lambda: optimizers.Adam(0.01, amsgrad=True),
    "sgd": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "schedule": lambda: optimizers.Adam(schedules.ExponentialDecay(0.05, 3, 0.7)),
}
MOMENTS = [
    ("on_train_batch_end", 0),
    ("on_train_batch_end", 7),
    ("on_train_batch_end", 9),
    ("on_train_batch_begin", 12),
    ("on_epoch_begin", 1),
    ("on_epoch_end", 1),
]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize(("event", "count"), MOMENTS)
def test_resumed_equals_uninterrupted(name: str, event: str, count: int, tmp_path: Path) -> None:
    whole, counted = make(OPTIMIZERS[name]()), Counts()
    history = whole.fit(X, Y, callbacks=[counted], **GIVEN)

    first, breaks = make(OPTIMIZERS[name]()), Counts()
    callbacks = [breaks, BreaksOff(event, count)]
    with pytest.raises(Stop):
        first.fit(X, Y, callbacks=callbacks, **GIVEN)
    save_model(first, tmp_path / "run.safetensors", training=first.training_checkpoint(callbacks))

    random.set_random_seed(99)  # another process knows nothing of the first
    again, state = restore(tmp_path / "run.safetensors")
    goes_on = Counts()
    resumed = again.fit(X, Y, callbacks=[goes_on], resume=state, **GIVEN)
    for mine, value in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, value)
    assert resumed.history == history.history
    assert resumed.epoch == history.epoch
    assert again.training_state.step == whole.training_state.step == 20
    state_of_both = [model.optimizer.state() for model in (again, whole)]
    assert state_of_both[0].keys() == state_of_both[1].keys()
    assert state_of_both[0]["iterations"] == state_of_both[1]["iterations"]
    assert state_of_both[0]["arrays"].keys() == state_of_both[1]["arrays"].keys()
    for key, array in state_of_both[1]["arrays"].items():
        np.testing.assert_array_equal(state_of_both[0]["arrays"][key], array)
    assert (goes_on.steps, goes_on.losses) == (counted.steps, counted.losses)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_broken_off_during_validation(count: int, tmp_path: Path) -> None:
    """Validation counts with the same metrics as training; the epoch's own sums are not lost in it."""
    whole = make("adam")
    history = whole.fit(X, Y, validation_batch_size=4, **GIVEN)
    first = make("adam")
    callbacks = [BreaksOff("on_test_batch_end", count)]
    with pytest.raises(Stop):
        first.fit(X, Y, callbacks=callbacks, validation_batch_size=4, **GIVEN)
    save_model(first, tmp_path / "run.safetensors", training=first.training_checkpoint(callbacks))
    again, state = restore(tmp_path / "run.safetensors")
    resumed = again.fit(X, Y, resume=state, validation_batch_size=4, **GIVEN)
    assert resumed.history == history.history
    for mine, value in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, value)


def test_interrupted_twice(tmp_path: Path) -> None:
    whole = make("adam")
    history = whole.fit(X, Y, **GIVEN)
    model, state = make("adam"), None
    for count in (6, 5):
        callbacks = [BreaksOff("on_train_batch_end", count)]
        with pytest.raises(Stop):
            model.fit(X, Y, callbacks=callbacks, resume=state, **GIVEN)
        save_model(model, tmp_path / "run.safetensors", training=model.training_checkpoint(callbacks))
        model, state = restore(tmp_path / "run.safetensors")
    resumed = model.fit(X, Y, resume=state, **GIVEN)
    assert resumed.history == history.history
    for mine, value in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, value)


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    runs = []
    for seed in (11, 11, 12):
        model = make("adam")
        random.set_random_seed(seed)
        runs.append(model.fit(X, Y, **GIVEN).history)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_more_epochs_after_a_finished_run(tmp_path: Path) -> None:
    """A checkpoint of a finished run goes on to more epochs as if they had been asked for at once."""
    whole = make("adam")
    history = whole.fit(X, Y, **GIVEN)
    first = make("adam")
    first.fit(X, Y, **{**GIVEN, "epochs": 2})
    save_model(first, tmp_path / "run.safetensors", training=first.training_checkpoint([]))
    again, state = restore(tmp_path / "run.safetensors")
    assert again.fit(X, Y, resume=state, **GIVEN).history == history.history
    for mine, value in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, value)
