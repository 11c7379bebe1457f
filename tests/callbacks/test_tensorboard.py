"""TensorBoard: the files are read back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, layers
from gpudl.callbacks import TensorBoard
from gpudl.errors import UsageError

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, 20)


def make() -> Sequential:
    model = Sequential([Input(shape=(4,)), layers.Dense(2, activation="softmax", name="last")], name="net")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def read(folder: Path) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], Any]]:
    """Read the scalars and histograms of event files: length (8 bytes), checksum (4), event, checksum (4), ..."""
    from tensorboardX.proto.event_pb2 import Event

    scalars, histograms = {}, {}
    for file in sorted(folder.glob("events*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])  # pyright: ignore
            at += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars[value.tag, event.step] = value.simple_value
                else:
                    histograms[value.tag, event.step] = value.histo
    return scalars, histograms


def test_scalars_and_histograms_come_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model = make()
    callback = TensorBoard(tmp_path / "logs", histogram_freq=2, update_freq=2, write_steps_per_second=True)
    history = model.fit(X, Y, batch_size=4, epochs=3, validation_split=0.2, callbacks=[callback], verbose=0).history
    assert {p.name for p in (tmp_path / "logs").iterdir()} == {"train", "validation"}
    train, histograms = read(tmp_path / "logs" / "train")
    validation, none = read(tmp_path / "logs" / "validation")
    for epoch in range(3):
        for name in ("loss", "accuracy"):
            assert train[f"epoch_{name}", epoch] == pytest.approx(history[name][epoch])
            assert validation[f"epoch_{name}", epoch] == pytest.approx(history[f"val_{name}"][epoch])
            assert validation[f"evaluation_{name}_vs_iterations", 4 * (epoch + 1)] == pytest.approx(
                history[f"val_{name}"][epoch]
            )
        assert train["epoch_learning_rate", epoch] == pytest.approx(0.01)
        assert train["epoch_steps_per_second", epoch] > 0
    batches = [step for tag, step in train if tag == "batch_loss"]
    assert batches == [2, 4, 6, 8, 10, 12]
    assert train["batch_loss", 12] == pytest.approx(history["loss"][2])
    assert set(histograms) == {(f"net/last/{w}/histogram", epoch) for w in ("kernel", "bias") for epoch in (0, 2)}
    kernel = model.layers[-1].weights[0].numpy()
    assert histograms["net/last/kernel/histogram", 2].sum == pytest.approx(kernel.sum(), abs=1e-5)
    assert none == {}

    model.evaluate(X, Y, callbacks=[callback], verbose=0)
    callback.on_train_end()
    again = read(tmp_path / "logs" / "validation")[0]
    assert again.keys() == validation.keys() and again != validation


def test_batches_go_on_counting_after_an_interruption(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model, first = make(), TensorBoard(tmp_path, update_freq="batch")
    model.fit(X, Y, batch_size=10, epochs=1, callbacks=[first], verbose=0)
    state, second = model.training_checkpoint([first]), TensorBoard(tmp_path, update_freq="batch")
    model.fit(X, Y, batch_size=10, epochs=2, callbacks=[second], resume=state, verbose=0)
    assert sorted(step for tag, step in read(tmp_path / "train")[0] if tag == "batch_loss") == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:fit. .* samples have NaN or infinity:UserWarning")
def test_weights_that_are_no_numbers_do_not_break_a_histogram(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model, x = make(), X.copy()
    x[0] = np.nan
    with np.errstate(all="ignore"):
        model.fit(x, Y, callbacks=[TensorBoard(tmp_path, histogram_freq=1)], verbose=0)
    assert read(tmp_path / "train")[1] == {}


def test_without_tensorboardx_it_is_said_before_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    model, callback = make(), TensorBoard(tmp_path)
    with pytest.raises(UsageError, match=r'pip install "gpudl\[tensorboard\]"'):
        model.fit(X, Y, callbacks=[callback], verbose=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        {"write_images": True},
        {"profile_batch": 2},
        {"embeddings_freq": 1},
        {"embeddings_metadata": "x"},
        {"update_freq": 0},
        {"update_freq": "often"},
    ],
)
def test_what_is_not_there_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"TensorBoard\({next(iter(arguments))}="):
        TensorBoard(**arguments)
