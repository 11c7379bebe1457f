from __future__ import annotations

from typing import Any

from gpudl.callbacks.base import Callback, Logs


class History(Callback):
    """The values of every epoch: `history["val_loss"][3]` is the fourth epoch's. `fit` returns one."""

    memory = ("epoch", "history")

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._logs: Logs = {}
        self._taken: set[str] = set()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        self._logs, self._taken = logs or {}, set()
        self.catch_up()

    def catch_up(self) -> None:
        """Take in what callbacks after this one have added to the last epoch's logs, as the learning rate is."""
        for name, value in self._logs.items():
            if name not in self._taken:
                self._taken.add(name)
                self.history.setdefault(name, []).append(value)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.catch_up()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.catch_up()

    def state(self) -> dict[str, Any]:
        self.catch_up()
        return super().state()
