from __future__ import annotations

from typing import Any

from gpudl.callbacks.base import Logs
from gpudl.callbacks.deciding import number
from gpudl.callbacks.monitor import Mode, MonitorCallback
from gpudl.configurable import need_counts, need_numbers


class EarlyStopping(MonitorCallback):
    """Stop training once `monitor` has not improved for `patience` epochs.

    An improvement is a change by more than `min_delta` in the direction of `mode`. Epochs before `start_from_epoch`
    do not count. With a `baseline`, the count begins anew only at improvements that are also better than it. Training
    never stops at the first epoch. `restore_best_weights` gives the model the weights of the best epoch at the end.

    Each epoch's verdict is a line of `decisions`, its epochs counted from 1.
    """

    called = "early_stopping"
    memory = ("decisions", "best", "best_epoch", "best_weights", "wait", "stopped_epoch")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: Mode = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        need_counts(self, patience=patience, start_from_epoch=start_from_epoch)
        need_numbers(self, baseline=baseline)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self._forget()

    def _forget(self) -> None:
        self.best = None
        self.best_epoch = self.stopped_epoch = self.wait = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.monitored(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        improved = self.improved(current, self.best)
        if improved or (self.restore_best_weights and self.best_weights is None):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
        line = f"epoch {epoch + 1}, {self.monitor} {number(current)}, best {number(self.best)}"
        if improved:
            self.best = current
            if self.baseline is None or self.improved(current, self.baseline):
                self.wait = 0
                self.decide(f"{line}: better", acts=False)
            else:
                behind = f"but not than the baseline {number(self.baseline)}"
                self.decide(f"{line}: better, {behind}, wait {self.wait} of {max(1, self.patience)}", acts=False)
            return
        line += f" at {self.best_epoch + 1}" if self.best is not None else ""
        stop = self.wait >= self.patience and epoch > 0
        self.decide(f"{line}, wait {self.wait} of {max(1, self.patience)}: {'stop' if stop else 'go on'}", stop)
        if stop:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)
            self.decide(f"the weights of epoch {self.best_epoch + 1} are restored")
