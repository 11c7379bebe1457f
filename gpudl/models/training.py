"""The training loop, and all that an interrupted one needs to go on."""

from __future__ import annotations

import contextlib
import functools
import itertools
import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from gpudl import random
from gpudl.autograd import Tensor, no_grad
from gpudl.backend import to_numpy
from gpudl.backend.numpy.workers import single_threaded_blas
from gpudl.batches import Batches, Stream, on_device
from gpudl.callbacks import CallbackList, Progress
from gpudl.metrics import Metric


@dataclass
class TrainingState:
    """Where training stands at a step boundary. With the weights and the optimizer's and callbacks' states it is all
    that continues a run to the bit: every random draw is keyed by these numbers.
    """

    seed: int = 0
    epoch: int = 0
    """Epochs completed."""
    batch: int = 0
    """Steps taken in the epoch under way."""
    step: int = 0
    """Steps taken in all."""
    order: int = 0
    """The key of the order of the pass over the data under way: `step` at its begin."""
    position: int = 0
    """Batches taken in that pass; a pass is an epoch unless `steps_per_epoch` says otherwise."""
    totals: dict[str, Any] = field(default_factory=dict)
    """Running sums of the loss and the metrics in the epoch under way."""
    logs: RunningLogs | None = field(default=None, repr=False, compare=False)
    """The running sums themselves; read by `to_json` only, since reading them waits for the device."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it in values JSON can hold."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "logs"}
        return values if self.logs is None else {**values, "totals": self.logs.totals()}


class RunningLogs(MutableMapping[str, Any]):
    """Loss and metrics since the epoch began, computed when read. What is set by hand stands in front."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._all = metrics
        self._set: dict[str, Any] = {}

    @functools.cached_property
    def _metrics(self) -> dict[str, Metric]:
        """The metrics by name, once somebody reads: one of these is made in every step."""
        return {metric.name: metric for metric in self._all}

    def __getitem__(self, name: str) -> Any:
        return as_number(self._set[name] if name in self._set else self._metrics[name].result())

    def __setitem__(self, name: str, value: Any) -> None:
        self._set[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self._set and name not in self._metrics:
            raise KeyError(name)
        self._set.pop(name, None)
        self._metrics.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._metrics, **self._set})

    def __len__(self) -> int:
        return len({**self._metrics, **self._set})

    def __repr__(self) -> str:
        return repr(dict(self))

    def totals(self) -> dict[str, Any]:
        """Return the running sums as plain numbers."""
        return {name: metric.totals() for name, metric in self._metrics.items()}


def as_number(value: Any) -> Any:
    """Turn a Tensor or array of one element into a Python number."""
    if isinstance(value, Tensor):
        value = value.data
    if isinstance(value, float):  # what a metric returns is a float with NumPy's manners
        return float(value)
    if not hasattr(value, "ndim"):
        return value
    return to_numpy(value).item() if value.ndim == 0 else to_numpy(value)


def plain_logs(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Read all values: numbers, or NumPy arrays where a metric has several."""
    return {name: as_number(value) for name, value in logs.items()}


def warn_of_unreached(model: Any) -> None:
    """Warn of weights that no gradient came to: they would stay as they are without a word."""
    unreached = {id(weight) for weight in model.step_weights if weight.grad is None}
    if unreached:
        layers = [str(layer) for layer in model.layers if any(id(weight) in unreached for weight in layer.weights)]
        warnings.warn(
            f"no gradient reaches the weights of {', '.join(layers) or model}; a layer after it may leave the tape, as "
            "np.asarray(x) and x.numpy() do: compute with gpudl.ops there",
            stacklevel=2,
        )


def train(
    model: Any,
    batches: Batches | Stream,
    validate: Any,
    callbacks: CallbackList,
    epochs: int,
    state: TrainingState,
    validation_freq: int | Sequence[int] = 1,
    steps_per_epoch: int | None = None,
    callback_states: list[dict[str, Any]] | None = None,
) -> None:
    """Run epochs `state.epoch` to `epochs`, keeping `state` true at every step boundary.

    `validate` is None or returns the logs of the validation data, without the `val_`. `callback_states` are given
    back to the callbacks of a resumed run once they have begun.
    """
    model.training_state = state
    model.step_weights = model.trainable_weights
    last: dict[str, float] = {}
    resumed = state.batch > 0
    within_pass = state.position > 0
    passing: Iterator[Any] | None = None
    with _closing(callbacks), model.steady(), np.errstate(all="ignore"):  # a loss that diverges is seen in the logs
        callbacks("on_train_begin", {})
        for callback, saved in zip(callbacks.callbacks, callback_states or [], strict=False):
            callback.load_state(saved)
        batches.end_epoch()  # before the first one too, as Keras does: a source that shuffles itself begins shuffled
        while state.epoch < epochs:
            model.reset_metrics()
            callbacks("on_epoch_begin", state.epoch, {})
            logs: Mapping[str, Any] = {}
            if resumed:
                for metric in model.metrics:
                    if metric.name in state.totals:
                        metric.load_totals(state.totals[metric.name])
                logs = RunningLogs(model.metrics)
            else:
                state.batch = 0
            resumed = False
            batches.begin_epoch()
            steps = steps_per_epoch or len(batches) or None
            with single_threaded_blas:  # once for all steps; a generator's products are held to one thread, too
                while steps is None or state.batch < steps:
                    if passing is None:
                        if not within_pass:
                            state.order, state.position = state.step, 0
                        within_pass = False
                        passing = on_device(batches.begin_pass(state.order, state.position), model.device)
                    batch = next(passing, None)
                    if batch is None:
                        break
                    callbacks("on_train_batch_begin", state.batch, {})
                    random.begin_step(state.step)
                    logs = model.train_step(batch.packed())
                    logs = {} if logs is None else logs
                    state.logs = logs if isinstance(logs, RunningLogs) else RunningLogs(model.metrics)
                    state.step += 1
                    state.batch += 1
                    state.position += 1
                    callbacks("on_train_batch_end", state.batch - 1, logs)
                    if model.stop_training:
                        break
            if not model.stop_training and _pass_is_over(batches, state, steps, steps_per_epoch):
                passing, state.position, within_pass = None, 0, False
            batches.end_epoch()
            if state.batch == 0:
                _warn_of_end(state)
                break
            last = dict(sorted(plain_logs(logs).items()))  # in Keras's order
            if state.logs is not None:
                state.totals, state.logs = state.logs.totals(), None  # validation counts with the same metrics
            if validate is not None and _due(state.epoch + 1, validation_freq):
                last.update((f"val_{name}", value) for name, value in sorted(validate().items()))
            state.epoch += 1
            state.batch = 0
            callbacks("on_epoch_end", state.epoch - 1, dict(last))  # which they may add to
            if model.stop_training:
                break
        if model.optimizer is not None and epochs > 0:
            model.optimizer.finalize_variable_values()
        callbacks("on_train_end", last)


def _pass_is_over(batches: Batches | Stream, state: TrainingState, steps: int | None, asked: int | None) -> bool:
    """Whether the next epoch begins a new pass. Warns where the data ended before the steps asked for were taken."""
    if isinstance(batches, Stream) and batches.once:
        if asked is not None and 0 < state.batch < asked:
            warnings.warn(
                f"the generator ended after {state.batch} of the {asked} steps of epoch {state.epoch + 1} "
                "(steps_per_epoch); let it go on for ever",
                stacklevel=2,
            )
        return False
    if asked is not None and steps is not None and state.batch < steps and state.position > 0:
        warnings.warn(
            f"the data ended after {state.batch} of the {asked} steps of epoch {state.epoch + 1} (steps_per_epoch); "
            "the epoch ends there, and the next one begins with the first batch again",
            stacklevel=2,
        )
        return True
    return asked is None or 0 < len(batches) <= state.position


def _warn_of_end(state: TrainingState) -> None:
    warnings.warn(
        f"the generator has ended, so training stops after {state.epoch} epochs; give steps_per_epoch, and let the "
        "generator go on for ever",
        stacklevel=2,
    )


def _due(epoch: int, validation_freq: int | Sequence[int]) -> bool:
    """Whether validation follows this epoch, counted from 1: every n-th, or one of those listed."""
    return epoch % validation_freq == 0 if isinstance(validation_freq, (int, np.integer)) else epoch in validation_freq


@contextlib.contextmanager
def _closing(callbacks: CallbackList) -> Iterator[None]:
    """Take live displays away also where training ends with an error."""
    try:
        yield
    finally:
        for callback in callbacks.callbacks:
            if isinstance(callback, Progress):
                callback.close()


def test(model: Any, batches: Batches | Stream, callbacks: CallbackList, steps: int | None = None) -> dict[str, float]:
    """Return loss and metrics over all batches, nothing being trained."""
    model.reset_metrics()
    callbacks("on_test_begin", {})
    logs: Mapping[str, Any] = {}
    with no_grad(), model.steady(), single_threaded_blas, np.errstate(all="ignore"):
        batches.begin_epoch()
        for number, batch in enumerate(on_device(itertools.islice(batches.begin_pass(0, 0), steps), model.device)):
            callbacks("on_test_batch_begin", number, {})
            logs = model.test_step(batch.packed()) or {}
            callbacks("on_test_batch_end", number, logs)
    values = plain_logs(logs)
    callbacks("on_test_end", values)
    return values
