"""Callbacks: when they are called, with what, and what the built-in ones do."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gpudl import Input, Sequential, layers, optimizers
from gpudl.callbacks import Callback, CallbackList, History, Progress, TerminateOnNaN
from gpudl.callbacks.base import EVENTS
from gpudl.callbacks.progress import _Line, written

X = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, 20)


def make(rate: float = 0.1) -> Sequential:
    model = Sequential([Input(shape=(4,)), layers.Dense(2, activation="softmax")])
    model.compile(optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def recorder() -> tuple[Callback, list[tuple[Any, ...]]]:
    events: list[tuple[Any, ...]] = []

    def note(event: str) -> Any:
        return lambda self, *arguments: events.append((event, *arguments))

    return type("Recorder", (Callback,), {event: note(event) for event in EVENTS})(), events


def test_the_order_of_events() -> None:
    callback, events = recorder()
    model = make()
    model.fit(X, Y, batch_size=8, epochs=2, validation_split=0.2, callbacks=[callback], verbose=0)
    of_epoch = [
        *[f"on_train_batch_{when}" for _ in range(2) for when in ("begin", "end")],
        "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end",
    ]  # fmt: skip
    once = ["on_epoch_begin", *of_epoch, "on_epoch_end"]
    assert [event for event, *_ in events] == ["on_train_begin", *once, *once, "on_train_end"]
    assert [n for event, n, _ in (e for e in events if e[0] == "on_train_batch_end") if event] == [0, 1, 0, 1]
    assert [e[1] for e in events if e[0].startswith("on_epoch")] == [0, 0, 1, 1]
    ends = [dict(e[2]) for e in events if e[0] == "on_epoch_end"]
    assert list(ends[0]) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert dict(events[-1][1]) == ends[-1]
    assert callback.params == {"epochs": 2, "steps": 2, "verbose": 0}
    events.clear()
    model.predict(X, batch_size=15, callbacks=[callback])
    batches = ["on_predict_batch_begin", "on_predict_batch_end"] * 2
    assert [event for event, *_ in events] == ["on_predict_begin", *batches, "on_predict_end"]


def test_logs_of_a_batch_are_the_mean_since_the_epoch_began() -> None:
    model, found = make(rate=0.0), []

    class Reads(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            found.append((logs["loss"], logs["accuracy"], logs.get("nothing")))

    p = model.predict(X)[np.arange(20), Y]
    model.fit(X, Y, batch_size=8, shuffle=False, callbacks=[Reads()], verbose=0)
    np.testing.assert_allclose([loss for loss, _, _ in found], [-np.log(p[:n]).mean() for n in (8, 16, 20)], rtol=1e-5)
    np.testing.assert_allclose([a for _, a, _ in found], [(p[:n] > 0.5).mean() for n in (8, 16, 20)])
    assert {nothing for _, _, nothing in found} == {None}


def test_only_overridden_moments_are_listened_to() -> None:
    callbacks = CallbackList([History(), TerminateOnNaN()], None, {})
    assert [len(callbacks._listeners[e]) for e in ("on_train_begin", "on_train_batch_end", "on_test_begin")] == [
        2,
        1,
        0,
    ]


@pytest.mark.parametrize(("event", "steps"), [("on_train_batch_end", 2), ("on_epoch_end", 3)])
def test_stop_training(event: str, steps: int) -> None:
    done: list[int] = []

    def stop(self: Any, number: int, logs: Any = None) -> None:
        if event == "on_epoch_end" or number == 1:
            self.model.stop_training = True

    class Counts(Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            done.append(batch)

    history = make().fit(
        X, Y, batch_size=8, epochs=5, callbacks=[type("Stops", (Callback,), {event: stop})(), Counts()], verbose=0
    )
    assert len(done) == steps and history.epoch == [0]
    model = make()
    model.stop_training = True
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1], "fit begins anew"


def test_history() -> None:
    model = make()
    history = model.fit(X, Y, epochs=3, verbose=0)
    assert model.history is history and history.epoch == [0, 1, 2]
    assert {name: len(values) for name, values in history.history.items()} == {"loss": 3, "accuracy": 3}
    assert all(type(v) is float for values in history.history.values() for v in values)
    copy = History()
    copy.load_state(history.state())
    assert (copy.epoch, copy.history) == (history.epoch, history.history)
    copy.history["loss"].append(0.0)
    assert len(history.history["loss"]) == 3
    assert model.fit(X, Y, epochs=1, verbose=0).epoch == [0]


@pytest.mark.filterwarnings("ignore:fit. .* samples have NaN or infinity:UserWarning")
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_terminate_on_nan(poison: float, capsys: pytest.CaptureFixture[str]) -> None:
    x = X.copy()
    x[9] = poison
    batches: list[int] = []

    class Counts(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            batches.append(batch)

    with np.errstate(all="ignore"):
        history = make().fit(
            x, Y, batch_size=4, epochs=3, shuffle=False, callbacks=[TerminateOnNaN(), Counts()], verbose=0
        )
    assert batches == [0, 1, 2] and history.epoch == [0]
    assert "batch 3" in capsys.readouterr().out


def test_terminate_on_nan_lets_finite_losses_be() -> None:
    assert make().fit(X, Y, epochs=3, callbacks=[TerminateOnNaN()], verbose=0).epoch == [0, 1, 2]


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_progress_prints_one_line_an_epoch_where_there_is_no_terminal(
    verbose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    history = make().fit(X, Y, epochs=10, validation_split=0.2, verbose=verbose).history
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    for i, line in enumerate(lines):
        assert re.match(rf"epoch {i + 1:>2}/10  loss ", line)
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert written(name, history[name][i]) in line
        assert re.search(r"\d\.\d s$", line)


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    make().fit(X, Y, epochs=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_progress_shows_a_bar_in_a_terminal_and_takes_it_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")

    class Fails(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        make().fit(X, Y, epochs=2, callbacks=[Fails()], verbose=1)
    text = capsys.readouterr().out
    assert "━" in text and "epoch 1/2" in text
    assert text.count("\x1b[?25h") == text.count("\x1b[?25l") > 0, "the cursor is shown again"


@pytest.mark.parametrize(
    ("steps", "draws", "wanted"),
    [
        (1000, [], "    0/1000 --:--"),
        (1000, [(100, 50.0)], "  100/1000 --:-- loss 0.5"),
        (1000, [(100, 50.0), (350, 55.0)], "  350/1000 00:13 loss 0.5"),  # 50 steps a second from the 100th on
        (9, [(1, 0.0), (2, 600.0)], " 2/9 1:10:00 loss 0.5"),
        (None, [(1, 0.0), (12, 1.0)], " 12/?  loss 0.5"),
    ],
)
def test_the_bar_counts_and_tells_the_time_left(steps: Any, draws: Any, wanted: str) -> None:
    line = _Line("epoch 1/3", steps)
    for done, now in draws:
        line.advance(done, "loss 0.5", now)
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(line)
    text = capture.get()
    bar, rest = text.removeprefix("epoch 1/3 ")[:30], text.removeprefix("epoch 1/3 ")[30:]
    assert rest.rstrip() == wanted
    filled = 30 * draws[-1][0] // steps if steps and draws else 0
    assert bar == "━" * filled + "─" * (30 - filled)


def test_written() -> None:
    assert written("loss", 0.12345678) == "loss 0.1235"
    assert written("loss", 1e-5) == "loss 1.00e-05"
    assert written("loss", 0.0) == "loss 0.0000"
    assert written("loss", float("nan")) == "loss nan" or "nan" in written("loss", float("nan"))


def test_progress_can_be_given_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    make().fit(X, Y, epochs=1, callbacks=[Progress(2)], verbose=0)
    assert capsys.readouterr().out.startswith("epoch 1/1")
