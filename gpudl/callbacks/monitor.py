"""MonitorCallback: what callbacks share that watch one value from epoch to epoch."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np

from gpudl.callbacks.base import Logs
from gpudl.callbacks.deciding import DecidingCallback
from gpudl.configurable import need_numbers
from gpudl.errors import UsageError, did_you_mean

Mode = Literal["auto", "min", "max"]


class MonitorCallback(DecidingCallback):
    """Base of callbacks that ask whether a value of the logs has improved.

    With mode "auto", the loss is better when smaller, and a metric as its `direction` says.
    """

    best: float | None
    """The best value so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0, best: float | None = None) -> None:
        super().__init__()
        if not isinstance(monitor, str):
            raise UsageError(f'{type(self).__name__}(monitor={monitor!r}): monitor must be a name, as "val_loss"')
        need_numbers(self, min_delta=min_delta)
        if mode not in ("auto", "min", "max"):
            near = did_you_mean(mode, ("auto", "min", "max"))
            warnings.warn(
                f'{self.called}: mode="{mode}" is none of "auto", "min", "max"{near}; going on with "auto"',
                stacklevel=3,
            )
            mode = "auto"
        self.monitor, self.mode, self.min_delta, self.best = monitor, mode, abs(min_delta), best
        self._smaller: bool | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._smaller = self._smaller_is_better()

    def _smaller_is_better(self) -> bool:
        """Raises: UsageError where neither `mode` nor a metric says it."""
        if self.mode != "auto":
            return self.mode == "min"
        name = self.monitor.removeprefix("val_")
        metrics = {metric.name: metric for metric in getattr(self.model, "metrics", None) or []}
        direction = getattr(metrics.get(name), "direction", None)
        if direction is not None:
            return direction != "up"
        if name == "loss":
            return True
        if name in metrics:
            why = f'the metric "{name}" does not say which way is better'
        else:
            near = did_you_mean(self.monitor, [*(f"{p}{n}" for n in ("loss", *metrics) for p in ("", "val_"))])
            compiled = ", ".join(n for n in metrics if n != "loss") or "there are none"
            why = f'"{name}" is neither the loss nor a compiled metric ({compiled}){near}'
        raise UsageError(
            f'{self.called}: monitor="{self.monitor}" with mode="auto": {why}; '
            'say mode="min" if smaller is better, mode="max" if larger is'
        )

    def monitored(self, logs: Logs | None) -> float | None:
        """Return the watched value; None, and a warning with the names there are, where the logs lack it."""
        value = (logs or {}).get(self.monitor)
        if value is not None:
            return float(value)
        known = list(logs or {})
        near = did_you_mean(self.monitor, known)
        if self.monitor.startswith("val_") and self.monitor.removeprefix("val_") in known:
            near = "; fit computes it when given validation_data or validation_split"
        there = ", ".join(known) or "nothing"
        warnings.warn(
            f'{self.called}: monitor="{self.monitor}" is not in the logs, which have {there}{near}',
            stacklevel=3,
        )
        return None

    def improved(self, value: float, reference: float | None) -> bool:
        """Whether a value is better than another by more than `min_delta`; any number is better than None.

        NaN is never better, so a first epoch without a number leaves `best` open. The numbers meet in float32, as
        losses are: a tie up to rounding is no improvement.
        """
        if math.isnan(value):
            return False
        if reference is None:
            return True
        if self._smaller is None:  # used without fit
            self._smaller = self._smaller_is_better()
        with np.errstate(over="ignore"):
            if self._smaller:
                return bool(np.float32(value + self.min_delta) < np.float32(reference))
            return bool(np.float32(value - self.min_delta) > np.float32(reference))
