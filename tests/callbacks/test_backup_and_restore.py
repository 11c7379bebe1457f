"""A fit that broke off and is called again ends as one that ran through, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, callbacks, layers, optimizers, random, schedules
from gpudl.callbacks import BackupAndRestore, Callback, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from gpudl.errors import ModelFileError, UsageError

RNG = np.random.default_rng(5)
X = RNG.standard_normal((40, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 40)


class Broken(Exception):  # noqa: N818
    pass


class BreaksOff(Callback):
    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left < 0:
            raise Broken


def model(rate: Any = 0.01, units: int = 6) -> Sequential:
    random.set_random_seed(3)
    made = Sequential(
        [
            Input(shape=(4,)),
            layers.Dense(units, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.4),
            layers.Lambda(lambda x: x * 1.0),  # no file can hold its code, and a backup does not need to
            layers.Dense(3, activation="softmax"),
        ]
    )
    made.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def others() -> list[Callback]:
    return [
        EarlyStopping("val_loss", patience=20, restore_best_weights=True),
        ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.05),
    ]


def fit(made: Sequential, given: list[Callback]) -> Any:
    return made.fit(X, Y, batch_size=8, epochs=6, validation_split=0.2, callbacks=given, verbose=0)  # 4 steps an epoch


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("batches", [0, 3, 4, 9, 23])
@pytest.mark.parametrize("backup_first", [True, False])
def test_training_goes_on_to_the_bit(save_freq: Any, batches: int, backup_first: bool, tmp_path: Path) -> None:
    through = model()
    expected = fit(through, others()).history

    backup = BackupAndRestore(tmp_path / "backup", save_freq)
    with pytest.raises(Broken):
        fit(
            model(),
            [backup, *others(), BreaksOff(batches)] if backup_first else [*others(), BreaksOff(batches), backup],
        )
    assert backup.path.is_file() == (batches >= (4 if save_freq == "epoch" else save_freq))
    again = model()
    random.set_random_seed(99)  # which seed it is, the backup knows
    if not backup.path.is_file():
        random.set_random_seed(3)
    fresh = BackupAndRestore(tmp_path / "backup", save_freq)
    rest = [*others(), BreaksOff(1000)]
    found = fit(again, [fresh, *rest] if backup_first else [*rest, fresh]).history
    assert found == expected
    for mine, other in zip(again.get_weights(), through.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert again.optimizer is not None and through.optimizer is not None
    assert again.optimizer.steps == through.optimizer.steps
    assert not fresh.path.exists(), "it goes when training has ended"


def test_a_scheduler_is_not_applied_twice(tmp_path: Path) -> None:
    def halved(epoch: int, rate: float) -> float:
        return rate * 0.5

    through = model()
    expected = fit(through, [LearningRateScheduler(halved)]).history
    with pytest.raises(Broken):
        fit(model(), [BackupAndRestore(tmp_path), LearningRateScheduler(halved), BreaksOff(9)])
    again = model()
    assert fit(again, [BackupAndRestore(tmp_path), LearningRateScheduler(halved)]).history == expected


def test_with_a_schedule_and_a_file_that_stays(tmp_path: Path) -> None:
    def rate() -> Any:
        return schedules.ExponentialDecay(0.05, 3, 0.7)

    first = model(rate())
    keep = BackupAndRestore(tmp_path, delete_checkpoint=False)
    fit(first, [keep])
    assert keep.path.is_file()
    done = model(rate())
    fit(done, [keep])  # all six epochs are done
    for mine, other in zip(done.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_backup_of_another_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Broken):
        fit(model(), [BackupAndRestore(tmp_path), BreaksOff(9)])
    with pytest.raises(UsageError, match="shape"):
        fit(model(units=7), [BackupAndRestore(tmp_path)])
    path = BackupAndRestore(tmp_path).path
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ModelFileError, match="damaged"):
        fit(model(), [BackupAndRestore(tmp_path)])
    model().save_weights(path)
    with pytest.raises(ModelFileError, match="no training that could go on"):
        fit(model(), [BackupAndRestore(tmp_path)])


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"backup_dir": ""}, "give a folder"),
        *(({"backup_dir": "b", "save_freq": f}, "expected") for f in (0, True, "x")),
    ],
)
def test_arguments(settings: dict[str, Any], about: str) -> None:
    with pytest.raises(UsageError, match=about):
        callbacks.BackupAndRestore(**settings)
