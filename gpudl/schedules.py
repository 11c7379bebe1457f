"""Learning rates that change with the number of steps taken."""

from __future__ import annotations

import math
from typing import Any

from gpudl import registry
from gpudl.configurable import Configurable
from gpudl.errors import UsageError


class LearningRateSchedule(Configurable):
    """Base of schedules: `schedule(step)` returns the learning rate of a step, counted from 0."""

    kind = "schedules"

    def __call__(self, step: int) -> float:
        raise UsageError(f"{type(self).__name__} must define __call__(step)")

    def _need_positive(self, name: str, value: float) -> float:
        if not value > 0:
            raise UsageError(f"{type(self).__name__}({name}={value!r}): {name} must be more than 0")
        return value


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate * decay_rate ^ (step / decay_steps); with `staircase` the exponent is whole."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = self._need_positive("decay_steps", decay_steps)
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: int) -> float:
        power = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(power) if self.staircase else power)


class InverseTimeDecay(LearningRateSchedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps); with `staircase` the quotient is whole."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = self._need_positive("decay_steps", decay_steps)
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: int) -> float:
        periods = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (math.floor(periods) if self.staircase else periods))


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] up to and including step boundaries[i], and the last value from there on."""

    def __init__(self, boundaries: list[float], values: list[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise UsageError(
                f"PiecewiseConstantDecay: {len(boundaries)} boundaries and {len(values)} values; "
                "there must be one value more than boundaries"
            )
        if list(boundaries) != sorted(boundaries):
            raise UsageError(f"PiecewiseConstantDecay(boundaries={boundaries!r}): boundaries must not fall")
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: int) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class PolynomialDecay(LearningRateSchedule):
    """(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ^ power + end_learning_rate.

    It stays at the end, or, with `cycle`, starts anew with a period twice, three times, ... as long.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps = self._need_positive("decay_steps", decay_steps)
        self.power, self.cycle, self.name = power, cycle, name

    def __call__(self, step: int) -> float:
        period = self.decay_steps * (max(1, math.ceil(step / self.decay_steps)) if self.cycle else 1)
        left = 1 - min(step, period) / period
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine from `initial_learning_rate` down to alpha times it over `decay_steps`.

    With `warmup_target`, the rate first rises linearly to it over `warmup_steps`, and falls from there.
    Source: Loshchilov and Hutter 2017, arXiv 1608.03983.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.decay_steps = self._need_positive("decay_steps", decay_steps)
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        return top * ((1 - self.alpha) * _half_cosine(min(step, self.decay_steps) / self.decay_steps) + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine over `first_decay_steps`, then again and again, each t_mul times as long and m_mul times as high.

    At its lowest the rate is alpha * initial_learning_rate.
    Source: Loshchilov and Hutter 2017, arXiv 1608.03983.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = self._need_positive("first_decay_steps", first_decay_steps)
        if not t_mul >= 1:
            raise UsageError(f"CosineDecayRestarts(t_mul={t_mul!r}): t_mul must be at least 1; periods cannot shrink")
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: int) -> float:
        begin, length, restarts = 0.0, float(self.first_decay_steps), 0
        if self.t_mul == 1:
            restarts = math.floor(step / length)
            begin = restarts * length
        else:
            while step >= begin + length:  # by logarithms, rounding would put a restart one step late
                begin, length, restarts = begin + length, length * self.t_mul, restarts + 1
        height = self.m_mul**restarts * _half_cosine((step - begin) / length)
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def get(schedule: str | dict[str, Any] | LearningRateSchedule) -> LearningRateSchedule:
    """Return a schedule by its settings. Raises: UnknownNameError."""
    return registry.resolve("schedules", schedule)


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return the schedule's name and settings: `{"type": "cosine_decay", ...}`."""
    return registry.describe("schedules", schedule)


def deserialize(config: dict[str, Any]) -> LearningRateSchedule:
    """Make a schedule of what `serialize` returned, here or in Keras."""
    return get(config)
