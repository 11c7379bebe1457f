"""Learning-rate schedules at chosen steps, by hand."""

from __future__ import annotations

import math

import pytest

from gpudl import registry, schedules
from gpudl.errors import UsageError


def test_exponential_decay() -> None:
    smooth = schedules.ExponentialDecay(0.8, 10, 0.5)
    assert [smooth(s) for s in (0, 5, 10, 20)] == pytest.approx([0.8, 0.8 * math.sqrt(0.5), 0.4, 0.2])
    stairs = schedules.ExponentialDecay(0.8, 10, 0.5, staircase=True)
    assert [stairs(s) for s in (0, 9, 10, 19, 20)] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2])


def test_cosine_decay() -> None:
    plain = schedules.CosineDecay(0.8, 100)
    assert [plain(s) for s in (0, 50, 100, 500)] == pytest.approx([0.8, 0.4, 0.0, 0.0])
    floor = schedules.CosineDecay(0.8, 100, alpha=0.25)
    assert [floor(s) for s in (0, 50, 100, 500)] == pytest.approx([0.8, 0.5, 0.2, 0.2])
    warm = schedules.CosineDecay(0.0, 100, warmup_target=0.8, warmup_steps=10)
    assert [warm(s) for s in (0, 5, 10, 60, 110)] == pytest.approx([0.0, 0.4, 0.8, 0.4, 0.0])


def test_names_and_settings() -> None:
    made = schedules.ExponentialDecay(0.8, 10, 0.5)
    described = registry.describe("schedules", made)
    assert described == {
        "type": "exponential_decay",
        "initial_learning_rate": 0.8,
        "decay_steps": 10,
        "decay_rate": 0.5,
        "staircase": False,
    }
    assert registry.resolve("schedules", described)(7) == made(7)


def test_a_schedule_without_call_says_so() -> None:
    with pytest.raises(UsageError, match="Bare must define __call__"):
        type("Bare", (schedules.LearningRateSchedule,), {})()(0)
