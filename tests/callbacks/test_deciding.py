"""Callbacks that decide: what they write down, what they refuse, and where they do better than Keras."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, layers, load_model, metrics, optimizers, schedules
from gpudl.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgbarLogger,
    Progress,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from gpudl.errors import TrainingError, UnknownNameError, UsageError

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, 20)


def make(rate: Any = 0.1, compiled: Any = ("accuracy",)) -> Sequential:
    model = Sequential([Input(shape=(4,)), layers.Dense(2, activation="softmax")])
    model.compile(optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=list(compiled))
    return model


def epochs(callback: Any, values: list[float], name: str = "val_loss", **model: Any) -> Any:
    """Show a callback one value an epoch; return the model it saw."""
    fake: Any = SimpleNamespace(
        optimizer=SimpleNamespace(learning_rate=0.001), stop_training=False, metrics=[], epoch=0, **model
    )
    fake.get_weights = lambda: [np.array(fake.epoch)]
    fake.set_weights = lambda values: setattr(fake, "restored", int(values[0]))
    fake.saved = []
    fake.save = lambda path: fake.saved.append(Path(path).name)
    callback.set_model(fake)
    callback.on_train_begin({})
    for epoch, value in enumerate(values):
        fake.epoch = epoch + 1
        callback.on_epoch_begin(epoch, {})
        callback.on_epoch_end(epoch, {"loss": 1.0, name: value})
        if fake.stop_training:
            break
    callback.on_train_end({})
    return fake


def test_early_stopping_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    callback = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    model = epochs(callback, [0.5, 0.229, 0.3, 0.231, 0.1])
    assert callback.decisions == [
        "early_stopping: epoch 1, val_loss 0.5, best none yet: better",
        "early_stopping: epoch 2, val_loss 0.229, best 0.5: better",
        "early_stopping: epoch 3, val_loss 0.3, best 0.229 at 2, wait 1 of 2: go on",
        "early_stopping: epoch 4, val_loss 0.231, best 0.229 at 2, wait 2 of 2: stop",
        "early_stopping: the weights of epoch 2 are restored",
    ]
    assert capsys.readouterr().out.splitlines() == callback.decisions[-2:]
    assert model.stop_training and model.restored == 2 and callback.stopped_epoch == 3


def test_early_stopping_with_a_baseline_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    callback = EarlyStopping(patience=3, baseline=0.4, verbose=2)
    epochs(callback, [0.5])
    assert callback.decisions == [
        "early_stopping: epoch 1, val_loss 0.5, best none yet: better, but not than the baseline 0.4, wait 1 of 3"
    ]
    assert capsys.readouterr().out.splitlines() == callback.decisions


def test_reduce_lr_on_plateau_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    callback = ReduceLROnPlateau(patience=2, cooldown=2, min_lr=1e-4, verbose=1)
    model = epochs(callback, [0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    assert callback.decisions == [
        "reduce_lr_on_plateau: epoch 2, val_loss 0.3, wait 1 of 2: go on",
        "reduce_lr_on_plateau: epoch 3, val_loss 0.3, wait 2 of 2: learning rate 0.001 -> 0.0001",
        "reduce_lr_on_plateau: epoch 4, val_loss 0.3, cooldown 1: go on",
        "reduce_lr_on_plateau: epoch 5, val_loss 0.3, wait 1 of 2: go on",
        "reduce_lr_on_plateau: epoch 6, val_loss 0.3, wait 2 of 2: learning rate 0.0001 is the smallest allowed",
    ]
    assert capsys.readouterr().out.splitlines() == [callback.decisions[1]]
    assert model.optimizer.learning_rate == pytest.approx(1e-4)


def test_model_checkpoint_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{tmp_path}/deep/best.safetensors"
    callback = ModelCheckpoint(path, save_best_only=True, verbose=1)
    model = epochs(callback, [math.nan, 0.25, 0.21, 0.21])
    assert callback.decisions == [
        "model_checkpoint: epoch 1, val_loss nan, not a number: not saved",
        f"model_checkpoint: epoch 2, val_loss 0.25, the first: saved {path}",
        f"model_checkpoint: epoch 3, val_loss 0.21 better than 0.25: saved {path}",
        "model_checkpoint: epoch 4, val_loss 0.21 not better than 0.21: not saved",
    ]
    assert capsys.readouterr().out.splitlines() == callback.decisions
    assert model.saved == ["best.safetensors"] * 2 and (tmp_path / "deep").is_dir()
    epochs(callback, [0.3])
    assert len(callback.decisions) == 1 and "0.3 not better than 0.21" in callback.decisions[0], "best outlives a fit"


def test_a_first_epoch_without_a_number_does_not_spoil_the_best() -> None:
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    model = epochs(callback, [math.nan, 0.5, 0.4, 0.6, 0.6, 0.6])
    assert (callback.best, callback.best_epoch, callback.stopped_epoch, model.restored) == (0.4, 2, 4, 3)
    rate = ReduceLROnPlateau(patience=2, factor=0.5)
    assert epochs(rate, [math.nan, 0.5, 0.4, 0.3]).optimizer.learning_rate == 0.001
    assert rate.best == 0.3
    nothing = EarlyStopping(patience=2)
    assert epochs(nothing, [math.nan] * 9).stop_training and nothing.stopped_epoch == 1


def test_saving_every_few_batches_only_the_best(tmp_path: Path) -> None:
    callback = ModelCheckpoint(
        tmp_path / "{epoch}-{batch}.safetensors", monitor="loss", save_best_only=True, save_freq=2
    )
    model: Any = SimpleNamespace(saved=[], metrics=[])
    model.save = lambda path: model.saved.append(Path(path).name)
    callback.set_model(model)
    callback.on_train_begin()
    losses = iter([0.9, 0.8, 0.7, 0.9, 0.6, 0.5, 0.4, 0.3])
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            callback.on_train_batch_end(batch, {"loss": next(losses)})
        callback.on_epoch_end(epoch, {"loss": 0.0})
    assert model.saved == ["1-2.safetensors", "2-2.safetensors", "2-4.safetensors"]


def test_whole_models_are_saved_and_come_back(tmp_path: Path) -> None:
    model = make()
    name = "{epoch:02d}-{val_loss:.3f}.safetensors"
    history = model.fit(
        X, Y, epochs=3, validation_split=0.2, callbacks=[ModelCheckpoint(tmp_path / "all" / name)], verbose=0
    )
    names = [f"{i + 1:02d}-{v:.3f}.safetensors" for i, v in enumerate(history.history["val_loss"])]
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == names
    np.testing.assert_array_equal(load_model(tmp_path / "all" / names[-1]).predict(X), model.predict(X))


@pytest.mark.parametrize("callback", [EarlyStopping, ReduceLROnPlateau])
def test_a_name_that_is_not_in_the_logs(callback: Any) -> None:
    with pytest.warns(
        UserWarning, match=r"val_los\" is not in the logs, which have loss, .*; did you mean \"val_loss\""
    ):
        epochs(callback("val_los", mode="min"), [0.5])
    with pytest.warns(UserWarning, match="validation_data"):
        epochs(callback("val_acc", mode="min"), [0.5], name="acc")
    with pytest.warns(UserWarning, match='mode="maxi" is none of "auto", "min", "max".*going on with "auto"'):
        assert callback(mode="maxi").mode == "auto"


@pytest.mark.parametrize("path", ["x.safetensors", "y.keras"])
def test_without_the_name_a_checkpoint_is_saved_all_the_same(path: str, tmp_path: Path) -> None:
    callback = ModelCheckpoint(tmp_path / path, monitor="val_f1", mode="max", save_best_only=True)
    with pytest.warns(UserWarning, match="val_f1"):
        assert epochs(callback, [0.5, 0.5]).saved == [path, path]


def test_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    class Up(metrics.ChosenAccuracy):
        direction = "up"

    class Unknown(metrics.ChosenAccuracy):
        direction = None

    up, unknown = Up(), Unknown()
    callback = EarlyStopping("val_up", patience=1)
    model = make(0.0, [up, unknown])
    up.name, unknown.name = "up", "unknown"
    history = model.fit(X, Y, epochs=9, validation_split=0.3, callbacks=[callback], verbose=0)
    assert history.epoch == [0, 1] and callback._smaller is False
    for monitor, said in (
        ("unknown", 'the metric "unknown" does not say which way is better'),
        ("upp", r'"upp" is neither the loss nor a compiled metric \(up, unknown\); did you mean "up"'),
    ):
        with pytest.raises(UsageError, match=f'early_stopping: monitor="{monitor}".*{said}.*mode="min"'):
            model.fit(X, Y, callbacks=[EarlyStopping(monitor)], verbose=0)
    assert model.history is not None and model.history.epoch == [], "said before the first epoch"


@pytest.mark.parametrize(
    ("make_it", "said"),
    [
        (lambda: ModelCheckpoint("x.h5"), r"files of models end in \.safetensors or \.keras"),
        (lambda: ModelCheckpoint("x.keras", save_weights_only=True), r"end in \.safetensors or \.weights\.h5"),
        (lambda: ModelCheckpoint("x.keras", save_freq=0), "from 1"),
        (lambda: ReduceLROnPlateau(factor=1), "below 1"),
        (lambda: LambdaCallback(on_epoch_ends=print), 'did you mean "on_epoch_end"'),
    ],
)
def test_arguments_that_are_refused(make_it: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_it()


def test_names_in_a_file_path() -> None:
    with pytest.raises(UnknownNameError, match=r"names \{val_acc\}, but there are epoch, accuracy, loss"):
        make().fit(X, Y, callbacks=[ModelCheckpoint("{epoch}-{val_acc}.safetensors")], verbose=0)
    with pytest.raises(UsageError, match="cannot be formatted"):
        make().fit(X, Y, callbacks=[ModelCheckpoint("{loss:q}.safetensors")], verbose=0)


@pytest.mark.parametrize("callback", [ReduceLROnPlateau, lambda: LearningRateScheduler(lambda epoch: 0.1)])
def test_a_schedule_and_a_callback_that_sets_the_rate(callback: Any) -> None:
    model = make(schedules.ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(UsageError, match="follows a schedule, ExponentialDecay"):
        model.fit(X, Y, callbacks=[callback()], verbose=0)


def test_learning_rate_scheduler(capsys: pytest.CaptureFixture[str]) -> None:
    callback = LearningRateScheduler(schedules.ExponentialDecay(0.4, decay_steps=1, decay_rate=0.5), verbose=1)
    history = make().fit(X, Y, epochs=3, callbacks=[callback], verbose=0)
    assert history.history["learning_rate"] == [0.4, 0.2, 0.1]
    assert callback.decisions[1] == "learning_rate_scheduler: epoch 2: learning rate 0.4 -> 0.2"
    assert capsys.readouterr().out.splitlines() == callback.decisions
    with pytest.raises(UsageError, match="returned 1 for epoch 0, expected a float"):
        make().fit(X, Y, callbacks=[LearningRateScheduler(lambda epoch: 1)], verbose=0)  # pyright: ignore


def test_an_error_inside_a_schedule_is_told_as_it_is() -> None:
    def broken(epoch: int, rate: float) -> float:
        return len(epoch) * rate  # pyright: ignore

    with pytest.raises(TypeError, match="has no len"):
        make().fit(X, Y, callbacks=[LearningRateScheduler(broken)], verbose=0)


@pytest.mark.filterwarnings("ignore:fit. .* samples have NaN or infinity:UserWarning")
def test_terminate_on_nan_as_an_error() -> None:
    ended: list[Any] = []
    x = np.full_like(X, np.nan)
    callbacks = [TerminateOnNaN(raise_error=True), LambdaCallback(on_train_end=ended.append)]
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match="batch 1, loss nan"):
        make().fit(x, Y, callbacks=callbacks, verbose=0)
    assert ended == []


def test_what_later_callbacks_add_is_in_the_history() -> None:
    class Adds(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["double"] = 2 * logs["loss"]

    mine = History()
    history = make().fit(X, Y, epochs=3, callbacks=[mine, Adds()], verbose=0).history
    assert history["double"] == [2 * loss for loss in history["loss"]]
    assert mine.history == history


def test_one_line_of_progress_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert ProgbarLogger is Progress
    make().fit(X, Y, epochs=2, callbacks=[ProgbarLogger()], verbose=1)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_csv_logger_makes_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "new" / "log.csv"
    make().fit(X, Y, epochs=2, validation_split=0.2, callbacks=[CSVLogger(file, separator=";")], verbose=0)
    rows = [line.split(";") for line in file.read_text().splitlines()]
    assert rows[0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"] and [r[0] for r in rows[1:]] == [
        "0",
        "1",
    ]


def test_moments_of_an_object_not_only_of_its_class() -> None:
    callback = Callback()
    seen: list[int] = []
    callback.on_batch_end = lambda batch, logs=None: seen.append(batch)  # pyright: ignore
    make().fit(X, Y, batch_size=8, callbacks=[callback], verbose=0)
    assert seen == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().fit(X, Y, callbacks=[EarlyStopping("loss")], verbose=0)
