"""Initializers and penalties beside Keras's: the whole distribution, for every shape of weight."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import initializers, regularizers
from gpudl.autograd import Tensor
from gpudl.initializers import fans
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

DRAWN: list[tuple[str, dict[str, Any]]] = [
    ("GlorotUniform", {}),
    ("GlorotNormal", {}),
    ("HeUniform", {}),
    ("HeNormal", {}),
    ("LecunUniform", {}),
    ("LecunNormal", {}),
    ("RandomNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 0.2}),
    ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 0.5}),
    ("RandomUniform", {}),
    ("RandomUniform", {"minval": 0.0, "maxval": 2.0}),
    ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"scale": 0.5, "mode": "fan_avg", "distribution": "uniform"}),
]


@pytest.mark.parametrize("shape", [(100, 400), (5, 4, 10, 200)])
@pytest.mark.parametrize(("name", "arguments"), DRAWN)
def test_drawn_values_have_keras_distribution(
    keras: Any, name: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """Kolmogorov and Smirnov's distance of 40,000 draws in each stays below 1.7 deviations: chance exceeds that in
    0.6 % of all seeds, a standard deviation 6 % off nearly always.
    """
    ours = np.sort(getattr(initializers, name)(**arguments, seed=1)(shape).ravel())
    theirs = np.sort(np.asarray(getattr(keras.initializers, name)(**arguments, seed=1)(shape)).ravel())
    both = np.concatenate([ours, theirs])
    distance = np.abs(
        np.searchsorted(ours, both, "right") / ours.size - np.searchsorted(theirs, both, "right") / theirs.size
    ).max()
    assert distance < 1.7 * np.sqrt(2 / ours.size)
    reach = np.abs(theirs - theirs.mean()).max()  # the ends, which tell a cut-off normal from a wider one
    bounded = "Uniform" in name or "Truncated" in name or arguments.get("distribution") == "uniform"
    if bounded or name.startswith(("Glorot", "He", "Lecun")) or (name, arguments) == ("VarianceScaling", {}):
        assert np.abs(ours - ours.mean()).max() == pytest.approx(reach, rel=0.01)


def test_orthogonal_has_keras_distribution(keras: Any) -> None:
    """The first entry of 400 matrices in each, by the distance of Kolmogorov and Smirnov, and the shapes refused."""
    ours = np.sort([initializers.Orthogonal(seed=seed)((4, 3))[0, 0] for seed in range(400)])
    theirs = np.sort([keras.initializers.Orthogonal(seed=seed)((4, 3))[0, 0].item() for seed in range(400)])
    both = np.concatenate([ours, theirs])
    distance = np.abs(np.searchsorted(ours, both, "right") - np.searchsorted(theirs, both, "right")).max() / 400
    assert distance < 1.7 * np.sqrt(2 / 400)
    for name, shape in (("Orthogonal", (3,)), ("Identity", (3,)), ("Identity", (2, 3, 4))):
        for library in (initializers, keras.initializers):
            with pytest.raises(ValueError, match=r"dimension|axes|matri"):
                getattr(library, name)()(shape)


@given(shape=st.lists(st.integers(1, 50), max_size=4).map(tuple))
@settings(max_examples=200)
def test_fans(keras: Any, shape: tuple[int, ...]) -> None:
    from keras.src.initializers.random_initializers import compute_fans

    assert fans(shape) == compute_fans(shape)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Zeros", {}),
        ("Ones", {}),
        ("Constant", {}),
        ("Constant", {"value": -2.5}),
        ("Identity", {}),
        ("Identity", {"gain": -1.5}),
        ("IdentityInitializer", {"gain": 2}),
    ],
)
def test_constant_values(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = getattr(initializers, name)(**arguments), getattr(keras.initializers, name)(**arguments)
    check_close(name, ours((2, 3)), np.asarray(theirs((2, 3))), 0.0)


@pytest.mark.parametrize(
    "arguments",
    [{"scale": 0.0}, {"scale": -1.0}, {"mode": "fan"}, {"distribution": "normal-ish"}],
)
def test_arguments_that_keras_refuses_are_refused(keras: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        keras.initializers.VarianceScaling(**arguments)
    with pytest.raises(ValueError, match=next(iter(arguments))):
        initializers.VarianceScaling(**arguments)


@pytest.mark.parametrize("name", sorted({name for name, _ in DRAWN} | {"Constant", "Identity", "Orthogonal"}))
def test_constructors_take_keras_arguments(keras: Any, name: str) -> None:
    ours = list(inspect.signature(getattr(initializers, name).__init__).parameters.values())[1:]
    theirs = list(inspect.signature(getattr(keras.initializers, name).__init__).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]


@given(
    name=st.sampled_from(["L1", "L2", "L1L2"]),
    amounts=st.lists(st.sampled_from([0.0, 0.01, 0.5]), max_size=2),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60)
def test_penalties(keras: Any, torch: Any, name: str, amounts: list[float], seed: int) -> None:
    amounts = amounts if name == "L1L2" else amounts[:1]
    w = np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32)
    ours, theirs = Tensor(w, requires_grad=True), torch.tensor(w, requires_grad=True)
    penalty = getattr(regularizers, name)(*amounts)(ours)
    expected = getattr(keras.regularizers, name)(*amounts)(theirs)
    if name == "L1L2" and not any(amounts):
        assert penalty == 0 and float(expected) == 0
        return
    check_close(name, penalty.data if isinstance(penalty, Tensor) else penalty, expected.detach().numpy())
    if not any(amounts) and amounts:
        return
    penalty.backward()
    check_close("gradient", ours.grad, torch.autograd.grad(expected, [theirs])[0].numpy())


@pytest.mark.parametrize("name", ["l1", "l2", "L1", "L2", "L1L2", "l1l2"])
def test_penalties_by_name(keras: Any, name: str) -> None:
    w = np.linspace(-1, 2, 7, dtype=np.float32)
    ours, theirs = regularizers.get(name), keras.regularizers.get(name)
    assert ours is not None
    assert float(ours(w)) == pytest.approx(float(theirs(w)), rel=1e-6)
