"""A run that was broken off and goes on decides as one that ran through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpudl import Input, Sequential, layers, optimizers, random
from gpudl.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from gpudl.models.saving import read_file, restore, save_model
from gpudl.models.states import put_back, take_out

RNG = np.random.default_rng(2)
X, Y = RNG.standard_normal((40, 4)).astype(np.float32), RNG.integers(0, 3, 40)
GIVEN: dict[str, Any] = {"epochs": 12, "batch_size": 8, "validation_split": 0.25, "verbose": 0}  # 4 steps an epoch


class Stop(Exception):  # noqa: N818  not an error
    pass


class StopsAtStep(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.model.training_state.step == self.step:
            raise Stop


def make() -> Sequential:
    random.set_random_seed(2)
    model = Sequential([Input(shape=(4,)), layers.Dense(6, activation="tanh"), layers.Dense(3, activation="softmax")])
    model.compile(optimizers.SGD(0.1, momentum=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def several(folder: Path) -> list[Any]:
    return [
        EarlyStopping(patience=4, min_delta=0.01, restore_best_weights=True),
        ModelCheckpoint(folder / "best-{epoch}.safetensors", save_best_only=True),
        ModelCheckpoint(folder / "step-{epoch}-{batch}.safetensors", monitor="loss", save_best_only=True, save_freq=3),
        ReduceLROnPlateau(patience=2, cooldown=2, factor=0.5, min_delta=0.01),
        CSVLogger(folder / "log.csv"),
        TerminateOnNaN(),
    ]


def told(callbacks: list[Any], folder: Path) -> list[Any]:
    """What the callbacks decided, the folder of the files left out."""
    return [[line.replace(str(folder), "") for line in getattr(c, "decisions", [])] for c in callbacks]


@pytest.mark.parametrize("steps", [[1], [7], [16], [21], [29], [5, 6, 18, 30]])
def test_the_same_decisions_after_an_interruption(steps: list[int], tmp_path: Path) -> None:
    whole, callbacks, one = make(), several(tmp_path / "one"), tmp_path / "one"
    history = whole.fit(X, Y, callbacks=callbacks, **GIVEN)
    assert 6 < len(history.epoch) < 12, "it stops early, but late enough"
    assert any("->" in line for line in callbacks[3].decisions)

    other, file, state = tmp_path / "other", tmp_path / "run.safetensors", None
    model = make()
    for step in steps:
        broken = [*several(other), StopsAtStep(step)]
        with pytest.raises(Stop):
            model.fit(X, Y, callbacks=broken, resume=state, **GIVEN)
        save_model(model, file, training=model.training_checkpoint(broken))
        random.set_random_seed(77)
        model, state = restore(file)
    with (other / "log.csv").open("a") if (other / "log.csv").exists() else open(other.parent / "no", "w") as log:
        log.write("99,written after the state was saved\n")
    resumed = several(other)
    again = model.fit(X, Y, callbacks=resumed, resume=state, **GIVEN)

    assert again.history == history.history and again.epoch == history.epoch
    assert told(resumed, other) == told(callbacks, one)
    for mine, value in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, value)
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    assert (one / "log.csv").read_bytes() == (other / "log.csv").read_bytes()


def test_the_rate_of_a_scheduler_after_an_interruption(tmp_path: Path) -> None:
    def schedule(epoch: int, rate: float) -> float:
        return rate * 0.5 if epoch % 3 == 2 else rate

    whole = make()
    history = whole.fit(X, Y, callbacks=[LearningRateScheduler(schedule)], **GIVEN)
    model = make()
    broken = [LearningRateScheduler(schedule), StopsAtStep(18)]
    with pytest.raises(Stop):
        model.fit(X, Y, callbacks=broken, **GIVEN)
    save_model(model, tmp_path / "run.safetensors", training=model.training_checkpoint(broken))
    model, state = restore(tmp_path / "run.safetensors")
    again = model.fit(X, Y, callbacks=[LearningRateScheduler(schedule)], resume=state, **GIVEN)
    assert again.history == history.history


def test_kept_weights_are_tensors_of_the_file(tmp_path: Path) -> None:
    model = make()
    callback = EarlyStopping(restore_best_weights=True, patience=99)
    model.fit(X, Y, callbacks=[callback], **GIVEN)
    save_model(model, tmp_path / "run.safetensors", training=model.training_checkpoint([callback]))
    header, tensors = read_file(tmp_path / "run.safetensors")
    kept = [name for name in tensors if name.startswith("training/callbacks/1/best_weights/")]
    assert len(kept) == 4 and kept[0] in header["sha256"]
    state = restore(tmp_path / "run.safetensors")[1]
    assert state is not None
    fresh = EarlyStopping(restore_best_weights=True)
    fresh.load_state(state["callbacks"][1])
    assert (fresh.best, fresh.best_epoch, fresh.decisions) == (callback.best, callback.best_epoch, callback.decisions)
    for mine, value in zip(fresh.best_weights or [], callback.best_weights or [], strict=True):
        np.testing.assert_array_equal(mine, value, strict=True)


def test_csv_logger_begins_anew_where_its_file_is_gone(tmp_path: Path) -> None:
    model, file = make(), tmp_path / "log.csv"
    broken = [CSVLogger(file), StopsAtStep(9)]
    with pytest.raises(Stop):
        model.fit(X, Y, callbacks=broken, **GIVEN)
    state = model.training_checkpoint(broken)
    file.unlink()
    model.fit(X, Y, callbacks=[CSVLogger(file)], resume=state, **{**GIVEN, "epochs": 4})
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["epoch", "2", "3"]


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3),
    arrays.arrays(st.sampled_from([np.float32, np.int64, np.bool_]), arrays.array_shapes(min_dims=0, min_side=0)),
)  # fmt: skip
KEYS = st.text("abc/", min_size=1, max_size=2)


@settings(max_examples=100)
@given(st.recursive(LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner))))
def test_arrays_are_taken_out_and_put_back(state: Any) -> None:
    def same(one: Any, other: Any) -> None:
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, strict=True)
        elif isinstance(one, dict):
            assert one.keys() == other.keys()
            for key in one:
                same(one[key], other[key])
        elif isinstance(one, list):
            for a, b in zip(one, other, strict=True):
                same(a, b)
        else:
            assert one == other

    tensors: dict[str, np.ndarray] = {}
    same(put_back(take_out(state, "training", tensors), tensors), state)
