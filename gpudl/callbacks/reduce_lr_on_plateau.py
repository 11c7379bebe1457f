from __future__ import annotations

import numpy as np

from gpudl.callbacks.base import Logs
from gpudl.callbacks.deciding import number
from gpudl.callbacks.monitor import Mode, MonitorCallback
from gpudl.callbacks.rates import refuse_schedule, with_rate
from gpudl.configurable import need_counts, need_numbers
from gpudl.errors import UsageError


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` once `monitor` has not improved for `patience` epochs.

    After a reduction, `cooldown` epochs pass before waiting begins again: the count goes down before it is looked at,
    so a cooldown of 1 is none. The rate never falls below `min_lr`. The rate of each epoch is in its logs as
    "learning_rate".

    Each epoch without improvement is a line of `decisions`, its epochs counted from 1.

    Raises: UsageError for a factor below 0 or of 1 or more, and where the optimizer has a schedule.
    """

    called = "reduce_lr_on_plateau"
    memory = ("decisions", "best", "cooldown_counter", "wait")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        need_counts(self, patience=patience, cooldown=cooldown)
        need_numbers(self, factor=factor, min_lr=min_lr)
        if factor >= 1:
            raise UsageError(f"ReduceLROnPlateau(factor={factor}): the rate is to fall; give a factor below 1")
        if not factor >= 0:
            raise UsageError(f"ReduceLROnPlateau(factor={factor}): the rate would be negative; give a factor as 0.1")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.cooldown_counter = self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        refuse_schedule(self.called, self.model.optimizer)
        self.best, self.cooldown_counter, self.wait = None, 0, 0

    def in_cooldown(self) -> bool:
        """Whether epochs of the cooldown are left."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.monitored(with_rate(self.model.optimizer, logs))
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improved(current, self.best):
            self.best, self.wait = current, 0
            return
        line = f"epoch {epoch + 1}, {self.monitor} {number(current)}"
        if self.in_cooldown():
            self.decide(f"{line}, cooldown {self.cooldown_counter}: go on", acts=False)
            return
        self.wait += 1
        line += f", wait {self.wait} of {max(1, self.patience)}"
        before = float(self.model.optimizer.learning_rate)
        if self.wait < self.patience:
            self.decide(f"{line}: go on", acts=False)
        elif np.float32(before) > np.float32(self.min_lr):
            after = max(before * self.factor, self.min_lr)
            self.model.optimizer.learning_rate = after
            self.cooldown_counter, self.wait = self.cooldown, 0
            self.decide(f"{line}: learning rate {number(before)} -> {number(after)}")
        else:
            self.decide(f"{line}: learning rate {number(before)} is the smallest allowed", acts=False)
