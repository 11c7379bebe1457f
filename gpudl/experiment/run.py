"""Running an experiment: data, model, training, evaluation, and the folder that keeps all of it."""

from __future__ import annotations

import csv
import io
import json
import math
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from gpudl import activations, random
from gpudl.backend import devices
from gpudl.backend.numpy.workers import thread_count
from gpudl.backend.room import out_of_memory
from gpudl.batches import samples_of, split_off
from gpudl.callbacks import Callback, EarlyStopping, Logs, TerminateOnNaN
from gpudl.callbacks.progress import values_line
from gpudl.datasets import Data
from gpudl.errors import DataError, GpudlError, Interrupted, ModelFileError, TrainingError, UsageError
from gpudl.experiment.experiment import Experiment, read
from gpudl.files import write_atomically
from gpudl.models.saving import restore, save_model
from gpudl.plugins.manager import manager
from gpudl.structures import mapped

INTERRUPTED = Path("checkpoints") / "interrupted.safetensors"


class RunFolder:
    """The folder of one run: `experiment.toml`, `history.csv`, `metrics.json`, `model.safetensors`, `checkpoints/`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def new(cls, name: str, asked: str | None) -> RunFolder:
        """Make the folder: the asked-for one, else runs/<name>/<time>. Raises: UsageError where it is not empty."""
        if asked is None:
            base = Path("runs") / name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
            path, count = base, 1
            while path.exists():
                count += 1
                path = base.with_name(f"{base.name}_{count}")
        else:
            path = Path(asked)
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                holds = "holds another run" if (path / "experiment.toml").exists() else "holds other files"
                is_what = holds if path.is_dir() else "is a file, not a folder"
                raise UsageError(f"--run-dir {asked}: {is_what}; choose a new folder, or move that one away")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{path}: the run folder cannot be made: {error.strerror}; use --run-dir") from None
        return cls(path)

    def write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode())

    def discard(self) -> None:
        """Take away the folder of a run that did not begin; one with results in it stays."""
        if {p.name for p in self.path.iterdir()} <= {"experiment.toml"}:
            (self.path / "experiment.toml").unlink(missing_ok=True)
            self.path.rmdir()


class HistoryFile(Callback):
    """Writes history.csv anew after every epoch, so that it is whole at any moment."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        history = self.model.history
        history.catch_up()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = {name: values for name, values in history.history.items() if not getattr(values[0], "ndim", 0)}
        writer.writerow(["epoch", *columns])
        for i, number in enumerate(history.epoch):
            row = [values[i] if i < len(values) else "" for values in columns.values()]
            writer.writerow([number + 1, *(f"{value:.6g}" if value != "" else "" for value in row)])
        self.folder.write("history.csv", text.getvalue())


class StopAtStep(Callback):
    """Turns Ctrl-C, or a batch system's SIGTERM, into a stop at the next step boundary, where all can be saved."""

    def __init__(self) -> None:
        self.asked = False

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.asked:
            raise Interrupted("stopped")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within this context the first signal asks, the second one interrupts at once."""

        def ask(number: int, frame: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        try:
            before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: signals do not come here
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def plugin_options() -> str:
    """Return the --plugin options of this command, for the commands it proposes."""
    return "".join(f" --plugin {file}" for file in manager().files)


def load_data(experiment: Experiment) -> Data:
    """Load the data set and check that a validation part can be set aside."""
    data = experiment.dataset().load()
    share = experiment.values["data"]["validation_split"]
    if samples_of(data.x_train) == 0:
        raise DataError("the data set has no training samples")
    if share:
        split_off(samples_of(data.x_train), share)
    return data


def shuffled(data: Data, seed: int) -> Data:
    """Put the training samples in a seeded order, so that the validation part is drawn from all of them.

    It is a copy: whoever calls it should not hold on to the data as they were.
    """
    order = random.stream(seed, "validation split").permutation(samples_of(data.x_train))
    x_train, y_train = (mapped(lambda array: array[order], part) for part in (data.x_train, data.y_train))
    return Data(x_train, y_train, data.x_test, data.y_test, data.class_names)


def dry_run(experiment: Experiment) -> Any:
    """Return the model of an experiment after checking all that can go wrong before the first step."""
    thread_count()
    shape = sample_shape(experiment)
    if shape is not None:
        experiment.model(shape)
    experiment.callbacks()
    data = load_data(experiment)
    model = experiment.model(sample_shape(experiment, data))
    _check_data(experiment, model, data)
    return model


def _check_data(experiment: Experiment, model: Any, data: Data) -> None:
    """See that model, loss and labels fit; what does not is said with the line of the last layer."""
    last = len(experiment.values["model"]["layers"]) - 1
    with experiment.problems.catching(("model", "layers", last)):
        model.check_data(data.x_train, data.y_train)


def sample_shape(experiment: Experiment, data: Data | None = None) -> Any:
    """Return the shape of one sample, or those of its parts: from the data, else from what the data set says."""
    return experiment.dataset().sample_shape if data is None else mapped(lambda array: array.shape[1:], data.x_train)


def _choose_processor(experiment: Experiment) -> None:
    """Use the device that the file names; where that is "auto" the environment's GPUDL_DEVICE counts.

    Raises: DeviceError, UsageError, which are no fault of the file's.
    """
    device = experiment.values["run"]["device"]
    if device != "auto":
        devices.set_device(device)
    devices.current()
    thread_count()


def train(experiment: Experiment, run_dir: str | None, say: Any) -> Path:
    """Train, evaluate and save a new run; return its folder. `say` prints a line for the user."""
    _choose_processor(experiment)
    random.set_random_seed(experiment.values["run"]["seed"])
    shape = sample_shape(experiment)
    early = None if shape is None else experiment.model(shape)  # what does not fit is said before any data is read
    experiment.callbacks()
    data = shuffled(load_data(experiment), experiment.values["run"]["seed"])
    if early is not None and sample_shape(experiment, data) == shape:
        model = early
    else:
        random.set_random_seed(experiment.values["run"]["seed"])
        model = experiment.model(sample_shape(experiment, data))
    _check_data(experiment, model, data)
    model.class_names = data.class_names
    folder = RunFolder.new(experiment.values["run"]["name"], run_dir)
    folder.write("experiment.toml", resolved(experiment))
    try:
        return _run(experiment, model, data, folder, None, say)
    except (UsageError, DataError):
        folder.discard()
        raise


def resume(path: Path, say: Any) -> Path:
    """Continue the interrupted run of a folder. Raises: UsageError where there is nothing to continue."""
    if not (path / INTERRUPTED).is_file():
        ended = "it has ended" if (path / "metrics.json").exists() else f"it has no {INTERRUPTED}"
        raise UsageError(f"{path}: there is no interrupted run to continue here: {ended}")
    experiment = read(str(path / "experiment.toml"))
    _choose_processor(experiment)
    model, checkpoint = restore(path / INTERRUPTED)
    if checkpoint is None or not {"state", "callbacks", "seconds"} <= checkpoint.keys():
        raise ModelFileError(
            f"{path / INTERRUPTED}: a model, but not one of an interrupted run: it does not say where training stood"
        )
    data = shuffled(load_data(experiment), experiment.values["run"]["seed"])
    return _run(experiment, model, data, RunFolder(path), checkpoint, say)


def _run(experiment: Experiment, model: Any, data: Data, folder: RunFolder, checkpoint: Any, say: Any) -> Path:
    values = experiment.values
    batch_size = values["data"]["batch_size"]
    stop = StopAtStep()
    callbacks = [*experiment.callbacks(folder.path), HistoryFile(folder), TerminateOnNaN(), stop]
    began = time.perf_counter()
    earlier = 0.0 if checkpoint is None else checkpoint["seconds"]
    try:
        with stop.listening():
            history = model.fit(
                data.x_train,
                data.y_train,
                batch_size=batch_size,
                epochs=values["training"]["epochs"],
                callbacks=callbacks,
                validation_split=values["data"]["validation_split"],
                shuffle=values["data"]["shuffle"],
                resume=checkpoint,
            )
    except Interrupted:
        saved = {**model.training_checkpoint(callbacks), "seconds": earlier + time.perf_counter() - began}
        save_model(model, folder.path / INTERRUPTED, training=saved)
        raise Interrupted(
            f"stopped in epoch {model.training_state.epoch + 1} after batch {model.training_state.batch}; "
            f"all of it is saved; to go on:\n  gpudl train {folder.path}{plugin_options()}"
        ) from None
    except MemoryError as error:
        raise TrainingError(f"{out_of_memory(error, 'training')} (data.batch_size is {batch_size})") from None
    for name in ("loss", "val_loss"):
        loss = history.history.get(name, [0.0])[-1]
        if not math.isfinite(loss):
            raise TrainingError(
                f"training diverged: {name} became {loss} in epoch {len(history.epoch)}; {_remedy(model)}\n"
                f"what was recorded is in {folder.path}"
            )
    seconds = earlier + time.perf_counter() - began
    model.save(folder.path / "model.safetensors")
    report = measures(model, _kept(history, callbacks), data, seconds)
    folder.write("metrics.json", json.dumps(report, indent=2) + "\n")
    (folder.path / INTERRUPTED).unlink(missing_ok=True)
    for part in ("validation", "test"):
        if report[part]:
            say(f"{part:<11}" + values_line({name: np.asarray(v)[()] for name, v in report[part].items()}))
    return folder.path


def _remedy(model: Any) -> str:
    """Say what most likely helps against a loss that is no number."""
    last = model.layers[-1]
    if getattr(model.loss, "from_logits", None) is False and getattr(last, "activation", None) is activations.linear:
        return (
            f"the loss takes probabilities, but {last} has no softmax or sigmoid; "
            "give it one, or set from_logits = true in training.loss"
        )
    return f"lower optimizer.learning_rate (now {model.optimizer.learning_rate:g})"


def _kept(history: Any, callbacks: list[Callback]) -> dict[str, float]:
    """Return the values of the epoch whose weights the model has: the last one, or one that was gone back to."""
    row = -1
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and callback.restore_best_weights and callback.best_weights is not None:
            row = history.epoch.index(callback.best_epoch)
    return {name: values[row] for name, values in history.history.items()}


def measures(model: Any, kept: dict[str, float], data: Data, seconds: float) -> dict[str, Any]:
    """Return what metrics.json holds: the values of the epoch kept, the test data's, and how they came about."""
    test = {}
    if data.x_test is not None:
        test = model.evaluate(data.x_test, data.y_test, batch_size=256, verbose=0, return_dict=True)
    kept, test = ({name: np.asarray(v).tolist() for name, v in values.items()} for values in (kept, test))
    return {
        "train": {name: value for name, value in kept.items() if not name.startswith("val_")},
        "validation": {name.removeprefix("val_"): v for name, v in kept.items() if name.startswith("val_")},
        "test": test,
        "epochs": len(model.history.epoch),
        "steps": model.training_state.step,
        "seconds": round(seconds, 3),
        "device": devices.current(),
        "versions": {"gpudl": version("gpudl"), "numpy": np.__version__, "python": platform.python_version()},
    }


def resolved(experiment: Experiment) -> str:
    """Return the experiment as TOML, every default written down."""
    values = dict(experiment.values)
    if isinstance(values["data"].get("path"), str):  # so that the run can be used from any folder
        values["data"] = {**values["data"], "path": str(Path(values["data"]["path"]).resolve())}
    title = f"# Resolved from {Path(experiment.source).name}: every default written down.\n\n"
    return title + tomli_w.dumps(_without_none(values))


def _without_none(value: Any) -> Any:
    """TOML has no null: a setting that is None is left out, which means the same."""
    if isinstance(value, dict):
        return {name: _without_none(v) for name, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(v) for v in value]
    if callable(value) or isinstance(value, GpudlError):
        raise UsageError(f"{value!r} cannot be written to experiment.toml")
    return value


def find_model(path: str) -> Path:
    """Return the model file of a run folder, or the file itself."""
    place = Path(path)
    if place.is_dir():
        model = place / "model.safetensors"
        if not model.is_file() and (place / INTERRUPTED).is_file():
            raise UsageError(f"{path}: this run was interrupted; finish it with: gpudl train {path}")
        runs = sorted(file.parent.name for file in place.glob("*/model.safetensors"))
        if not model.is_file() and runs:
            raise UsageError(f"{path}: a folder of runs; choose one of {', '.join(runs[-5:])}")
        return model
    if place.suffix == ".toml":
        raise UsageError(f"{path}: an experiment file; give the folder of a run, or a .safetensors file")
    return place


def evaluate(path: str) -> dict[str, dict[str, float]]:
    """Return loss and metrics of a saved run on its validation and test data."""
    file = find_model(path)
    model, _ = restore(file)
    settings = file.parent / "experiment.toml"
    if not settings.is_file():
        raise UsageError(
            f"{path}: no experiment.toml lies beside the model, so its data is unknown; give the run folder"
        )
    experiment = read(str(settings))
    data = shuffled(load_data(experiment), experiment.values["run"]["seed"])
    results = {}
    share = experiment.values["data"]["validation_split"]
    if share:
        begin = split_off(samples_of(data.x_train), share)
        x, y = (mapped(lambda array: array[begin:], part) for part in (data.x_train, data.y_train))
        results["validation"] = model.evaluate(x, y, batch_size=256, verbose=0, return_dict=True)
    if data.x_test is not None:
        results["test"] = model.evaluate(data.x_test, data.y_test, batch_size=256, verbose=0, return_dict=True)
    if not results:
        raise UsageError(f"{path}: its data set has neither a test part nor a validation part to evaluate on")
    return results
