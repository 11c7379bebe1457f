"""Every layer keeps to what `check_layer` asks, over its settings; and the plain values of the simple ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import layers, models, random, registry
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError, UnknownNameError, UsageError
from gpudl.testing import check_layer

IMAGE = (5, 6, 4)
SMALL = (3, 3, 2)
LINE = (6, 4)

CASES: list[tuple[type[layers.Layer], dict[str, Any], tuple[int, ...]]] = [
    (layers.Dense, {"units": 3}, (4,)),
    (layers.Dense, {"units": 3, "activation": "tanh", "use_bias": False, "name": "own"}, (4,)),
    (layers.Dense, {"units": 2, "activation": "sigmoid", "kernel_regularizer": "l2"}, (3, 4)),
    (layers.Dense, {"units": 4, "activation": "softmax", "kernel_initializer": "he_normal"}, (2, 3, 2)),
    (layers.Conv2D, {"filters": 3, "kernel_size": 3}, IMAGE),
    (layers.Conv2D, {"filters": 2, "kernel_size": (2, 3), "strides": 2, "padding": "same"}, IMAGE),
    (layers.Conv2D, {"filters": 4, "kernel_size": 2, "dilation_rate": (2, 1), "groups": 2}, IMAGE),
    (layers.Conv2D, {"filters": 2, "kernel_size": 3, "activation": "relu", "use_bias": False}, IMAGE),
    (layers.Conv2D, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"}, (3, 4, 5)),
    (layers.Conv1D, {"filters": 3, "kernel_size": 2}, LINE),
    (layers.Conv1D, {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"}, LINE),
    (layers.Conv1D, {"filters": 4, "kernel_size": (3,), "dilation_rate": 2, "padding": "causal", "groups": 2}, LINE),
    (layers.Conv1D, {"filters": 2, "kernel_size": 3, "data_format": "channels_first", "use_bias": False}, (3, 5)),
    (layers.Conv1DTranspose, {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, LINE),
    (layers.Conv1DTranspose, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"}, (3, 5)),
    (layers.Conv2DTranspose, {"filters": 3, "kernel_size": 3}, SMALL),
    (layers.Conv2DTranspose, {"filters": 2, "kernel_size": (2, 3), "strides": 2, "padding": "same"}, SMALL),
    (layers.Conv2DTranspose, {"filters": 2, "kernel_size": 2, "strides": (3, 2), "output_padding": (1, 0)}, SMALL),
    (layers.Conv2DTranspose, {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "activation": "tanh"}, SMALL),
    (layers.Conv2DTranspose, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"}, (2, 3, 3)),
    (layers.DepthwiseConv2D, {"kernel_size": 3}, IMAGE),
    (layers.DepthwiseConv2D, {"kernel_size": (2, 3), "strides": 2, "padding": "same", "depth_multiplier": 2}, IMAGE),
    (layers.DepthwiseConv2D, {"kernel_size": 2, "strides": (2, 1), "dilation_rate": 2, "use_bias": False}, IMAGE),
    (layers.DepthwiseConv2D, {"kernel_size": 2, "data_format": "channels_first", "activation": "tanh"}, (3, 4, 5)),
    (layers.SeparableConv2D, {"filters": 3, "kernel_size": 2}, SMALL),
    (layers.SeparableConv2D, {"filters": 3, "kernel_size": 2, "strides": 2, "depth_multiplier": 3}, SMALL),
    (layers.SeparableConv2D, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"}, (2, 3, 3)),
    (layers.MaxPooling1D, {}, LINE),
    (layers.MaxPooling1D, {"pool_size": 3, "strides": 1, "padding": "same"}, LINE),
    (layers.AveragePooling1D, {"pool_size": 3, "strides": 2, "padding": "same"}, LINE),
    (layers.AveragePooling1D, {"pool_size": 2, "data_format": "channels_first"}, (3, 5)),
    (layers.GlobalAveragePooling1D, {}, LINE),
    (layers.GlobalMaxPooling1D, {"keepdims": True, "data_format": "channels_first"}, LINE),
    (layers.ZeroPadding1D, {"padding": (2, 0)}, LINE),
    (layers.ZeroPadding2D, {}, SMALL),
    (layers.ZeroPadding2D, {"padding": ((1, 0), (0, 2)), "data_format": "channels_first"}, SMALL),
    (layers.Cropping1D, {"cropping": (1, 2)}, LINE),
    (layers.Cropping2D, {"cropping": (1, 2)}, IMAGE),
    (layers.Cropping2D, {"cropping": ((0, 2), (1, 0))}, IMAGE),
    (layers.UpSampling1D, {"size": 3}, LINE),
    (layers.UpSampling2D, {"size": (2, 3)}, SMALL),
    (layers.UpSampling2D, {"size": (3, 2), "interpolation": "bilinear"}, SMALL),
    (layers.UpSampling2D, {"interpolation": "bilinear", "data_format": "channels_first"}, SMALL),
    (layers.RepeatVector, {"n": 3}, (4,)),
    (layers.Permute, {"dims": (3, 1, 2)}, IMAGE),
    (layers.LayerNormalization, {}, (4,)),
    (layers.LayerNormalization, {"axis": [1, 3], "epsilon": 0.1}, (3, 2, 4)),
    (layers.LayerNormalization, {"axis": (-1, -2), "scale": False}, (3, 4)),
    (layers.LayerNormalization, {"axis": 1, "center": False}, (4, 3)),
    (layers.SpatialDropout1D, {"rate": 0.4}, LINE),
    (layers.SpatialDropout2D, {"rate": 0.4, "seed": 3}, SMALL),
    (layers.SpatialDropout2D, {"rate": 0.4, "data_format": "channels_first"}, SMALL),
    (layers.GaussianNoise, {"stddev": 0.4}, (7,)),
    (layers.GaussianDropout, {"rate": 0.4, "seed": 1}, (7,)),
    (layers.MaxPooling2D, {}, IMAGE),
    (layers.MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    (layers.MaxPooling2D, {"pool_size": (2, 3), "data_format": "channels_first"}, (2, 5, 6)),
    (layers.AveragePooling2D, {}, IMAGE),
    (layers.AveragePooling2D, {"pool_size": 3, "strides": (1, 2), "padding": "same"}, IMAGE),
    (layers.GlobalAveragePooling2D, {}, IMAGE),
    (layers.GlobalAveragePooling2D, {"keepdims": True, "data_format": "channels_first"}, IMAGE),
    (layers.GlobalMaxPooling2D, {}, IMAGE),
    (layers.GlobalMaxPooling2D, {"keepdims": True}, IMAGE),
    (layers.Flatten, {}, IMAGE),
    (layers.Flatten, {}, ()),
    (layers.Reshape, {"target_shape": (2, -1)}, (4, 3)),
    (layers.Reshape, {"target_shape": (12,)}, (4, 3)),
    (layers.Dropout, {"rate": 0.4}, (7,)),
    (layers.Dropout, {"rate": 0.5, "noise_shape": (None, 1, 3), "seed": 5}, (4, 3)),
    (layers.Dropout, {"rate": 0}, (3,)),
    (layers.Dropout, {"rate": 1.0}, (3,)),
    (layers.BatchNormalization, {}, (4,)),
    (layers.BatchNormalization, {"momentum": 0.5, "epsilon": 0.1}, (3, 2, 4)),
    (layers.BatchNormalization, {"axis": 1, "scale": False}, (4, 3, 2)),
    (layers.BatchNormalization, {"axis": 2, "center": False}, (2, 3)),
    (layers.BatchNormalization, {"center": False, "scale": False}, (4,)),
    (layers.Activation, {"activation": "relu"}, (4,)),
    (layers.Lambda, {"function": "tanh"}, (4,)),
    (layers.Lambda, {"function": "leaky_relu", "arguments": {"negative_slope": 0.5}, "output_shape": (4,)}, (4,)),
    (layers.Activation, {"activation": "log_softmax"}, (4,)),
    (layers.Rescaling, {"scale": 1 / 255}, (4, 3)),
    (layers.Rescaling, {"scale": 2.0, "offset": -1}, (4,)),
    (layers.ReLU, {}, (4, 3)),
    (layers.ReLU, {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.5}, (4,)),
    (layers.LeakyReLU, {}, (4, 3)),
    (layers.PReLU, {}, (4,)),
    (layers.PReLU, {"shared_axes": (1, 2), "alpha_regularizer": "l2", "alpha_constraint": "non_neg"}, (3, 2, 4)),
    (layers.ELU, {"alpha": 0.5}, (4,)),
    (layers.Softmax, {}, (4, 3)),
    (layers.Softmax, {"axis": (1, 2)}, (4, 3)),
    (layers.Identity, {}, (4,)),
    (layers.ActivityRegularization, {"l1": 0.1, "l2": 0.2}, (4,)),
    (layers.Rescaling, {"scale": [1.0, 2.0, 0.5], "offset": [0.0, 1.0, -1.0]}, (4, 3)),
    (layers.Normalization, {}, (4, 3)),
    (layers.Normalization, {"axis": (1, -1), "invert": True}, (4, 2, 3)),
    (layers.Normalization, {"axis": None, "mean": 0.5, "variance": 4.0}, (3,)),
    (layers.Normalization, {"mean": [0.5, 1.0], "variance": [4.0, 0.0], "invert": True}, (2,)),
    (layers.CenterCrop, {"height": 3, "width": 4}, IMAGE),
    (layers.CenterCrop, {"height": 7, "width": 3, "data_format": "channels_first"}, IMAGE),
    (layers.Resizing, {"height": 3, "width": 8}, IMAGE),
    (layers.Resizing, {"height": 7, "width": 3, "interpolation": "bicubic", "crop_to_aspect_ratio": True}, IMAGE),
    (layers.Resizing, {"height": 4, "width": 9, "pad_to_aspect_ratio": True, "fill_value": 2.0}, IMAGE),
    (layers.Resizing, {"height": 3, "width": 2, "antialias": True, "data_format": "channels_first"}, IMAGE),
    (layers.RandomFlip, {}, IMAGE),
    (layers.RandomFlip, {"mode": "vertical", "data_format": "channels_first", "seed": 3}, IMAGE),
    (layers.RandomTranslation, {"height_factor": 0.3, "width_factor": (-0.2, 0.5)}, IMAGE),
    (layers.RandomRotation, {"factor": 0.3, "fill_mode": "constant", "fill_value": 2.0}, IMAGE),
    (layers.RandomRotation, {"factor": (0.1, 0.4), "fill_mode": "wrap", "data_format": "channels_first"}, IMAGE),
    (layers.RandomZoom, {"height_factor": 0.4, "fill_mode": "nearest"}, IMAGE),
    (layers.RandomZoom, {"height_factor": 0.4, "width_factor": (0.2, 0.5), "interpolation": "nearest"}, IMAGE),
    (layers.RandomCrop, {"height": 3, "width": 4}, IMAGE),
    (layers.RandomCrop, {"height": 7, "width": 4}, IMAGE),
    (layers.RandomBrightness, {"factor": 0.1, "value_range": (-4, 4)}, IMAGE),
    (layers.RandomContrast, {"factor": 0.5, "value_range": (-9.0, 9.0)}, IMAGE),
    (layers.RandomContrast, {"factor": (0.2, 0.9), "value_range": (-9, 9), "data_format": "channels_first"}, IMAGE),
]


@pytest.mark.parametrize(
    ("layer_class", "settings", "input_shape"), CASES, ids=[f"{c.__name__}-{i}" for i, (c, _, _) in enumerate(CASES)]
)
def test_layer(layer_class: type[layers.Layer], settings: dict[str, Any], input_shape: tuple[int, ...]) -> None:
    check_layer(layer_class, settings, input_shape)


@pytest.mark.parametrize(
    ("layer_class", "settings", "input_shape"), CASES, ids=[f"{c.__name__}-{i}" for i, (c, _, _) in enumerate(CASES)]
)
def test_steps_that_are_repeated(
    layer_class: type[layers.Layer], settings: dict[str, Any], input_shape: tuple[int, ...]
) -> None:
    """`fit` makes the same of a layer whether or not it repeats what the second step called, to the bit."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(26, *input_shape)).astype("float32"), rng.integers(0, 3, 26)
    found: list[list[bytes]] = []
    for jit_compile in ("auto", False):
        random.set_random_seed(3)
        head = [layers.Flatten(), layers.Dense(3, activation="softmax")]
        model = models.Sequential([layers.Input(input_shape), layer_class(**settings), *head])
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit_compile)
        history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, validation_data=(x, y)).history
        numbers = [*model.get_weights(), *history.values(), *(float(penalty) for penalty in model.losses)]
        found.append([np.asarray(value).tobytes() for value in numbers])
    assert found[0] == found[1]


def test_every_registered_layer_has_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].glob("*/*.py"))
    own = {item for name, item in registry.table("layers").items() if registry.owner("layers", name) == "gpudl"}
    missing = [item.__name__ for item in own if not re.search(rf"layers\.{item.__name__}\b", tests)]
    assert not (set(missing) - {"InputLayer", "Model", "Sequential"})


def test_dense_by_hand() -> None:
    check_layer(layers.Dense, {"units": 3}, (2, 4), oracle=lambda x, weights: x @ weights[0] + weights[1])


def test_batch_normalization_by_hand() -> None:
    def oracle(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
        gamma, beta, mean, variance = weights
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    check_layer(layers.BatchNormalization, {}, (3, 4), oracle=oracle)


def test_batch_normalization_follows_the_batch(rng: np.random.Generator) -> None:
    layer = layers.BatchNormalization(momentum=0.75)
    x = rng.normal(3, 2, (64, 5)).astype(np.float32)
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=0), 1, atol=1e-3)
    gamma, beta, mean, variance = layer.get_weights()
    np.testing.assert_allclose(mean, 0.25 * x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.75 + 0.25 * x.var(axis=0), rtol=1e-5)
    assert (gamma == 1).all() and (beta == 0).all()


def test_frozen_batch_normalization_is_in_inference_mode(rng: np.random.Generator) -> None:
    layer = layers.BatchNormalization(trainable=False)
    x = rng.normal(3, 2, (8, 5)).astype(np.float32)
    y = layer(x, training=True).numpy()
    np.testing.assert_array_equal(y, layer(x, training=False).numpy())
    np.testing.assert_allclose(y, x / np.sqrt(1.001), rtol=1e-6)
    assert (layer.get_weights()[2] == 0).all()
    layer.trainable = True
    assert abs(layer(x, training=True).numpy().mean()) < 1e-5


def test_dropout_scales_what_it_keeps_and_differs_from_step_to_step() -> None:

    layer = layers.Dropout(0.25)
    x = np.ones((100, 100), np.float32)
    assert layer(x, training=False) is not None and (layer(x, training=False) == 1).all()
    masks = []
    for step in (3, 4, 3):
        random.begin_step(step)
        masks.append(layer(x, training=True))
    assert set(np.unique(masks[0]).tolist()) == {0.0, float(np.float32(1 / 0.75))}
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks[0], masks[2])
    assert (layer(x, training=True) != masks[2]).any(), "the second draw of a step is another one"


@pytest.mark.parametrize(
    ("make", "about"),
    [
        (lambda: layers.Dense(0), "units=0"),
        (lambda: layers.Dense(2.5), "units=2.5"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.Dense(-3), "units=-3"),
        (lambda: layers.Conv2D(0, 3), "filters=0"),
        (lambda: layers.Conv2D(4, 3, groups=3), "groups"),
        (lambda: layers.Conv2D(4, 3, groups=0), "groups"),
        (lambda: layers.Conv2D(4, 0), "kernel_size"),
        (lambda: layers.Conv2D(4, (3, 3, 3)), "kernel_size"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.Conv2D(4, 3, strides=0), "strides"),
        (lambda: layers.Conv2D(4, 3, strides=-1), "strides"),
        (lambda: layers.Conv2D(4, 3, strides=2, dilation_rate=2), "dilation_rate=2"),
        (lambda: layers.Conv2D(4, 3, dilation_rate=0), "dilation_rate"),
        (lambda: layers.Conv2D(4, 3, padding="full"), "padding='full'"),
        (lambda: layers.Conv2D(4, 3, data_format="NHWC"), "data_format"),
        (lambda: layers.MaxPooling2D(0), "pool_size"),
        (lambda: layers.MaxPooling2D(padding="causal"), "padding='causal'"),
        (lambda: layers.AveragePooling2D(strides=0), "strides"),
        (lambda: layers.GlobalMaxPooling2D(data_format="last"), "data_format"),
        (lambda: layers.Dropout(1.5), "rate=1.5"),
        (lambda: layers.Dropout(-0.1), "rate=-0.1"),
        (lambda: layers.BatchNormalization(momentum=2), "momentum=2"),
        (lambda: layers.Dense(3, dtype="float16"), "dtype='float16'"),
        (lambda: layers.Input(), "shape"),
    ],
)
def test_arguments_that_are_refused_name_themselves(make: Any, about: str) -> None:
    with pytest.raises(UsageError, match=about):
        make()


@pytest.mark.parametrize(
    ("make", "near"),
    [
        (lambda: layers.Dense(3, activation="sigmod"), 'did you mean "sigmoid"'),
        (lambda: layers.Activation("softmx"), 'did you mean "softmax"'),
    ],
)
def test_an_unknown_name_has_a_near_one(make: Any, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        make()


def test_an_unknown_initializer_or_regularizer_has_a_near_name() -> None:
    with pytest.raises(UnknownNameError, match='did you mean "glorot_uniform"'):
        layers.Dense(3, kernel_initializer="glorot_unform")(np.zeros((1, 2)))
    with pytest.raises(UnknownNameError, match="l1"):
        layers.Dense(3, kernel_regularizer="l3")(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("layer", "shape", "about"),
    [
        (layers.Conv2D(2, 5, name="big"), (1, 3, 3, 1), 'Conv2D "big"'),
        (layers.Conv2D(2, 3, name="flat"), (1, 9), 'Conv2D "flat"'),
        (layers.Conv2D(4, 3, groups=2, name="odd"), (1, 9, 9, 3), "groups=2"),
        (layers.MaxPooling2D(4, name="pool"), (1, 3, 3, 1), 'MaxPooling2D "pool"'),
        (layers.Reshape((5, -1), name="r"), (1, 6), 'Reshape "r"'),
        (layers.Reshape((4,), name="s"), (1, 6), "cannot become"),
        (layers.BatchNormalization(axis=3, name="bn"), (1, 6), 'BatchNormalization "bn"'),
        (layers.Dropout(0.5, noise_shape=(1, 1, 1), name="d"), (1, 6), 'Dropout "d"'),
        (layers.Dense(3, name="none"), (4,), 'Dense "none"'),
    ],
)
def test_inputs_that_do_not_fit_name_the_layer(layer: layers.Layer, shape: tuple[int, ...], about: str) -> None:
    with pytest.raises(ShapeError, match=about):
        layer(np.zeros(shape), training=True)


def test_a_built_layer_names_itself_when_later_inputs_do_not_fit() -> None:
    for layer, first, then in (
        (layers.Dense(3), (2, 4), (2, 5)),
        (layers.Conv2D(3, 2), (2, 4, 4, 3), (2, 4, 4, 2)),
        (layers.BatchNormalization(), (2, 4), (2, 5)),
    ):
        layer(np.zeros(first))
        with pytest.raises(ShapeError, match=f'"{layer.name}"'):
            layer(np.zeros(then))


def test_weights_of_the_wrong_number_or_shape_are_refused_as_a_whole() -> None:
    layer = layers.Dense(3, name="d")
    layer(np.zeros((1, 2)))
    before = layer.get_weights()
    with pytest.raises(UsageError, match=r'Dense "d" has 2 weights, but 1 arrays'):
        layer.set_weights(before[:1])
    with pytest.raises(UsageError, match=r'weight "bias" has shape \(3,\).*\(2,\)'):
        layer.set_weights([np.ones((2, 3)), np.ones(2)])
    for after, value in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, value)


def test_weights_are_handed_out_as_copies() -> None:
    layer = layers.Dense(3)
    layer(np.zeros((1, 2)))
    layer.get_weights()[1][...] = 7
    assert (layer.get_weights()[1] == 0).all()
    mine = np.ones((2, 3), np.float32)
    layer.set_weights([mine, np.zeros(3)])
    mine[...] = 5
    assert (layer.get_weights()[0] == 1).all()


def test_integer_inputs_become_floating_point() -> None:
    y = layers.Rescaling(1 / 255)(np.array([[0, 51, 255]], np.uint8))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [[0, 0.2, 1]], rtol=1e-6)


def test_plain_arrays_pass_layers_without_weights_as_plain_arrays() -> None:
    assert isinstance(layers.Flatten()(np.zeros((2, 3, 4))), np.ndarray)
    assert isinstance(layers.Flatten()(Tensor(np.zeros((2, 3, 4), np.float32))), Tensor)


def test_names_count_up_and_given_names_do_not_count() -> None:
    first, second = layers.Reshape((1,)), layers.Reshape((1,))
    stem, _, number = second.name.rpartition("_")
    assert stem == "reshape"
    assert first.name == ("reshape" if number == "1" else f"reshape_{int(number) - 1}")
    assert layers.Reshape((1,), name="own").name == "own"
    assert layers.Reshape((1,)).name == f"reshape_{int(number) + 1}"
