"""Callbacks beside Keras's: driven through the same epochs, they decide the same.

gpudl differs on purpose in three places: a NaN is never the best value; an integer `save_freq` works together with
`save_best_only`; and states survive a resume. In the first two, the cases that meet them are compared with a Keras
that has been mended there, and are not counted in the score.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gpudl

pytestmark = pytest.mark.parity

Epochs = list[dict[str, float]]

ROUND = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, -0.1])  # ties, and sums that round
VALUES = st.one_of(ROUND, ROUND, st.floats(), st.sampled_from([math.nan, math.inf, -math.inf]))
DIRECTIONS = {"acc": "up", "mae": "down", "odd": None}
NAMES = ("loss", *DIRECTIONS)
MONITORS = st.sampled_from(["loss", "val_loss", "acc", "val_acc", "mae", "val_mae", "odd", "val_odd", "los", "val_acd"])
MODES = st.sampled_from(["auto", "auto", "auto", "min", "max", "maximum"])


@st.composite
def runs(draw: st.DrawFn) -> Epochs:
    """The logs of some epochs; validation may be left out of an epoch, and single names as well."""
    epochs = []
    for _ in range(draw(st.integers(1, 8))):
        logs = {name: draw(VALUES) for name in NAMES}
        if draw(st.integers(0, 4)):
            logs.update({f"val_{name}": draw(VALUES) for name in NAMES})
        if not draw(st.integers(0, 9)):
            del logs[draw(st.sampled_from(sorted(logs)))]
        epochs.append(logs)
    return epochs


class Fake:
    """As much of a model as callbacks use; it notes what they do to it."""

    def __init__(self, metrics: list[Any], rate: float = 0.1) -> None:
        self.metrics = metrics
        self.optimizer = SimpleNamespace(learning_rate=rate, iterations=0)
        self.stop_training = False
        self.weights = 0
        self.done: list[tuple[str, Any]] = []

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.weights)]

    def set_weights(self, values: list[np.ndarray]) -> None:
        self.done.append(("weights", int(values[0])))

    def save(self, path: str, overwrite: bool = True) -> None:
        self.done.append(("model", path))

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.done.append(("weights only", path))


@pytest.fixture(scope="module")
def fakes(keras: Any) -> Callable[..., tuple[Fake, Fake]]:
    """A fake model for each side, with metrics that say their direction as each side does."""
    from keras.src.trainers.compile_utils import MetricsList

    def make(rate: float = 0.1) -> tuple[Fake, Fake]:
        ours = [SimpleNamespace(name=name, direction=direction) for name, direction in DIRECTIONS.items()]
        theirs = [
            SimpleNamespace(name=name, **({} if direction is None else {"_direction": direction}))
            for name, direction in DIRECTIONS.items()
        ]
        return Fake(ours, rate), Fake([MetricsList(theirs)], rate)

    return make


@contextlib.contextmanager
def counting() -> Iterator[list[Any]]:
    """Collect warnings instead of failing at them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def drive(callback: Any, model: Fake, epochs: Epochs, look: Callable[[], Any], steps: int = 0) -> list[Any]:
    """Run a callback as fit would; return what `look` saw after each epoch, the warnings, and the error if any."""
    seen: list[Any] = []
    with counting() as caught:
        try:
            callback.set_model(model)
            callback.on_train_begin({})
            for number, logs in enumerate(epochs):
                callback.on_epoch_begin(number, {})
                for batch in range(steps):
                    of_batch = {name: logs[name] for name in NAMES if name in logs}
                    callback.on_train_batch_begin(batch, {})
                    callback.on_train_batch_end(batch, of_batch)
                    seen.append((number, batch, model.stop_training))
                    if model.stop_training:
                        break
                model.weights = number + 1
                logs = dict(logs)
                callback.on_epoch_end(number, logs)
                seen.append((number, look(), logs.get("learning_rate"), model.stop_training, len(caught)))
                if model.stop_training:
                    break
            callback.on_train_end({})
        except (ValueError, TypeError, KeyError, RuntimeError, gpudl.errors.GpudlError):
            return ["error"]
    return [*seen, model.done]


def same(ours: Any, theirs: Any) -> None:
    """NaN equals NaN; an error on both sides is equal, whenever it came."""
    if ours and theirs and ours[-1] == theirs[-1] == "error":
        return
    assert repr(ours) == repr(theirs)


def never_better_than_nothing(callback: Any) -> list[bool]:
    """Mend Keras: a NaN does not become the best value. Return a list that is filled once that made a difference."""
    original, met = callback._is_improvement, []

    def is_improvement(value: float, reference: float | None) -> bool:
        if reference is None and math.isnan(value):
            met.append(True)
            return False
        return bool(original(value, reference))

    callback._is_improvement = is_improvement
    return met


def made(of: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Make a callback; None where the arguments are refused. Warnings of the constructor are counted by the caller."""
    try:
        return getattr(of.callbacks, name)(**arguments)
    except ValueError:
        return None


def compare(
    score: Any,
    keras: Any,
    fakes: Any,
    name: str,
    arguments: dict[str, Any],
    epochs: Epochs,
    look: Callable[[Any], Any],
    mend: Callable[[Any], list[bool]] = never_better_than_nothing,
    fits: int = 1,
    **how: Any,
) -> None:
    """Drive one callback on both sides, through one or several fits."""
    with counting() as caught:
        ours = made(gpudl, name, arguments)
        ours_warned = len(caught)
        theirs = made(keras, name, arguments)
        assert len(caught) == 2 * ours_warned
        met: list[bool] = []
        if theirs is not None:
            probe = made(keras, name, arguments)
            met = mend(probe)
            drive_all(probe, fakes, 1, epochs, look, fits, how)
    with contextlib.nullcontext() if met else score("callback", name):
        assert (ours is None) == (theirs is None)
        if ours is None or theirs is None:
            return
        if met:
            mend(theirs)
        same(drive_all(ours, fakes, 0, epochs, look, fits, how), drive_all(theirs, fakes, 1, epochs, look, fits, how))


def drive_all(callback: Any, fakes: Any, side: int, epochs: Epochs, look: Any, fits: int, how: Any) -> list[Any]:
    seen: list[Any] = []
    for _ in range(fits):
        seen += drive(callback, fakes()[side], epochs, lambda: look(callback), **how)
        if seen[-1] == "error":
            break
    return seen


@settings(max_examples=120)
@given(
    epochs=runs(),
    fits=st.integers(1, 2),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "monitor": MONITORS,
            "min_delta": st.sampled_from([0, 0.1, -0.1, 0.2, 1]),
            "patience": st.integers(0, 3),
            "mode": MODES,
            "baseline": st.one_of(st.none(), ROUND),
            "restore_best_weights": st.booleans(),
            "start_from_epoch": st.integers(0, 3),
        },
    ),
)
@example(epochs=[{"val_loss": math.nan}, {"val_loss": 1.0}], fits=1, arguments={})
@example(epochs=[{"acc": 0.3}, {"acc": 0.4}], fits=1, arguments={"monitor": "acc", "min_delta": 0.1})
def test_early_stopping(
    score: Any, keras: Any, fakes: Any, epochs: Epochs, fits: int, arguments: dict[str, Any]
) -> None:
    def look(callback: Any) -> Any:
        kept = callback.best_weights and int(callback.best_weights[0])
        return callback.wait, callback.best, callback.best_epoch, callback.stopped_epoch, kept

    compare(score, keras, fakes, "EarlyStopping", arguments, epochs, look, fits=fits)


@settings(max_examples=120)
@given(
    epochs=runs(),
    fits=st.integers(1, 2),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "monitor": st.one_of(MONITORS, st.just("learning_rate")),
            "factor": st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 2.0]),
            "patience": st.integers(0, 3),
            "mode": MODES,
            "min_delta": st.sampled_from([0, 0.1, -0.1, 1e-4]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 0.001, 0.05, 0.1, 1.0]),
        },
    ),
)
def test_reduce_lr_on_plateau(
    score: Any, keras: Any, fakes: Any, epochs: Epochs, fits: int, arguments: dict[str, Any]
) -> None:
    def look(callback: Any) -> Any:
        rate = callback.model.optimizer.learning_rate
        return rate, callback.wait, callback.best, callback.cooldown_counter, callback.in_cooldown()

    compare(score, keras, fakes, "ReduceLROnPlateau", arguments, epochs, look, fits=fits)


PATHS = st.sampled_from(
    [
        "m",
        "{epoch:02d}",
        "sub/{epoch}-{loss:.3f}",
        "{epoch:03d}-{val_loss:.4f}-{acc:.2f}",
        "{epoch}-{batch:03d}",
        "{los}",
    ]
)


@settings(max_examples=120)
@given(
    epochs=runs(),
    fits=st.integers(1, 2),
    steps=st.integers(0, 4),
    path=PATHS,
    ending=st.sampled_from([".keras", ".weights.h5", "right", "right", "right", "right", ".txt", ".h6", ""]),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "monitor": MONITORS,
            "save_best_only": st.booleans(),
            "save_weights_only": st.booleans(),
            "mode": MODES,
            "save_freq": st.sampled_from(["epoch", 1, 2, 3, 5, "batch", 2.5, None]),
            "initial_value_threshold": st.one_of(st.none(), ROUND),
        },
    ),
)
def test_model_checkpoint(
    score: Any, keras: Any, fakes: Any, epochs: Epochs, fits: int, steps: int, path: str, ending: str, arguments: Any
) -> None:
    def mend(callback: Any) -> list[bool]:
        """Keras looks for the direction at the first epoch's end only, and fails in comparing before it."""
        met = never_better_than_nothing(callback)
        original = callback._is_improvement

        def is_improvement(value: float, reference: float | None) -> bool:
            if callback.monitor_op is None:
                with contextlib.suppress(ValueError):
                    callback._set_monitor_op()
                    met.append(True)
            return original(value, reference)

        callback._is_improvement = is_improvement
        return met

    if ending == "right":
        ending = ".weights.h5" if arguments.get("save_weights_only") else ".keras"
    folder = tempfile.mkdtemp()
    try:
        arguments = {"filepath": f"{folder}/{path}{ending}", **arguments}
        if ending == ".weights.h5" and not arguments.get("save_weights_only"):
            return  # Keras takes the name here, and fails when it saves
        look: Any = lambda callback: callback.best  # noqa: E731
        compare(score, keras, fakes, "ModelCheckpoint", arguments, epochs, look, mend, fits, steps=steps)
    finally:
        shutil.rmtree(folder)


SCHEDULES: dict[str, Callable[..., Any]] = {
    "falls": lambda epoch, rate: rate * 0.9,
    "of the epoch": lambda epoch: 0.1 / (epoch + 1),
    "float32": lambda epoch, rate: np.float32(rate) * np.float32(0.5),
    "has a default": lambda epoch, rate=0.5: rate * 0.5,
    "whole": lambda epoch, rate: 1,
    "text": lambda epoch, rate: "0.1",
    "nothing": lambda epoch, rate: None,
    "takes nothing": lambda: 0.1,
    "takes too much": lambda epoch, rate, more: 0.1,
}


@pytest.mark.parametrize("which", list(SCHEDULES))
@pytest.mark.parametrize("rate", [0.5, 0.0, 1e-7])
def test_learning_rate_scheduler(score: Any, keras: Any, fakes: Any, which: str, rate: float) -> None:
    sides = fakes(rate)
    epochs: Epochs = [{"loss": 1.0}] * 4
    with score("callback", "LearningRateScheduler"):
        seen = [
            drive(of.callbacks.LearningRateScheduler(SCHEDULES[which]), model, epochs, lambda: None)
            for of, model in zip((gpudl, keras), sides, strict=True)
        ]
        same(*[[[float(v) if isinstance(v, np.floating) else v for v in row] for row in s] for s in seen])
        assert float(sides[0].optimizer.learning_rate) == float(sides[1].optimizer.learning_rate)


@settings(max_examples=80)
@given(
    parts=st.lists(runs(), min_size=1, max_size=3),
    separator=st.sampled_from([",", ";", "\t"]),
    append=st.booleans(),
    before=st.sampled_from([None, "", "epoch,loss\r\n0,0.5\r\n"]),
    new_callback=st.booleans(),
    extra=st.sampled_from([None, np.arange(3.0), "a, b", [1, 2]]),
)
def test_csv_logger(
    score: Any,
    keras: Any,
    fakes: Any,
    parts: list[Epochs],
    separator: str,
    append: bool,
    before: str | None,
    new_callback: bool,
    extra: Any,
) -> None:
    """The files are the same to the byte, after one fit or several."""
    with tempfile.TemporaryDirectory() as folder, score("callback", "CSVLogger"):
        files = []
        for of, name in ((gpudl, "ours"), (keras, "theirs")):
            file = Path(folder, name)
            if before is not None:
                file.write_bytes(before.encode())
            callback = of.callbacks.CSVLogger(str(file), separator, append)
            for part in parts:
                if new_callback:
                    callback = of.callbacks.CSVLogger(str(file), separator, append)
                epochs: Any = [{**logs, **({} if extra is None else {"extra": extra})} for logs in part]
                drive(callback, fakes()[0], epochs, lambda: None)
            files.append(file.read_bytes())
        assert files[0] == files[1]


@settings(max_examples=60)
@given(epochs=runs(), raises=st.booleans())
def test_terminate_on_nan(score: Any, keras: Any, fakes: Any, capsys_: None, epochs: Epochs, raises: bool) -> None:
    arguments = {"raise_error": True} if raises else {}
    compare(score, keras, fakes, "TerminateOnNaN", arguments, epochs, lambda c: None, mend=lambda c: [], steps=2)


@pytest.fixture(scope="module")
def capsys_() -> None:
    """What TerminateOnNaN prints is pytest's to catch."""


# The summaries of TensorBoard


class Summaries:
    """Stands in for tensorflow.summary, which Keras writes through; notes what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, int, float]] = []
        self.folder: list[str] = []
        self.recording: list[Callable[[], bool]] = []

    def create_file_writer(self, folder: str) -> Any:
        @contextlib.contextmanager
        def as_default(step: int | None = None) -> Iterator[None]:
            self.folder.append(Path(folder).name)
            yield
            self.folder.pop()

        return SimpleNamespace(as_default=as_default, close=lambda: None, flush=lambda: None)

    @contextlib.contextmanager
    def record_if(self, condition: Callable[[], bool]) -> Iterator[None]:
        self.recording.append(condition)
        yield
        self.recording.pop()

    def scalar(self, tag: str, value: Any, step: Any) -> None:
        if self.folder and (not self.recording or self.recording[-1]()):
            self.written.append((self.folder[-1], tag, int(step), float(np.float32(value))))

    def histogram(self, tag: str, weight: Any, step: int) -> None:
        self.written.append((self.folder[-1], tag, int(step), math.nan))


def read_events(folder: Path) -> list[tuple[str, str, int, float]]:
    """Read event files back: each record has its length (8 bytes), 4 of checksum, the event, 4 of checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted(folder.glob("*/events*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])  # pyright: ignore[reportAttributeAccessIssue]
            at += 12 + length + 4
            for value in event.summary.value:
                number = value.simple_value if value.HasField("simple_value") else math.nan
                found.append((file.parent.name, value.tag, event.step, number))
    return found


@settings(max_examples=25)
@given(
    epochs=st.lists(
        st.fixed_dictionaries({n: st.floats(-10, 10, width=32) for n in ("loss", "acc", "val_loss", "val_acc")}),
        min_size=1,
        max_size=3,
    ),
    steps=st.integers(1, 3),
    validates=st.booleans(),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "histogram_freq": st.integers(0, 2),
            "update_freq": st.sampled_from(["epoch", "batch", 1, 2, 3]),
            "write_steps_per_second": st.booleans(),
        },
    ),
)
def test_tensorboard(
    score: Any, keras: Any, epochs: Epochs, steps: int, validates: bool, arguments: dict[str, Any]
) -> None:
    """The same tags at the same steps with the same values in the same folders.

    Keras leaves the values of an epoch out where its last batch was not one to be written; gpudl writes them.
    """
    pytest.importorskip("tensorboardX")
    mine = gpudl.layers.Dense(2, name="d")
    mine.build((None, 3))
    other = SimpleNamespace(weights=[SimpleNamespace(path="m/d/kernel"), SimpleNamespace(path="m/d/bias")])
    folder = Path(tempfile.mkdtemp())
    try:
        summaries, found = Summaries(), []
        for of, layer in zip((gpudl, keras), (mine, other), strict=True):
            optimizer = of.optimizers.SGD(0.25)
            theirs = of is keras
            callback = of.callbacks.TensorBoard(
                str(folder / of.__name__), **arguments, **({"write_graph": False} if theirs else {})
            )
            if theirs:
                callback._summary_module = summaries
            step = itertools.count(1)
            model = SimpleNamespace(optimizer=optimizer, layers=[layer], name="m")
            callback.set_model(model)
            callback.on_train_begin({})
            for number, logs in enumerate(epochs):
                of_training = {n: v for n, v in logs.items() if not n.startswith("val_")}
                callback.on_epoch_begin(number, {})
                for batch in range(steps):
                    callback.on_train_batch_begin(batch, {})
                    if theirs:
                        optimizer.iterations.assign(next(step))
                    else:
                        optimizer.steps = next(step)
                    callback.on_train_batch_end(batch, dict(of_training))
                if validates:
                    callback.on_test_begin({})
                    callback.on_test_batch_begin(0, {})
                    callback.on_test_batch_end(0, {})
                    callback.on_test_end({"loss": 0.5, "acc": 0.75})
                callback.on_epoch_end(number, dict(logs if validates else of_training))
            callback.on_train_end({})
            found.append(sorted(summaries.written if theirs else read_events(folder / "gpudl"), key=repr))

        def plain(rows: list[Any]) -> list[str]:
            return [repr((*row[:3], math.nan if "per_second" in row[1] else row[3])) for row in rows]

        ours, theirs = (plain(rows) for rows in found)
        freq = arguments.get("update_freq", "epoch")
        with score("callback", "TensorBoard"):
            assert set(theirs) <= set(ours)
            if freq in ("epoch", "batch", 1):
                assert ours == theirs
            else:
                assert all("epoch_" in row or "evaluation_" in row for row in set(ours) - set(theirs))
                assert [row for row in ours if "'batch_" in row] == [row for row in theirs if "'batch_" in row]
    finally:
        shutil.rmtree(folder)


# In a fit


X = np.random.default_rng(0).standard_normal((43, 5)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 43)


@pytest.fixture(scope="module")
def pair(keras: Any) -> Callable[..., tuple[Any, Any]]:
    """A small model in both, with the same weights, compiled."""

    def build(rate: float = 0.5) -> tuple[Any, Any]:
        models = []
        for of in (gpudl, keras):
            layers = [of.Input(shape=(5,)), of.layers.Dense(7, activation="tanh"), of.layers.Dense(3, "softmax")]
            models.append(of.Sequential(layers))
            models[-1].compile(of.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        models[1].set_weights(models[0].get_weights())
        return models[0], models[1]

    return build


MOMENTS = [
    f"on_{what}_{when}"
    for what in ("train", "epoch", "train_batch", "batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("begin", "end")
]
OLD = [moment for moment in MOMENTS if "train_batch" not in moment]
NEW = [moment for moment in MOMENTS if moment not in ("on_batch_begin", "on_batch_end")]


@pytest.mark.parametrize("how", ["class", "lambda"])
@pytest.mark.parametrize("moments", [OLD, NEW, MOMENTS], ids=["old names", "new names", "both"])
@pytest.mark.parametrize("validation", [{}, {"validation_split": 0.3}, {"validation_split": 0.3, "validation_freq": 2}])
def test_moments_and_names_of_logs(
    score: Any, keras: Any, pair: Any, validation: dict[str, Any], moments: list[str], how: str
) -> None:
    """Every moment in the same order, with the same number and the same names in its logs."""
    with score("callback", "Callback" if how == "class" else "LambdaCallback"):
        recorded = []
        for model, of in zip(pair(), (gpudl, keras), strict=True):
            events: list[Any] = []

            def note(event: str, events: list[Any] = events, skip: int = 1 if how == "class" else 0) -> Any:
                def method(*arguments: Any, logs: Any = None) -> None:
                    for argument in arguments[skip:]:
                        logs = argument if not isinstance(argument, int) else logs
                    numbers = [a for a in arguments[skip:] if isinstance(a, int)]
                    events.append((event, *numbers, sorted(logs or {})))

                return method

            noted = {moment: note(moment) for moment in moments}
            if how == "class":
                callback = type("Notes", (of.callbacks.Callback,), noted)()
            else:
                callback = of.callbacks.LambdaCallback(**noted)
            model.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=[callback], **validation)
            model.evaluate(X, Y, batch_size=16, verbose=0, callbacks=[callback])
            model.predict(X, batch_size=16, verbose=0, callbacks=[callback])
            recorded.append(events)
        assert recorded[0] == recorded[1]


@pytest.mark.parametrize("mode", ["auto", "max"])
@pytest.mark.parametrize("monitor", ["loss", "val_loss", "accuracy", "val_accuracy"])
def test_in_a_fit(
    score: Any, keras: Any, pair: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, monitor: str, mode: str
) -> None:
    """Several callbacks together: history with the learning rate, files, weights."""
    monkeypatch.setattr(gpudl.metrics.Accuracy, "direction", "up", raising=False)
    histories, files = [], []
    models = pair()
    with score("callback", "in fit"):
        for model, of in zip(models, (gpudl, keras), strict=True):
            file = tmp_path / f"{of.__name__}.csv"
            callbacks = [
                of.callbacks.ReduceLROnPlateau(monitor, factor=0.5, patience=2, mode=mode, min_delta=0.01),
                of.callbacks.EarlyStopping(monitor, patience=5, mode=mode, restore_best_weights=True),
                of.callbacks.CSVLogger(str(file)),
                of.callbacks.TerminateOnNaN(),
            ]
            given: dict[str, Any] = {"epochs": 25, "batch_size": 8, "shuffle": False, "verbose": 0}
            histories.append(model.fit(X, Y, validation_split=0.3, callbacks=callbacks, **given))
            files.append([line.split(",")[0] for line in file.read_text().splitlines()])
            header = file.read_text().splitlines()[0]
            files[-1].append(header)
        ours, theirs = histories
        assert ours.epoch == theirs.epoch
        assert set(ours.history) == set(theirs.history) >= {"learning_rate"}
        for name, values in theirs.history.items():
            np.testing.assert_allclose(ours.history[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
        for mine, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
        assert files[0] == files[1]
