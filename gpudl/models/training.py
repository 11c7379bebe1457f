"""The training loop, and all that an interrupted one needs to go on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from gpudl import random
from gpudl.autograd import Tensor, no_grad
from gpudl.backend import to_numpy
from gpudl.backend.numpy.workers import single_threaded_blas
from gpudl.batches import Batch, Batches
from gpudl.callbacks import CallbackList, Progress


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
    """The key of the order of the epoch under way: `step` at its begin."""
    totals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Sums and weights of the loss and the metrics in the epoch under way."""
    logs: RunningLogs | None = field(default=None, repr=False, compare=False)
    """The running sums themselves; read by `to_json` only, since reading them waits for the device."""

    def to_json(self) -> dict[str, Any]:
        """Return all of it in values JSON can hold."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "logs"}
        return values if self.logs is None else {**values, "totals": self.logs.totals()}


class RunningLogs(Mapping[str, float]):
    """Loss and metrics since the epoch began, computed when read."""

    def __init__(self, metrics: list[Any]) -> None:
        self._metrics = metrics
        self.loss_total: Any = 0.0
        self.samples = 0

    def add(self, loss: Any, samples: int) -> None:
        """Take one more batch's mean loss into account."""
        self.loss_total = self.loss_total + loss * samples
        self.samples += samples

    def reset(self) -> None:
        self.loss_total, self.samples = 0.0, 0
        for metric in self._metrics:
            metric.reset_state()

    def __getitem__(self, name: str) -> float:
        if name == "loss":
            return float(to_numpy(self.loss_total)) / self.samples if self.samples else 0.0
        for metric in self._metrics:
            if metric.name == name:
                return metric.result()
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield "loss"
        for metric in self._metrics:
            yield metric.name

    def __len__(self) -> int:
        return 1 + len(self._metrics)

    def totals(self) -> dict[str, tuple[float, float]]:
        """Return the running sums as plain numbers."""
        sums = {"loss": (float(to_numpy(self.loss_total)), float(self.samples))}
        for metric in self._metrics:
            sums[metric.name] = metric.totals()
        return sums

    def load_totals(self, sums: Mapping[str, tuple[float, float]]) -> None:
        """Continue from what `totals` returned."""
        self.loss_total, self.samples = sums["loss"][0], int(sums["loss"][1])
        for metric in self._metrics:
            metric.load_totals(sums[metric.name])


def loss_of(model: Any, batch: Batch, training: bool) -> tuple[Tensor, Any]:
    """Return the loss with all penalties, and the predictions' plain array."""
    y_pred = model(batch.x, training=training)
    if not isinstance(y_pred, Tensor):
        y_pred = Tensor(y_pred)
    loss = model.loss(batch.y, y_pred, batch.weight)
    for weight in model.step_weights if training else model.trainable_weights:
        if weight.regularizer is not None:
            loss = loss + weight.regularizer(weight)
    return loss, y_pred.data


def _warn_of_unreached(model: Any) -> None:
    """Warn of weights that no gradient came to: they would stay as they are without a word."""
    unreached = {id(weight) for weight in model.step_weights if weight.grad is None}
    if unreached:
        layers = [str(layer) for layer in model.layers if any(id(weight) in unreached for weight in layer.weights)]
        warnings.warn(
            f"no gradient reaches the weights of {', '.join(layers) or model}; a layer after it may leave the tape, as "
            "np.asarray(x) and x.numpy() do: compute with gpudl.ops there",
            stacklevel=2,
        )


def train_step(model: Any, batch: Batch, logs: RunningLogs) -> None:
    """Take one step: forward, loss, gradients, update, metrics."""
    with single_threaded_blas:  # once around the step: inside, the ops' own contexts then cost nothing
        loss, y_pred = loss_of(model, batch, training=True)
        value = loss.data
        loss.backward()
        if logs.samples == 0:  # the first step of an epoch
            _warn_of_unreached(model)
        model.optimizer.apply(model.step_weights)
    logs.add(value, len(batch.x))
    for metric in model.metrics:
        metric.update_state(batch.y, y_pred)


def train(
    model: Any,
    batches: Batches,
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
    logs = RunningLogs(model.metrics)
    last: dict[str, float] = {}
    resumed = state.batch > 0
    with _closing(callbacks):
        callbacks("on_train_begin", {})
        for callback, saved in zip(callbacks.callbacks, callback_states or [], strict=False):
            callback.load_state(saved)
        while state.epoch < epochs:
            callbacks("on_epoch_begin", state.epoch, {})
            logs.reset()
            state.logs = logs
            if resumed:
                logs.load_totals(state.totals)
            else:
                state.order, state.batch = state.step, 0
            resumed = False
            steps = min(len(batches), steps_per_epoch or len(batches))
            for batch in batches.take(batches.order(state.order), state.batch):
                if state.batch >= steps:
                    break
                callbacks("on_train_batch_begin", state.batch, logs)
                random.begin_step(state.step)
                train_step(model, batch, logs)
                state.step += 1
                state.batch += 1
                callbacks("on_train_batch_end", state.batch - 1, logs)
                if model.stop_training:
                    break
            last = dict(logs)
            state.totals, state.logs = logs.totals(), None  # validation counts with the same metrics
            if validate is not None and _due(state.epoch + 1, validation_freq):
                last.update((f"val_{name}", value) for name, value in validate().items())
            state.epoch += 1
            state.batch = 0
            callbacks("on_epoch_end", state.epoch - 1, last)
            if model.stop_training:
                break
        callbacks("on_train_end", last)


def _due(epoch: int, validation_freq: int | Sequence[int]) -> bool:
    """Whether validation follows this epoch, counted from 1: every n-th, or one of those listed."""
    return epoch % validation_freq == 0 if isinstance(validation_freq, int) else epoch in validation_freq


@contextlib.contextmanager
def _closing(callbacks: CallbackList) -> Iterator[None]:
    """Take live displays away also where training ends with an error."""
    try:
        yield
    finally:
        for callback in callbacks.callbacks:
            if isinstance(callback, Progress):
                callback.close()


def test(model: Any, batches: Batches, callbacks: CallbackList, steps: int | None = None) -> dict[str, float]:
    """Return loss and metrics over all batches, nothing being trained."""
    logs = RunningLogs(model.metrics)
    logs.reset()
    callbacks("on_test_begin", {})
    with no_grad():
        for number, batch in enumerate(batches.take(None)):
            if steps is not None and number >= steps:
                break
            callbacks("on_test_batch_begin", number, logs)
            loss, y_pred = loss_of(model, batch, training=False)
            logs.add(loss.data, len(batch.x))
            for metric in model.metrics:
                metric.update_state(batch.y, y_pred)
            callbacks("on_test_batch_end", number, logs)
    values = dict(logs)
    callbacks("on_test_end", values)
    return values
