"""Callback: code that runs at set moments of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        self.params = params

    def state(self) -> dict[str, Any]:
        """Return what this callback must remember to continue after an interruption, in values JSON can hold."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""

    def on_train_begin(self, logs: Logs | None = None) -> None: ...

    def on_train_end(self, logs: Logs | None = None) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_test_begin(self, logs: Logs | None = None) -> None: ...

    def on_test_end(self, logs: Logs | None = None) -> None: ...

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_predict_begin(self, logs: Logs | None = None) -> None: ...

    def on_predict_end(self, logs: Logs | None = None) -> None: ...

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...


class CallbackList:
    """Several callbacks called as one, in order; only those that override a moment are called at it."""

    def __init__(self, callbacks: Sequence[Callback], model: Any, params: Mapping[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
        self._listeners = {
            event: [
                getattr(callback, event)
                for callback in self.callbacks
                if getattr(type(callback), event, None) is not getattr(Callback, event)
            ]
            for event in EVENTS
        }

    def __call__(self, event: str, *arguments: Any) -> None:
        for listener in self._listeners[event]:
            listener(*arguments)
