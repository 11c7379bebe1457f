from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from gpudl import registry
from gpudl.callbacks.base import Logs
from gpudl.callbacks.deciding import DecidingCallback, number
from gpudl.callbacks.rates import refuse_schedule, with_rate
from gpudl.errors import UsageError
from gpudl.schedules import LearningRateSchedule


class LearningRateScheduler(DecidingCallback):
    """Set the learning rate at the beginning of every epoch to `schedule(epoch, learning_rate)`.

    The epoch counts from 0; a function of the epoch alone will do, and so will a schedule of `gpudl.schedules`, whose
    steps are then epochs. The rate of each epoch is in its logs as "learning_rate", and a line of `decisions`, where
    epochs count from 1.

    Raises: UsageError where the schedule returns no float, or the optimizer has a schedule of its own.
    """

    called = "learning_rate_scheduler"

    def __init__(self, schedule: LearningRateSchedule | Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule: Callable[..., Any] = registry.resolve("schedules", schedule)
        if not callable(self.schedule):
            raise UsageError(
                f"LearningRateScheduler({schedule!r}): schedule must be a function of the epoch, as in "
                "lambda epoch, rate: rate * 0.9"
            )
        self.verbose = verbose

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        refuse_schedule(self.called, self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        before = float(self.model.optimizer.learning_rate)
        rate = self.schedule(epoch, before) if self._takes_rate() else self.schedule(epoch)
        if not isinstance(rate, (float, np.floating)):
            raise UsageError(
                f"{self.called}: the schedule returned {rate!r} for epoch {epoch}, expected a float: "
                "the learning rate, as in lambda epoch, rate: rate * 0.9"
            )
        self.model.optimizer.learning_rate = float(rate)
        self.decide(f"epoch {epoch + 1}: learning rate {number(before)} -> {number(rate)}")

    def _takes_rate(self) -> bool:
        try:
            inspect.signature(self.schedule).bind(0, 0.1)
        except TypeError:
            return False
        except ValueError:  # written in C, without a signature
            return True
        return True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        with_rate(self.model.optimizer, logs)
