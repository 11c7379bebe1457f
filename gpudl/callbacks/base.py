"""Callback: code that runs at set moments of training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from gpudl.configurable import Configurable

Logs = Mapping[str, float]

EVENTS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end",
    "on_train_batch_begin", "on_train_batch_end",
    "on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end",
    "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip


class Callback(Configurable):
    """Base of callbacks. Override the moments you want; `self.model` is the model, `self.params` what fit was given.

    `logs` maps names ("loss", "accuracy", "val_loss", ...) to values. Those of a batch are computed only when read.
    Setting `self.model.stop_training = True` ends training after the batch or epoch under way.
    """

    kind = "callbacks"
    model: Any = None
    params: Mapping[str, Any] = {}
    memory: ClassVar[tuple[str, ...]] = ()
    """Attributes that must survive an interruption; `state` and `load_state` carry them over."""
    writes_to: ClassVar[tuple[str, ...]] = ()
    """Settings that name a file or folder to write: in an experiment file they are relative to the run folder."""

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        self.params = params

    def state(self) -> dict[str, Any]:
        """Return what this callback must remember to continue after an interruption: JSON's values and NumPy arrays."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.memory}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; called after `on_train_begin`."""
        for name in state.keys() & set(self.memory):  # what an older version did not save stays as it began
            setattr(self, name, copy.deepcopy(state[name]))

    def resume(self) -> Mapping[str, Any] | None:
        """Return where training is to go on, as `training_checkpoint` told it; None, but for callbacks that keep it."""
        return None

    def on_train_begin(self, logs: Logs | None = None) -> None: ...

    def on_train_end(self, logs: Logs | None = None) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None: ...

    def on_test_end(self, logs: Logs | None = None) -> None: ...

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_predict_begin(self, logs: Logs | None = None) -> None: ...

    def on_predict_end(self, logs: Logs | None = None) -> None: ...

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...


def _listener(callback: Callback, event: str) -> Callable[..., None] | None:
    """Return the callback's own method for a moment, under either of its names; None where it has none."""
    for name in (event, event.replace("_train_batch_", "_batch_")):
        method = getattr(callback, name)
        if getattr(method, "__func__", method) is not getattr(Callback, name):
            return method
    return None


class CallbackList:
    """Several callbacks called as one, in order; only those that override a moment are called at it."""

    def __init__(self, callbacks: Sequence[Callback], model: Any, params: Mapping[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
        self._listeners = {
            event: [method for callback in self.callbacks if (method := _listener(callback, event)) is not None]
            for event in EVENTS
        }

    def __call__(self, event: str, *arguments: Any) -> None:
        for listener in self._listeners[event]:
            listener(*arguments)
