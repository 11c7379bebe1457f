"""Learning rates that change with the number of steps taken."""

from __future__ import annotations

import math

from gpudl.configurable import Configurable
from gpudl.errors import UsageError


class LearningRateSchedule(Configurable):
    """Base of schedules: `schedule(step)` returns the learning rate of a step, counted from 0."""

    kind = "schedules"

    def __call__(self, step: int) -> float:
        raise UsageError(f"{type(self).__name__} must define __call__(step)")


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate * decay_rate ^ (step / decay_steps); with `staircase` the exponent is whole."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase = decay_rate, staircase

    def __call__(self, step: int) -> float:
        power = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(power) if self.staircase else power)


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
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate, self.decay_steps, self.alpha = initial_learning_rate, decay_steps, alpha
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * cosine + self.alpha)
