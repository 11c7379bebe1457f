"""Activation functions and their layers beside Keras's: every setting, both precisions, and the ends of the numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import activations, layers
from gpudl.autograd import Tensor
from gpudl.testing import check_close

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")]

seeds = st.integers(0, 2**16)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
amounts = st.floats(0.05, 3)
nothing = st.just({})
ENDS = np.array([0, -0.0, 1e-30, -1e-30, 20, -20, 1e4, -1e4, np.inf, -np.inf, np.nan])

SETTINGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "celu": st.fixed_dictionaries({}, optional={"alpha": amounts}),
    "elu": st.fixed_dictionaries({}, optional={"alpha": st.floats(-1, 3)}),
    "exponential": nothing,
    "gelu": st.fixed_dictionaries({}, optional={"approximate": st.booleans()}),
    "hard_shrink": st.fixed_dictionaries({}, optional={"threshold": amounts}),
    "hard_sigmoid": nothing,
    "hard_silu": nothing,
    "hard_tanh": nothing,
    "leaky_relu": st.fixed_dictionaries({}, optional={"negative_slope": st.floats(0, 2)}),
    "linear": nothing,
    "log_sigmoid": nothing,
    "mish": nothing,
    "relu": st.fixed_dictionaries(
        {},
        optional={
            "negative_slope": st.floats(0.01, 2) | st.just(0.0),
            "max_value": st.none() | st.floats(0, 8) | st.just(6),
            "threshold": st.floats(-2, 2),
        },
    ),
    "relu6": nothing,
    "selu": nothing,
    "sigmoid": nothing,
    "silu": nothing,
    "soft_shrink": st.fixed_dictionaries({}, optional={"threshold": amounts}),
    "softplus": nothing,
    "softsign": nothing,
    "sparse_plus": nothing,
    "sparse_sigmoid": nothing,
    "squareplus": st.fixed_dictionaries({}, optional={"b": st.floats(0.1, 9)}),
    "tanh": nothing,
    "tanh_shrink": nothing,
    "threshold": st.fixed_dictionaries({"threshold": st.floats(-2, 2), "default_value": st.floats(-3, 3)}),
}
OVER_AN_AXIS = ["glu", "log_softmax", "softmax"]


def compare(keras: Any, torch: Any, name: str, x: np.ndarray, arguments: dict[str, Any], gradient: bool = True) -> None:
    """Values must agree, NaN and inf included; gradients where x is finite."""
    ours, theirs = Tensor(x.copy(), requires_grad=True), torch.tensor(x, requires_grad=True)
    y = getattr(activations, name)(ours, **arguments)
    y_theirs = getattr(keras.activations, name)(theirs, **arguments)
    expected = y_theirs.detach().numpy()
    size = float(
        np.abs([expected, x] if name == "squareplus" else expected).max(initial=0, where=np.isfinite(expected))
    )
    check_close(f"{name}{arguments}", y.data, expected, scale=size)  # squareplus: x + sqrt(x * x + b) cancels
    assert y.dtype == x.dtype
    if gradient:
        dy = np.random.default_rng(1).uniform(0.5, 1.5, y.shape).astype(x.dtype)
        y.backward(dy)
        (expected,) = torch.autograd.grad(y_theirs, [theirs], torch.from_numpy(dy))
        assert ours.grad is not None
        # Relative to slopes near 1, where there is none larger.
        size = max(1.0, float(np.abs(expected.numpy()).max(initial=0)))
        check_close(f"gradient of {name}{arguments}", ours.grad, expected.numpy(), scale=size)


@pytest.mark.parametrize("name", SETTINGS)
@given(data=st.data(), shape=shapes, precision=st.sampled_from(["float32", "float64"]), seed=seeds)
@settings(max_examples=40)
def test_elementwise(
    keras: Any, torch: Any, score: Any, name: str, data: st.DataObject, shape: Any, precision: str, seed: int
) -> None:
    x = (2.5 * np.random.default_rng(seed).standard_normal(shape)).astype(precision)
    arguments = data.draw(SETTINGS[name])
    with score("activation", name):
        compare(keras, torch, name, x, arguments)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", SETTINGS)
@given(data=st.data())
@settings(max_examples=15)
def test_at_the_ends(keras: Any, torch: Any, score: Any, name: str, precision: str, data: st.DataObject) -> None:
    """One by one, so that no large number hides another. Warnings are errors here: nothing overflows aloud."""
    arguments = data.draw(SETTINGS[name])
    for end in ENDS.astype(precision):
        with score("activation", name):
            compare(keras, torch, name, np.array([end]), arguments, gradient=bool(np.isfinite(end) and end != 0))


@pytest.mark.parametrize("name", OVER_AN_AXIS)
@given(shape=shapes, axis=st.integers(-4, 3), precision=st.sampled_from(["float32", "float64"]), seed=seeds)
@settings(max_examples=100)
def test_over_an_axis(
    keras: Any, torch: Any, score: Any, name: str, shape: Any, axis: int, precision: str, seed: int
) -> None:
    axis = axis % len(shape) if axis >= 0 else -1 - (-1 - axis) % len(shape)
    if name == "glu":
        shape = tuple(2 * n if i == axis % len(shape) else n for i, n in enumerate(shape))
    x = (2.5 * np.random.default_rng(seed).standard_normal(shape)).astype(precision)
    with score("activation", name):
        compare(keras, torch, name, x, {"axis": axis})


@pytest.mark.parametrize("name", ["log_softmax", "softmax"])
@pytest.mark.parametrize(
    "row", [[1e4, 0, -1e4], [np.inf, 0, 1], [-np.inf, 0, 1], [np.nan, 0, 1], [np.inf, np.inf, 0], [-np.inf] * 3]
)
def test_softmax_at_the_ends(keras: Any, torch: Any, score: Any, name: str, row: list[float]) -> None:
    with score("activation", name):
        compare(keras, torch, name, np.array([row], np.float32), {}, gradient=False)


@pytest.mark.parametrize("name", [*SETTINGS, *OVER_AN_AXIS])
def test_names_and_arguments(keras: Any, score: Any, name: str) -> None:
    """What Keras finds by a name, gpudl finds; but a threshold, without its two numbers, is no activation."""
    if name == "threshold":
        return
    with score("activation", name):
        found = activations.get(name)
        assert found is getattr(activations, name) and callable(keras.activations.get(name))
        assert activations.serialize(found) == keras.activations.serialize(keras.activations.get(name)) == name
        assert activations.deserialize(activations.serialize(found)) is found


# Layers

LAYERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ReLU": st.fixed_dictionaries(
        {},
        optional={
            "max_value": st.none() | st.floats(0, 4) | st.just(6),
            "negative_slope": st.floats(0.01, 2) | st.just(0.0),
            "threshold": st.floats(0, 2),
        },
    ),
    "LeakyReLU": st.fixed_dictionaries({}, optional={"negative_slope": st.floats(0, 2)}),
    "ELU": st.fixed_dictionaries({}, optional={"alpha": st.floats(0, 3)}),
    "Identity": nothing,
    "ActivityRegularization": st.fixed_dictionaries({}, optional={"l1": amounts, "l2": amounts}),
}
batches = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)


@pytest.mark.parametrize("name", LAYERS)
@given(data=st.data(), shape=batches, seed=seeds)
@settings(max_examples=60)
def test_layers(
    same_layer: Callable[..., None], score: Any, name: str, data: st.DataObject, shape: Any, seed: int
) -> None:
    arguments = data.draw(LAYERS[name])
    with score("layer", name):
        same_layer(name, arguments, shape, seed, [False, True])


@given(data=st.data(), shape=batches, seed=seeds)
@settings(max_examples=100)
def test_prelu(same_layer: Callable[..., None], score: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    axes = st.integers(1, len(shape) - 1)
    shared = data.draw(st.none() | axes | st.lists(axes, unique=True) | st.lists(axes, unique=True).map(tuple))
    with score("layer", "PReLU"):
        same_layer("PReLU", {"shared_axes": shared}, shape, seed, [False, True])


@given(data=st.data(), shape=batches, seed=seeds)
@settings(max_examples=100)
def test_softmax_layer(same_layer: Callable[..., None], score: Any, data: st.DataObject, shape: Any, seed: int) -> None:
    axes = st.integers(-len(shape), len(shape) - 1)
    several = st.sets(st.integers(0, len(shape) - 1), min_size=1)
    axis = data.draw(axes | several.map(list) | several.map(tuple))
    with score("layer", "Softmax"):
        same_layer("Softmax", {"axis": axis}, shape, seed, [False])


@given(l1=amounts | st.just(0), l2=amounts | st.just(0), shape=batches, seed=seeds)
@settings(max_examples=40)
def test_what_activity_regularization_adds(keras: Any, score: Any, l1: float, l2: float, shape: Any, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    ours, theirs = layers.ActivityRegularization(l1, l2), keras.layers.ActivityRegularization(l1, l2)
    ours(x)
    theirs(x)
    with score("layer", "ActivityRegularization"):
        check_close("loss", np.array([float(v) for v in ours.losses]), np.array([v.item() for v in theirs.losses]))


@given(shape=batches, seed=seeds, regularizer=st.sampled_from(["l1", "l2"]))
@settings(max_examples=20)
def test_weight_penalty_of_prelu(keras: Any, score: Any, shape: Any, seed: int, regularizer: str) -> None:
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    arguments: dict[str, Any] = {
        "alpha_initializer": "ones",
        "alpha_regularizer": regularizer,
        "alpha_constraint": "non_neg",
    }
    ours, theirs = layers.PReLU(**arguments), keras.layers.PReLU(**arguments)
    with score("layer", "PReLU"):
        check_close("value", np.asarray(ours(x)), theirs(x).detach().numpy())
        check_close("loss", np.array([float(v) for v in ours.losses]), np.array([v.item() for v in theirs.losses]))


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("ReLU", {"max_value": -1.0}),
    ("ReLU", {"negative_slope": -0.1}),
    ("ReLU", {"negative_slope": None}),
    ("ReLU", {"threshold": -1}),
    ("ReLU", {"threshold": None}),
    ("LeakyReLU", {"negative_slope": -0.1}),
    ("LeakyReLU", {"negative_slope": None}),
    ("PReLU", {"alpha_initializer": "nothing"}),
    ("PReLU", {"alpha_regularizer": "l3"}),
    ("PReLU", {"alpha_constraint": "short"}),
    ("ActivityRegularization", {"l1": -0.1}),
    ("ActivityRegularization", {"l2": -1}),
    ("ActivityRegularization", {"l2": float("nan")}),
    ("ActivityRegularization", {"l1": "0.1"}),
    ("Identity", {"axis": 1}),
    ("Softmax", {"axes": 1}),
]


@pytest.mark.parametrize(("name", "arguments"), REFUSED, ids=[f"{n}-{a}" for n, a in REFUSED])
def test_arguments_that_keras_refuses_are_refused(keras: Any, score: Any, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        getattr(keras.layers, name)(**arguments)
    with score("layer", name), pytest.raises((ValueError, TypeError)):
        getattr(layers, name)(**arguments)


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Identity", "ActivityRegularization"])
def test_constructors_take_keras_arguments(keras: Any, score: Any, name: str) -> None:
    own, known = (
        [
            (p.name, p.default)
            for p in list(inspect.signature(getattr(of, name).__init__).parameters.values())[1:]
            if p.kind is not p.VAR_KEYWORD
        ]
        for of in (layers, keras.layers)
    )
    with score("layer", name):
        assert own == known
