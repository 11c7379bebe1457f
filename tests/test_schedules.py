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


def test_inverse_time_decay() -> None:
    smooth = schedules.InverseTimeDecay(0.8, 10, 1.0)
    assert [smooth(s) for s in (0, 5, 10, 30)] == pytest.approx([0.8, 0.8 / 1.5, 0.4, 0.2])
    stairs = schedules.InverseTimeDecay(0.8, 10, 1.0, staircase=True)
    assert [stairs(s) for s in (0, 9, 10, 19, 30)] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2])


def test_piecewise_constant_decay() -> None:
    made = schedules.PiecewiseConstantDecay([10, 20], [0.8, 0.4, 0.2])
    assert [made(s) for s in (0, 10, 11, 20, 21, 100)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    with pytest.raises(UsageError, match="2 boundaries and 2 values"):
        schedules.PiecewiseConstantDecay([10, 20], [0.8, 0.4])
    with pytest.raises(UsageError, match="must not fall"):
        schedules.PiecewiseConstantDecay([20, 10], [0.8, 0.4, 0.2])


def test_polynomial_decay() -> None:
    line = schedules.PolynomialDecay(0.8, 10, end_learning_rate=0.2)
    assert [line(s) for s in (0, 5, 10, 15)] == pytest.approx([0.8, 0.5, 0.2, 0.2])
    square = schedules.PolynomialDecay(0.8, 10, end_learning_rate=0.2, power=2, cycle=True)
    assert [square(s) for s in (0, 5, 10, 15, 20, 21)] == pytest.approx([0.8, 0.35, 0.2, 0.2375, 0.2, 0.254])


def test_cosine_decay_restarts() -> None:
    made = schedules.CosineDecayRestarts(0.8, 10, t_mul=2.0, m_mul=0.5, alpha=0.0)
    assert [made(s) for s in (0, 5, 10, 20, 30, 50)] == pytest.approx([0.8, 0.4, 0.4, 0.2, 0.2, 0.1])
    even = schedules.CosineDecayRestarts(0.8, 10, t_mul=1.0, alpha=0.5)
    assert [even(s) for s in (0, 5, 10, 25)] == pytest.approx([0.8, 0.6, 0.8, 0.6])
    uneven = schedules.CosineDecayRestarts(0.8, 10, t_mul=1.5)
    assert uneven(25) == pytest.approx(0.8)  # logarithms in single precision find this restart a step too late
    with pytest.raises(UsageError, match=r"t_mul=0\.5"):
        schedules.CosineDecayRestarts(0.8, 10, t_mul=0.5)


def test_decay_over_no_steps_is_refused() -> None:
    with pytest.raises(UsageError, match=r"CosineDecay\(decay_steps=0\)"):
        schedules.CosineDecay(0.1, 0)


def test_names_and_settings() -> None:
    made = schedules.ExponentialDecay(0.8, 10, 0.5)
    described = registry.describe("schedules", made)
    assert described == {
        "type": "exponential_decay",
        "initial_learning_rate": 0.8,
        "decay_steps": 10,
        "decay_rate": 0.5,
        "staircase": False,
        "name": "ExponentialDecay",
    }
    assert registry.resolve("schedules", described)(7) == made(7)


def test_a_schedule_without_call_says_so() -> None:
    with pytest.raises(UsageError, match="Bare must define __call__"):
        type("Bare", (schedules.LearningRateSchedule,), {})()(0)
