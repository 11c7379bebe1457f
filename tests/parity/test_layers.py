"""Layers beside Keras's: outputs, gradients, state, over the whole space of the arguments gpudl takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl import layers
from gpudl.testing import check_close

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")]

EXAMPLES = 300
seeds = st.integers(0, 2**16)
activations = st.sampled_from([None, "linear", "relu", "sigmoid", "tanh", "softmax", "log_softmax"])
formats = st.sampled_from([None, "channels_last", "channels_first"])


def int_or_pair(values: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return values | st.tuples(values, values)


def symmetric(size: int, window: int, stride: int) -> bool:
    return max(0, (math.ceil(size / stride) - 1) * stride + window - size) % 2 == 0


def as_pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def image(batch: int, size: tuple[int, int], channels: int, data_format: str | None) -> tuple[int, ...]:
    return (batch, channels, *size) if data_format == "channels_first" else (batch, *size, channels)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    groups = draw(st.integers(1, 3))
    kernel_size = draw(int_or_pair(st.integers(1, 4)))
    strides = draw(int_or_pair(st.integers(1, 3)))
    dilation_rate = draw(int_or_pair(st.integers(1, 3))) if max(as_pair(strides)) == 1 else 1
    padding = draw(st.sampled_from(["valid", "same", "SAME"]))
    reach = [(k - 1) * d + 1 for k, d in zip(as_pair(kernel_size), as_pair(dilation_rate), strict=True)]
    smallest = [n if padding == "valid" else 1 for n in reach]
    size = (draw(st.integers(smallest[0], smallest[0] + 5)), draw(st.integers(smallest[1], smallest[1] + 5)))
    arguments = {
        "filters": groups * draw(st.integers(1, 3)),
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": padding,
        "data_format": draw(formats),
        "dilation_rate": dilation_rate,
        "groups": groups,
        "activation": draw(activations),
        "use_bias": draw(st.booleans()),
    }
    if arguments["data_format"] == "channels_first":
        # A softmax over the width takes every bias away again: its gradient would be rounding alone.
        assume("softmax" not in str(arguments["activation"]))
    channels = groups * draw(st.integers(1, 2))
    # PyTorch has no gradient for the kernel of one image, two channels and one filter in this layout.
    return arguments, image(draw(st.integers(2, 3)), size, channels, arguments["data_format"])


@st.composite
def poolings(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    pool_size = draw(int_or_pair(st.integers(1, 4)))
    padding = draw(st.sampled_from(["valid", "same"]))
    smallest = [n if padding == "valid" else 1 for n in as_pair(pool_size)]
    size = (draw(st.integers(smallest[0], smallest[0] + 5)), draw(st.integers(smallest[1], smallest[1] + 5)))
    arguments = {
        "pool_size": pool_size,
        "strides": draw(st.none() | int_or_pair(st.integers(1, 4))),
        "padding": padding,
        "data_format": draw(formats),
    }
    return arguments, image(draw(st.integers(1, 3)), size, draw(st.integers(1, 3)), arguments["data_format"])


@st.composite
def normalizations(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    shape = (draw(st.integers(3, 8)), *draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    arguments = {
        "axis": draw(st.sampled_from([*range(1, len(shape)), *range(1 - len(shape), 0)])),
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])),
        "epsilon": draw(st.sampled_from([1e-3, 1e-2, 0.5])),
        "center": draw(st.booleans()),
        "scale": draw(st.booleans()),
    }
    return arguments, shape


@given(case=convolutions(), seed=seeds)
@settings(max_examples=2 * EXAMPLES)
def test_conv2d(same_layer: Callable[..., None], case: Any, seed: int) -> None:
    same_layer("Conv2D", *case, seed, [False])


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
@given(case=poolings(), seed=seeds)
@settings(max_examples=EXAMPLES)
def test_pooling(same_layer: Callable[..., None], name: str, case: Any, seed: int) -> None:
    arguments, shape = case
    if name == "AveragePooling2D" and arguments["padding"] == "same":
        # Where one side gets more padding than the other, Keras repeats the edge on this backend, and counts it.
        size = shape[2:] if arguments["data_format"] == "channels_first" else shape[1:3]
        windows, strides = as_pair(arguments["pool_size"]), as_pair(arguments["strides"] or arguments["pool_size"])
        assume(all(symmetric(*axis) for axis in zip(size, windows, strides, strict=True)))
    same_layer(name, arguments, shape, seed, [False])


@pytest.mark.parametrize("name", ["GlobalMaxPooling2D", "GlobalAveragePooling2D"])
@given(
    data_format=formats,
    keepdims=st.booleans(),
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    seed=seeds,
)
@settings(max_examples=EXAMPLES // 3)
def test_global_pooling(
    same_layer: Callable[..., None], name: str, data_format: Any, keepdims: bool, shape: Any, seed: int
) -> None:
    same_layer(name, {"data_format": data_format, "keepdims": keepdims}, shape, seed, [False])


@given(
    units=st.integers(1, 5),
    activation=activations,
    use_bias=st.booleans(),
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple),
    seed=seeds,
)
@settings(max_examples=EXAMPLES)
def test_dense(
    same_layer: Callable[..., None],
    units: int,
    activation: Any,
    use_bias: bool,
    shape: Any,
    seed: int,
) -> None:
    arguments = {"units": units, "activation": activation, "use_bias": use_bias}
    same_layer("Dense", arguments, shape, seed, [False])


@given(case=normalizations(), trainable=st.booleans(), seed=seeds)
@settings(max_examples=EXAMPLES)
def test_batch_normalization(same_layer: Callable[..., None], case: Any, trainable: bool, seed: int) -> None:
    arguments, shape = case
    same_layer("BatchNormalization", {**arguments, "trainable": trainable}, shape, seed, [False, True])


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    data_format=formats,
    seed=seeds,
)
@settings(max_examples=EXAMPLES // 3)
def test_flatten(same_layer: Callable[..., None], shape: Any, data_format: Any, seed: int) -> None:
    same_layer("Flatten", {"data_format": data_format}, shape, seed, [False])


@given(
    sizes=st.permutations([2, 3, 4]),
    target=st.sampled_from([(24,), (-1,), (6, 4), (2, -1), (-1, 3, 2), (4, 3, 2), (1, 24, 1), [8, 3]]),
    seed=seeds,
)
@settings(max_examples=EXAMPLES // 3)
def test_reshape(same_layer: Callable[..., None], sizes: Any, target: Any, seed: int) -> None:
    same_layer("Reshape", {"target_shape": target}, (2, *sizes), seed, [False])


@given(
    activation=activations.filter(lambda name: name is not None),
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple),
    seed=seeds,
)
@settings(max_examples=EXAMPLES // 3)
def test_activation(same_layer: Callable[..., None], activation: str, shape: Any, seed: int) -> None:
    same_layer("Activation", {"activation": activation}, shape, seed, [False])


@given(
    scale=st.sampled_from([1 / 255, 2, -0.5]),
    offset=st.sampled_from([0.0, -1, 0.5]),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    seed=seeds,
)
@settings(max_examples=EXAMPLES // 3)
def test_rescaling(same_layer: Callable[..., None], scale: float, offset: float, shape: Any, seed: int) -> None:
    same_layer("Rescaling", {"scale": scale, "offset": offset}, shape, seed, [False])


@given(rate=st.sampled_from([0, 0.3, 1.0]), seed=seeds)
@settings(max_examples=20)
def test_dropout_in_inference(same_layer: Callable[..., None], rate: float, seed: int) -> None:
    same_layer("Dropout", {"rate": rate}, (3, 4), seed, [False, True] if rate == 0 else [False])


@pytest.mark.parametrize("noise_shape", [None, (None, 1, 6), (1, None, 1), (64, 50, 1)])
def test_dropout_in_training(keras: Any, noise_shape: Any) -> None:
    """Not the same mask, but the same two values, the same axes dropped as one, the same share to 5 deviations."""
    x = np.ones((64, 50, 6), np.float32)
    ours = np.asarray(layers.Dropout(0.3, noise_shape)(x, training=True))
    theirs = keras.layers.Dropout(0.3, noise_shape, seed=1)(x, training=True).numpy()
    assert set(np.unique(ours)) == set(np.unique(theirs))
    shape = x.shape if noise_shape is None else tuple(own or n for own, n in zip(noise_shape, x.shape, strict=True))
    cut = tuple(slice(0, n) for n in shape)
    for y in (ours, theirs):
        np.testing.assert_array_equal(np.broadcast_to(y[cut], x.shape), y)
        assert abs((y[cut] == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / y[cut].size)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("Dense", {"units": 0}),
    ("Dense", {"units": -1}),
    ("Dense", {"units": 2.5}),
    ("Dense", {"units": "3"}),
    ("Dense", {"units": None}),
    ("Dense", {"units": 2, "activation": "rleu"}),
    ("Dense", {"units": 2, "kernel_initializer": "glorot"}),
    ("Dense", {"units": 2, "bias_initializer": "nothing"}),
    ("Dense", {"units": 2, "kernel_regularizer": "l3"}),
    ("Dense", {"units": 2, "use_bais": True}),
    ("Conv2D", {"filters": 0, "kernel_size": 3}),
    ("Conv2D", {"filters": -2, "kernel_size": 3}),
    ("Conv2D", {"filters": 4, "kernel_size": 0}),
    ("Conv2D", {"filters": 4, "kernel_size": -1}),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 3, 3)}),
    ("Conv2D", {"filters": 4, "kernel_size": "3"}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 0}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": (1, -1)}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "dilation_rate": 2}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": (1, 2), "dilation_rate": (2, 1)}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": 0}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 0}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 3}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "causal"}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "full"}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "data_format": "nhwc"}),
    ("MaxPooling2D", {"pool_size": 0}),
    ("MaxPooling2D", {"pool_size": (2, 2, 2)}),
    ("AveragePooling2D", {"pool_size": -2}),
    ("AveragePooling2D", {"data_format": "first"}),
    ("GlobalMaxPooling2D", {"data_format": "first"}),
    ("GlobalAveragePooling2D", {"data_format": "last"}),
    ("Dropout", {"rate": -0.1}),
    ("Dropout", {"rate": 1.1}),
    ("Dropout", {"rate": 0.5, "noise_shape": "all"}),
    ("Dropout", {"rate": 0.5, "noise_shape": (0, 1)}),
    ("Dropout", {"rate": 0.5, "noise_shape": (1.5, 1)}),
    ("Activation", {"activation": "softmx"}),
    ("Flatten", {"data_format": "nchw"}),
    ("Rescaling", {}),
    ("Reshape", {}),
    ("Dense", {}),
]


@pytest.mark.parametrize(("name", "arguments"), REFUSED, ids=[f"{n}-{a}" for n, a in REFUSED])
def test_arguments_that_keras_refuses_are_refused(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        getattr(keras.layers, name)(**arguments)
    with pytest.raises((ValueError, TypeError)):
        getattr(layers, name)(**arguments)


@pytest.mark.parametrize(
    "name",
    sorted({name for name, _ in REFUSED} | {"BatchNormalization"}),
)
def test_constructors_take_keras_arguments_in_keras_order(keras: Any, name: str) -> None:
    """Each argument of its own has Keras's name and default, and those before it are Keras's."""
    ours = list(inspect.signature(getattr(layers, name).__init__).parameters.values())[1:]
    theirs = inspect.signature(getattr(keras.layers, name).__init__).parameters
    own = [p for p in ours if p.kind is not p.VAR_KEYWORD]
    known = list(theirs)[1:]
    assert [p.name for p in own] == [each for each in known if each in {p.name for p in own}]
    skipped = {each for each in known[: len(own)] if each not in {p.name for p in own}}
    assert skipped <= {"activity_regularizer"}  # stands before the constraints, which gpudl has not either
    for p in own:
        default = theirs[p.name].default
        assert p.default in (default, default[0] if isinstance(default, tuple) else default) or (
            default is inspect.Parameter.empty  # what Keras asks for may have a default here
        ), p.name


def test_keras_weights_fit_a_whole_model(keras: Any, rng: np.random.Generator) -> None:
    """One list of arrays, taken out of Keras's model, goes into gpudl's: the order of all weights is Keras's."""

    def made(of: Any, input: Any) -> Any:
        return [
            input,
            of.Conv2D(3, 3, activation="relu"),
            of.BatchNormalization(),
            of.MaxPooling2D(),
            of.Flatten(),
            of.BatchNormalization(scale=False),
            of.Dense(4, use_bias=False),
            of.Dense(2, activation="softmax"),
        ]

    from gpudl import Sequential

    ours = Sequential(made(layers, layers.Input(shape=(8, 8, 2))))
    theirs = keras.Sequential(made(keras.layers, keras.Input(shape=(8, 8, 2))))
    weights = [rng.uniform(0.1, 1, w.shape) for w in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(theirs.get_weights())
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    x = rng.standard_normal((5, 8, 8, 2)).astype(np.float32)
    check_close("predictions", ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    assert ours.count_params() == theirs.count_params()
