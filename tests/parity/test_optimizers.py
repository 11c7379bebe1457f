"""Optimizers and schedules beside Keras's: the same gradients, the same weights after every step."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import optimizers, schedules
from gpudl.autograd import Parameter
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

STEPS = 20
rates = st.sampled_from([1.0, 0.1, 0.01, 0.001])
ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "SGD": st.fixed_dictionaries(
        {"learning_rate": rates},
        optional={"momentum": st.sampled_from([0.0, 0.5, 0.9]), "nesterov": st.booleans()},
    ),
    "RMSprop": st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": rates,
            "rho": st.sampled_from([0.5, 0.9, 0.99]),
            "momentum": st.sampled_from([0.0, 0.5, 0.9]),
            "epsilon": st.sampled_from([1e-7, 1e-3]),
            "centered": st.booleans(),
        },
    ),
    "Adam": st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": rates,
            "beta_1": st.sampled_from([0.5, 0.9]),
            "beta_2": st.sampled_from([0.9, 0.999]),
            "epsilon": st.sampled_from([1e-7, 1e-3]),
            "amsgrad": st.booleans(),
        },
    ),
}
SHAPES = [(3, 4), (4,), (), (2, 2, 1, 3)]


def same_steps(keras: Any, torch: Any, ours: Any, theirs: Any, seed: int) -> None:
    rtol = 1e-4 if isinstance(ours, optimizers.Adam) else 1e-5  # Keras takes 1 - beta ** t in single precision
    rng = np.random.default_rng(seed)
    start = [rng.normal(0, 1, shape).astype(np.float32) for shape in SHAPES]
    mine = [Parameter(w.copy()) for w in start]
    others = [keras.Variable(w) for w in start]
    with torch.no_grad():
        for step in range(STEPS):
            size = rng.choice([1e-3, 1.0, 10.0])
            gradients = [rng.normal(0, size, shape).astype(np.float32) for shape in SHAPES]
            for p, gradient in zip(mine, gradients, strict=True):
                p.accumulate(gradient)
            ours.apply(mine)
            theirs.apply([torch.tensor(g) for g in gradients], others)
            scale = max(float(np.abs(p.data).max()) for p in mine)
            for i, (p, other) in enumerate(zip(mine, others, strict=True)):
                check_close(f"weight {i} after step {step + 1}", p.data, other.numpy(), rtol, scale=scale)
    assert ours.iterations == int(theirs.iterations) == STEPS


@pytest.mark.parametrize("name", list(ARGUMENTS))
@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(max_examples=60)
def test_steps(keras: Any, torch: Any, name: str, data: st.DataObject, seed: int) -> None:
    arguments = data.draw(ARGUMENTS[name])
    same_steps(keras, torch, getattr(optimizers, name)(**arguments), getattr(keras.optimizers, name)(**arguments), seed)


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_defaults_by_name(keras: Any, torch: Any, name: str) -> None:
    ours, theirs = optimizers.get(name.lower()), keras.optimizers.get(name.lower())
    assert ours.learning_rate == pytest.approx(float(theirs.learning_rate))
    same_steps(keras, torch, ours, theirs, 0)


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9, "staircase": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 15}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 15, "alpha": 0.2}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 9, "alpha": 0.1, "warmup_target": 0.3, "warmup_steps": 6},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), SCHEDULES)
def test_schedules(keras: Any, torch: Any, name: str, arguments: dict[str, Any]) -> None:
    ours = getattr(schedules, name)(**arguments)
    theirs = getattr(keras.optimizers.schedules, name)(**arguments)
    for step in range(30):
        assert ours(step) == pytest.approx(float(theirs(step)), rel=2e-6, abs=1e-9)
    same_steps(keras, torch, optimizers.SGD(ours, momentum=0.9), keras.optimizers.SGD(theirs, momentum=0.9), 1)
    same_steps(keras, torch, optimizers.Adam(ours), keras.optimizers.Adam(theirs), 2)


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_constructors_take_keras_arguments_in_keras_order(keras: Any, name: str) -> None:
    ours = list(inspect.signature(getattr(optimizers, name).__init__).parameters.values())[1:]
    theirs = list(inspect.signature(getattr(keras.optimizers, name).__init__).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"momentum": 1.5}),
        ("SGD", {"momentum": -0.1}),
        ("SGD", {"momentum": "fast"}),
        ("SGD", {"momentun": 0.9}),
        ("Adam", {"beta": 0.9}),
    ],
)
def test_arguments_that_keras_refuses_are_refused(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        getattr(keras.optimizers, name)(**arguments)
    with pytest.raises((ValueError, TypeError)):
        getattr(optimizers, name)(**arguments)
