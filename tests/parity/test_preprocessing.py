"""Preprocessing beside Keras's: the same data to adapt to, the same drawn parameters, the same images.

Draws are not Keras's, so augmentation is compared by handing both the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpudl import Tensor, layers, ops, utils
from gpudl.layers.augmentation import rotations, zooms
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

seeds = st.integers(0, 2**16)
formats = st.sampled_from([None, "channels_last", "channels_first"])
shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
sides = st.integers(1, 12)


def images_of(shape: tuple[int, ...], data_format: str | None, seed: int, one: bool = False) -> np.ndarray:
    """Images of values from 0 to 1, in the layout."""
    x = np.random.default_rng(seed).random(shape).astype(np.float32)
    x = x.transpose(0, 3, 1, 2).copy() if data_format == "channels_first" else x
    return x[0] if one else x


def fails(make: Callable[[], Any]) -> bool:
    try:
        make()
    except Exception:
        return True
    return False


# Normalization and Rescaling


@st.composite
def normalizations(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=2, max_size=4)))
    axes = st.integers(1, len(shape) - 1) | st.integers(1 - len(shape), -1)
    several = st.lists(axes, max_size=3, unique_by=lambda axis: axis % len(shape)).map(tuple)
    return shape, draw(st.none() | axes | several)


@given(
    case=normalizations(),
    invert=st.booleans(),
    how=st.sampled_from(["nothing", "array", "list", "generator", "tuples"]),
    spread=st.sampled_from([0.0, 1e-9, 1.0, 30.0]),
    seed=seeds,
)
@settings(max_examples=120)
def test_normalization(keras: Any, score: Any, case: Any, invert: bool, how: str, spread: float, seed: int) -> None:
    shape, axis = case
    rng = np.random.default_rng(seed)
    data, x = ((rng.standard_normal((n, *shape[1:])) * spread + 2).astype(np.float32) for n in (7, shape[0]))
    ours, theirs = (of.Normalization(axis=axis, invert=invert) for of in (layers, keras.layers))
    halves = np.array_split(data, 2)
    given = {
        "array": lambda: data,
        "list": lambda: halves,
        "generator": lambda: iter(halves),
        "tuples": lambda: [(half, None) for half in halves],
    }
    with score("layer", "Normalization"):
        if how == "nothing":
            ours.build_for((None, *shape[1:]))
            theirs.build((None, *shape[1:]))
        else:
            ours.adapt(given[how]())
            theirs.adapt(data)  # of batches Keras needs TensorFlow
        found = [(w.name, w.shape, w.dtype.name, w.trainable) for w in ours.weights]
        assert found == [(w.name, tuple(w.shape), w.dtype, w.trainable) for w in theirs.weights]
        for mine, other in zip(ours.weights, theirs.weights, strict=True):
            tolerance = 1e-5 * (1 + spread) ** 2 if mine.name == "variance" else 1e-5  # Keras adds up in float32
            np.testing.assert_allclose(mine.data, other.numpy(), rtol=1e-5, atol=tolerance)
        assert ours.mean.shape == tuple(theirs.mean.shape)
        ours.set_weights([w.numpy() for w in theirs.weights])
        y = np.asarray(theirs(x))
        scale = float(np.abs(x).max()) / (1 if invert else max(float(np.sqrt(ours.adapt_variance.data).min()), 1e-7))
        check_close("value", ours(x), y, scale=max(scale, 1e-3))


@given(case=normalizations(), invert=st.booleans(), fewer=st.integers(0, 3), one=st.booleans(), seed=seeds)
@settings(max_examples=80)
def test_normalization_by_given_numbers(
    keras: Any, score: Any, case: Any, invert: bool, fewer: int, one: bool, seed: int
) -> None:
    """The numbers' axes stand for the last of the kept ones; an axis of length 1 is stretched."""
    shape, axis = case
    rng = np.random.default_rng(seed)
    axes = () if axis is None else (axis,) if isinstance(axis, int) else axis
    lengths = [shape[i] for i in sorted(i % len(shape) for i in axes)][fewer:]
    if one and lengths:
        lengths[0] = 1
    mean, variance = (rng.uniform(0.5, 2, lengths).astype(np.float32).tolist() for _ in range(2))
    arguments = {"axis": axis, "mean": mean, "variance": variance, "invert": invert}
    x = rng.standard_normal(shape).astype(np.float32)
    with score("layer", "Normalization"):
        y = np.asarray(keras.layers.Normalization(**arguments)(x))
        check_close("value", layers.Normalization(**arguments)(x), y, scale=float(np.abs(x).max()) * 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mean": 1.0},
        {"variance": [1.0]},
        {"mean": [1.0, 2.0], "variance": 1.0},
        {"axis": None, "mean": [1.0], "variance": [1.0]},
        {"axis": 5},
        {"axis": (-1, -4)},
        {"axis": 0},
        {"mean": [1.0, 2.0], "variance": [1.0, 2.0]},
    ],
)
def test_what_keras_refuses_of_normalization(keras: Any, score: Any, arguments: dict[str, Any]) -> None:
    with score("layer", "Normalization"):
        for of in (layers, keras.layers):
            with pytest.raises((ValueError, RuntimeError)):
                of.Normalization(**arguments).build((None, 3, 3))


@given(shape=shapes, several=st.booleans(), whole=st.booleans(), seed=seeds)
@settings(max_examples=40)
def test_rescaling(keras: Any, score: Any, shape: Any, several: bool, whole: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, shape).astype(np.uint8) if whole else rng.standard_normal(shape).astype(np.float32)
    scale, offset = (rng.uniform(-2, 2, shape[-1] if several else None) for _ in range(2))
    if several:
        scale, offset = scale.tolist(), offset.tolist()
    with score("layer", "Rescaling"):
        y = layers.Rescaling(scale, offset)(x)
        assert y.dtype == np.float32
        check_close("value", y, np.asarray(keras.layers.Rescaling(scale, offset)(x)))


# Size


@given(shape=shapes, size=st.tuples(sides, sides), data_format=formats, one=st.booleans(), seed=seeds)
@settings(max_examples=120)
def test_center_crop(
    keras: Any, score: Any, shape: Any, size: tuple[int, int], data_format: Any, one: bool, seed: int
) -> None:
    x = images_of(shape, data_format, seed, one)
    with score("layer", "CenterCrop"):
        ours, theirs = (of.CenterCrop(*size, data_format=data_format) for of in (layers, keras.layers))
        check_close("value", ours(x), np.asarray(theirs(x)))
        assert ours.compute_output_shape(x.shape) == tuple(theirs.compute_output_shape(x.shape))


@given(
    shape=shapes,
    size=st.tuples(sides, sides),
    interpolation=st.sampled_from(["bilinear", "nearest", "bicubic"]),
    aspect=st.sampled_from([{}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}]),
    fill_value=st.sampled_from([0.0, 0.5]),
    antialias=st.booleans(),
    data_format=formats,
    one=st.booleans(),
    seed=seeds,
)
@settings(max_examples=150)
def test_resizing(
    keras: Any, score: Any, shape: Any, size: Any, data_format: Any, one: bool, seed: int, **how: Any
) -> None:
    arguments = {**how.pop("aspect"), **how, "data_format": data_format}
    if arguments["antialias"]:
        assume(size[1] > 1)  # PyTorch's result then depends on how the numbers lie in memory
    x = images_of(shape, data_format, seed, one)
    with score("layer", "Resizing"):
        ours, theirs = (of.Resizing(*size, **arguments) for of in (layers, keras.layers))
        check_close("value", ours(x), np.asarray(theirs(x)))
        assert ours.compute_output_shape(x.shape) == tuple(theirs.compute_output_shape(x.shape))


@given(shape=shapes, size=st.tuples(sides, sides), data_format=formats, seed=seeds)
@settings(max_examples=60)
def test_random_crop(keras: Any, score: Any, shape: Any, size: Any, data_format: Any, seed: int) -> None:
    """In training the same window. Outside, and for small images, what Keras documents: its `smart_resize`."""
    x = images_of(shape, data_format, seed)
    ours, theirs = (of.RandomCrop(*size, data_format=data_format) for of in (layers, keras.layers))
    with score("layer", "RandomCrop"):
        assert ours.compute_output_shape(x.shape) == tuple(theirs.compute_output_shape(x.shape))
        middle = keras.preprocessing.image.smart_resize(x, size, data_format=data_format or "channels_last")
        check_close("outside training", ours(x, training=False), middle)
        if shape[1] < size[0] or shape[2] < size[1]:
            check_close("too small", ours(x, training=True), middle)
            return
        drawn = ours.draw(np.random.default_rng(seed), 1, *shape[1:3])
        y = theirs.transform_images(x, tuple(drawn[0].tolist()), training=True)
        check_close("value", ours.transform(x, drawn), np.asarray(y), 0.0)


# Augmentation, with the same draws


def affine(
    keras: Any, ours: Any, theirs: Any, x: np.ndarray, transforms: np.ndarray, transformation: dict[str, Any]
) -> None:
    """Compare images, leaving out pixels where "nearest" has to choose between two that are equally near."""
    y = np.asarray(theirs.transform_images(x, transformation, training=True))
    mine = ours.transform(x, transforms)
    assert mine.dtype == np.float32
    if ours.interpolation == "nearest":
        height, width = ours.size_of(x.shape)
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        a0, a1, a2, b0, b1, b2 = transforms[:, :6].T.reshape(6, -1, 1, 1)
        places = np.stack([a0 * columns + a1 * rows + a2, b0 * columns + b1 * rows + b2])
        clear = (np.abs(places - np.floor(places) - 0.5) > 1e-4).all(axis=0)
        clear = np.expand_dims(clear, 1 if ours.data_format == "channels_first" else 3)
        mine, y = mine * clear, y * clear
    check_close("value", mine, y, scale=max(1.0, abs(ours.fill_value)))


fills = st.fixed_dictionaries(
    {
        "fill_mode": st.sampled_from(["reflect", "wrap", "constant", "nearest"]),
        "interpolation": st.sampled_from(["bilinear", "nearest"]),
        "fill_value": st.sampled_from([0.0, 0.25, -2.0]),
        "data_format": formats,
    }
)


@given(shape=shapes, how=fills, seed=seeds)
@settings(max_examples=80)
def test_random_rotation(keras: Any, score: Any, shape: Any, how: dict[str, Any], seed: int) -> None:
    x = images_of(shape, how["data_format"], seed)
    ours, theirs = (of.RandomRotation((-1, 1), **how) for of in (layers, keras.layers))
    transformation = theirs.get_random_transformation(x)
    angles = np.asarray(transformation["angle"], np.float64)
    matrices = rotations(angles * math.pi / 180, *shape[1:3])
    with score("layer", "RandomRotation"):
        np.testing.assert_allclose(matrices, np.asarray(transformation["rotation_matrix"]), atol=1e-5)
        affine(keras, ours, theirs, x, matrices, transformation)


@given(shape=shapes, how=fills, together=st.booleans(), seed=seeds)
@settings(max_examples=80)
def test_random_zoom(keras: Any, score: Any, shape: Any, how: dict[str, Any], together: bool, seed: int) -> None:
    x = images_of(shape, how["data_format"], seed)
    ours, theirs = (of.RandomZoom(0.9, None if together else (-0.5, 1), **how) for of in (layers, keras.layers))
    transformation = theirs.get_random_transformation(x)
    columns, rows = (np.asarray(transformation[name], np.float64)[:, 0] for name in ("width_zoom", "height_zoom"))
    with score("layer", "RandomZoom"):
        affine(keras, ours, theirs, x, zooms(columns, rows, *shape[1:3]), transformation)


@given(shape=shapes, how=fills, seed=seeds)
@settings(max_examples=80)
def test_random_translation(keras: Any, torch: Any, score: Any, shape: Any, how: dict[str, Any], seed: int) -> None:
    x = images_of(shape, how["data_format"], seed)
    ours, theirs = (of.RandomTranslation(1, (-1, 0.5), **how) for of in (layers, keras.layers))
    drawn = ours.draw(np.random.default_rng(seed), *shape[:3])
    moves = torch.from_numpy(-drawn[:, [2, 5]].astype(np.float32))
    with score("layer", "RandomTranslation"):
        np.testing.assert_allclose(drawn, np.asarray(theirs._get_translation_matrix(moves)), rtol=1e-6, atol=1e-6)
        affine(keras, ours, theirs, x, drawn, {"translations": moves, "input_shape": x.shape})


@given(
    shape=shapes,
    mode=st.sampled_from(["horizontal", "vertical", "horizontal_and_vertical"]),
    data_format=formats,
    seed=seeds,
)
@settings(max_examples=50)
def test_random_flip(keras: Any, score: Any, shape: Any, mode: str, data_format: Any, seed: int) -> None:
    x = images_of(shape, data_format, seed)
    ours, theirs = (of.RandomFlip(mode, data_format=data_format) for of in (layers, keras.layers))
    transformation = theirs.get_random_transformation(x)
    flips = np.asarray(transformation["flips"]).reshape(-1, 1) & np.array([mode != "vertical", mode != "horizontal"])
    with score("layer", "RandomFlip"):
        y = np.asarray(theirs.transform_images(x, transformation, training=True))
        np.testing.assert_array_equal(ours.transform(x, flips), y)


@given(
    shape=shapes,
    value_range=st.sampled_from([(0, 1), (0.2, 0.7), (-1, 1)]),
    data_format=formats,
    one=st.booleans(),
    seed=seeds,
)
@settings(max_examples=60)
def test_random_brightness_and_contrast(
    keras: Any, torch: Any, score: Any, shape: Any, value_range: Any, data_format: Any, one: bool, seed: int
) -> None:
    x = images_of(shape, data_format, seed, one)
    for name, key in (("RandomBrightness", "rgb_delta"), ("RandomContrast", "contrast_factor")):
        arguments = {"factor": (0.1, 0.9), "value_range": value_range, "data_format": data_format}
        ours, theirs = (getattr(of, name)(**arguments) for of in (layers, keras.layers))
        transformation = theirs.get_random_transformation(x)
        with score("layer", name):
            drawn = np.asarray(transformation[key]).ravel()
            # Keras changes the array it is given in place
            y = theirs.transform_images(torch.from_numpy(x.copy()), transformation, training=True)
            check_close("value", ours.transform(x, drawn), np.asarray(y), scale=1.0)


numbers = st.sampled_from([-2, -1, -0.5, 0, 0.0, 0.3, 1, 1.5])
factors = numbers | st.lists(numbers, min_size=1, max_size=3).map(tuple) | st.sampled_from(["half", {}])


@given(
    name=st.sampled_from(["RandomRotation", "RandomBrightness", "RandomContrast", "RandomTranslation", "RandomZoom"]),
    factor=factors,
    other=factors,
)
@settings(max_examples=150)
def test_the_same_factors_are_refused(keras: Any, score: Any, name: str, factor: Any, other: Any) -> None:
    if name != "RandomContrast":
        assume(factor != {})  # as good as 0 to Keras
    arguments = (factor, other) if name in ("RandomTranslation", "RandomZoom") else (factor,)
    with score("layer", name):
        mine = fails(lambda: getattr(layers, name)(*arguments))
        assert mine == fails(lambda: getattr(keras.layers, name)(*arguments))


@pytest.mark.parametrize("name", ["RandomRotation", "RandomTranslation", "RandomZoom"])
@pytest.mark.parametrize("setting", [{"fill_mode": "mirror"}, {"interpolation": "cubic"}, {"data_format": "last"}])
def test_the_same_settings_are_refused(keras: Any, score: Any, name: str, setting: dict[str, str]) -> None:
    arguments = (0.1,) if name == "RandomRotation" else (0.1, 0.1)
    with score("layer", name):
        assert fails(lambda: getattr(layers, name)(*arguments, **setting))
        assert fails(lambda: getattr(keras.layers, name)(*arguments, **setting))


# The op itself


@given(
    shape=shapes,
    fill_mode=st.sampled_from(["reflect", "wrap", "constant", "nearest", "mirror"]),
    fill_value=st.sampled_from([0.0, 3.0]),
    interpolation=st.sampled_from(["bilinear", "nearest"]),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
    seed=seeds,
)
@settings(max_examples=100)
def test_affine_transform(
    keras: Any, torch: Any, score: Any, shape: Any, data_format: str, seed: int, **how: Any
) -> None:
    if how["fill_mode"] == "mirror":
        assume(min(shape[1:]) > 1)  # Keras divides by zero
    x = images_of(shape, data_format, seed)
    transform = np.random.default_rng(seed).uniform(-2, 2, (shape[0], 8)).astype(np.float32)
    transform[:, 6:] = 0
    with score("op", "affine_transform"):
        source = torch.from_numpy(x).requires_grad_()
        # Keras writes into the transform it is given
        y = keras.ops.image.affine_transform(source, transform.copy(), data_format=data_format, **how)
        mine = Tensor(x, requires_grad=True)
        z = ops.affine_transform(mine, transform, data_format=data_format, **how)
        check_close("value", z.data, y.detach().numpy(), scale=3.0)
        dy = np.random.default_rng(seed + 1).random(x.shape).astype(np.float32)
        y.backward(torch.from_numpy(dy))
        z.backward(dy)
        check_close("gradient", mine.grad, source.grad.numpy(), scale=float(source.grad.abs().max()) + 1)


# Utilities


@given(
    shape=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    classes=st.none() | st.integers(5, 7),
    seed=seeds,
    floating=st.booleans(),
)
@settings(max_examples=60)
def test_to_categorical(keras: Any, score: Any, shape: Any, classes: int | None, seed: int, floating: bool) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, shape)
    labels = labels.astype(float) if floating else labels
    with score("util", "to_categorical"):
        mine, other = (of.to_categorical(labels, classes) for of in (utils, keras.utils))
        assert mine.dtype == other.dtype
        np.testing.assert_array_equal(mine, other)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), order=st.sampled_from([1, 2, 3]), seed=seeds
)
@settings(max_examples=40)
def test_normalize(keras: Any, score: Any, shape: Any, order: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(shape) * (seed % 3 > 0)
    axis = seed % len(shape)
    with score("util", "normalize"):
        # Axis 0 Keras takes for the last one when it divides
        check_close("value", utils.normalize(x, axis, order), keras.utils.normalize(x, axis - len(shape), order))


sizes = (
    st.none() | st.integers(-1, 12) | st.sampled_from([0.0, 0.04, 0.1, 0.3, 0.5, 0.7, 0.95, 1.0, 1.5]) | st.just("2")
)


@given(samples=st.integers(1, 11), left=sizes, right=sizes)
@settings(max_examples=150)
def test_split_dataset(score: Any, keras: Any, samples: int, left: Any, right: Any) -> None:
    """How many samples go where, or that it is refused; PyTorch's split wants them to be all of them."""
    from keras.src.utils.dataset_utils import _rescale_dataset_split_sizes

    x = np.arange(samples)
    with score("util", "split_dataset"):
        try:
            if left is None and right is None:
                raise ValueError
            expected = _rescale_dataset_split_sizes(left, right, samples)
        except (ValueError, TypeError):
            with pytest.raises(ValueError):
                utils.split_dataset(x, left, right)
            return
        mine = utils.split_dataset(x, left, right)
        assert tuple(len(part) for part in mine) == expected
        np.testing.assert_array_equal(mine[0], x[: expected[0]])
        np.testing.assert_array_equal(mine[1], x[-expected[1] :])
