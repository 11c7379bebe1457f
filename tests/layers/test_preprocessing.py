"""Preprocessing: what `adapt` learns, when augmentation acts, what it draws, and that labels stay with their images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Input, Sequential, layers, load_model, random
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError, UsageError
from gpudl.testing import check_close

IMAGES = np.random.default_rng(0).uniform(0, 255, (64, 6, 8, 2)).astype(np.float32)

RANDOM: dict[str, Callable[..., layers.Layer]] = {
    "flip": lambda **s: layers.RandomFlip(**s),
    "translation": lambda **s: layers.RandomTranslation(0.3, (-0.1, 0.4), **s),
    "rotation": lambda **s: layers.RandomRotation(0.2, **s),
    "zoom": lambda **s: layers.RandomZoom(0.3, **s),
    "crop": lambda **s: layers.RandomCrop(4, 5, **s),
    "brightness": lambda **s: layers.RandomBrightness(0.2, **s),
    "contrast": lambda **s: layers.RandomContrast(0.3, **s),
}
each = pytest.mark.parametrize("make", RANDOM.values(), ids=RANDOM)


def called(layer: layers.Layer, step: int = 0, **settings: Any) -> np.ndarray:
    random.begin_step(step)
    return np.asarray(layer(IMAGES, **settings))


# When augmentation acts


@each
def test_augmentation_acts_in_training_and_on_its_own_but_not_in_predict(make: Callable[..., layers.Layer]) -> None:
    """As in Keras, a layer, or a model of such layers, called without saying augments: so a lesson shows examples."""
    layer = make()
    quiet = called(layer, training=False)
    if not isinstance(layer, layers.RandomCrop):
        np.testing.assert_array_equal(quiet, IMAGES)
    assert quiet.shape[1:] == layer.compute_output_shape((None, *IMAGES.shape[1:]))[1:]
    assert (called(layer) != quiet).any()
    assert (called(layer, training=True) != quiet).any()
    model = Sequential([Input(IMAGES.shape[1:]), layer])
    random.begin_step(0)
    assert (np.asarray(model(IMAGES)) != quiet).any()
    np.testing.assert_array_equal(np.asarray(model(IMAGES, training=False)), quiet)
    np.testing.assert_array_equal(model.predict(IMAGES), quiet)


def test_other_layers_called_on_their_own_do_not_train() -> None:
    assert (np.asarray(layers.Dropout(0.5)(IMAGES)) == IMAGES).all()
    model = Sequential([layers.Dropout(0.5), layers.RandomFlip()])
    y = np.asarray(model(IMAGES))
    np.testing.assert_allclose(y.sum(axis=(1, 2)), IMAGES.sum(axis=(1, 2)), rtol=1e-4)
    assert (y != IMAGES).any()


@each
def test_draws_are_keyed_by_seed_and_step(make: Callable[..., layers.Layer]) -> None:
    layer, again = make(seed=3), make(seed=3)
    np.testing.assert_array_equal(called(layer, 5), called(again, 5))
    assert any((called(layer, 5) != called(layer, step)).any() for step in (6, 7, 8))
    assert any((called(layer, step) != called(make(seed=4), step)).any() for step in (5, 6, 7))


@each
def test_a_single_image_and_the_other_layout(make: Callable[..., layers.Layer]) -> None:
    layer, first = make(seed=3), make(seed=3, data_format="channels_first")
    random.begin_step(2)
    one = np.asarray(layer(IMAGES[0]))
    random.begin_step(2)
    np.testing.assert_array_equal(np.asarray(layer(IMAGES[:1]))[0], one)
    random.begin_step(2)
    other = np.asarray(first(IMAGES[:1].transpose(0, 3, 1, 2)))
    check_close("channels first", other.transpose(0, 2, 3, 1)[0], one)
    with pytest.raises(ShapeError, match=r"Random\w+ .*: images must have 4 axes, or one image 3"):
        layer(IMAGES[0, 0])


@each
def test_whole_numbers_become_floating_point(make: Callable[..., layers.Layer]) -> None:
    y = np.asarray(make(seed=1)(IMAGES.astype(np.uint8), training=True))
    assert y.dtype == np.float32
    assert 0 <= y.min() <= y.max() <= 255


def test_labels_stay_with_their_images() -> None:
    """Images of one colour keep it when moved about, so a model that reads the colour learns from augmented ones."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 192)
    x = (np.eye(3)[y].reshape(-1, 1, 1, 3) * 255).repeat(6, axis=1).repeat(6, axis=2).astype(np.uint8)
    random.set_random_seed(1)
    model = Sequential(
        [
            Input((6, 6, 3)),
            layers.RandomFlip(),
            layers.RandomTranslation(0.2, 0.2),
            layers.RandomRotation(0.5),
            layers.RandomZoom(0.3),
            layers.RandomBrightness(0.1),
            layers.RandomContrast(0.2),
            layers.RandomCrop(4, 4),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=12, verbose=0)
    assert history.history["accuracy"][-1] > 0.95
    assert model.evaluate(x, y, verbose=0)[1] > 0.95


def test_a_run_with_augmentation_resumes_to_the_bit() -> None:
    y = np.arange(64) % 2

    def model() -> Sequential:
        random.set_random_seed(7)
        made = Sequential(
            [
                Input(IMAGES.shape[1:]),
                layers.RandomFlip(),
                layers.RandomRotation(0.2),
                layers.RandomContrast(0.2),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(2, "softmax"),
            ]
        )
        made.compile("sgd", "sparse_categorical_crossentropy")
        return made

    whole = model()
    whole.fit(IMAGES, y, epochs=2, verbose=0)
    half = model()
    half.fit(IMAGES, y, epochs=1, verbose=0)
    checkpoint = half.training_checkpoint([])
    random.set_random_seed(99)
    half.fit(IMAGES, y, epochs=2, verbose=0, resume=checkpoint)
    for one, other in zip(whole.get_weights(), half.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# What is drawn


def drawn(layer: Any, images: int = 20_000, height: int = 10, width: int = 20) -> np.ndarray:
    return layer.draw(random.stream(0, "test"), images, height, width)


def check_uniform(values: np.ndarray, low: float, high: float) -> None:
    """All of the range is reached, nothing beyond it, every tenth of it as often as the others."""
    assert low <= values.min() <= low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) <= values.max() <= high
    share = np.histogram(values, 10, (low, high))[0] / len(values)
    np.testing.assert_allclose(share, 0.1, atol=0.012)


def test_flips_are_fair_and_independent() -> None:
    both = drawn(layers.RandomFlip())
    outcomes = np.bincount(2 * both[:, 0] + both[:, 1], minlength=4) / len(both)
    np.testing.assert_allclose(outcomes, 0.25, atol=0.015)
    np.testing.assert_allclose(drawn(layers.RandomFlip("horizontal")).mean(axis=0), [0.5, 0], atol=0.015)
    np.testing.assert_allclose(drawn(layers.RandomFlip("vertical")).mean(axis=0), [0, 0.5], atol=0.015)


def test_translations_are_uniform() -> None:
    a0, a1, a2, b0, b1, b2, c0, c1 = drawn(layers.RandomTranslation((-0.2, 0.3), 0.4)).T
    check_uniform(-b2, -2, 3)
    check_uniform(-a2, -8, 8)
    assert (a0 == 1).all() and (b1 == 1).all() and not (a1.any() or b0.any() or c0.any() or c1.any())
    assert abs(np.corrcoef(a2, b2)[0, 1]) < 0.03


def test_rotations_are_uniform() -> None:
    transforms = drawn(layers.RandomRotation((-0.25, 0.125)))
    check_uniform(np.arctan2(transforms[:, 3], transforms[:, 0]) / (2 * np.pi), -0.25, 0.125)
    middle = np.array([9.5, 4.5, 1])
    np.testing.assert_allclose(transforms[:, :3] @ middle, 9.5)
    np.testing.assert_allclose(transforms[:, 3:6] @ middle, 4.5)


def test_zooms_are_uniform() -> None:
    transforms = drawn(layers.RandomZoom((-0.5, 0.2), 0.3))
    check_uniform(transforms[:, 4], 0.5, 1.2)
    check_uniform(transforms[:, 0], 0.7, 1.3)
    together = drawn(layers.RandomZoom(0.3))
    np.testing.assert_array_equal(together[:, 0], together[:, 4])


def test_brightness_and_contrast_are_uniform() -> None:
    check_uniform(drawn(layers.RandomBrightness(0.2)), -51, 51)
    check_uniform(drawn(layers.RandomBrightness((0.1, 0.3), value_range=(1, -1))), 0.2, 0.6)
    check_uniform(drawn(layers.RandomContrast(0.3)), 0.7, 1.3)
    check_uniform(drawn(layers.RandomContrast((0.5, 0.1))), 0.9, 1.5)


def test_crops_reach_every_place_and_no_other() -> None:
    layer = layers.RandomCrop(4, 5)
    seen = {tuple(layer.draw(random.stream(0, "test", i), 1, 6, 6)[0].tolist()) for i in range(200)}
    assert seen == {(top, left) for top in range(3) for left in range(2)}
    x = np.arange(48, dtype=np.float32).reshape(1, 6, 8, 1)
    y = np.asarray(layers.RandomCrop(6, 5, seed=0)(x, training=True))
    assert (np.diff(y[0, :, :, 0], axis=0) == 8).all(), "an image just high enough is cropped in width alone"


# What is done with it


def test_a_quarter_turn_is_exact_and_counter_clockwise() -> None:
    x = IMAGES[:, :, :6]
    quarter = layers.RandomRotation((0.25, 0.25))(x, training=True)
    check_close("turned", np.asarray(quarter), np.rot90(x, axes=(1, 2)))


def test_flipping_twice_is_the_identity() -> None:
    layer = layers.RandomFlip(seed=1)
    random.begin_step(0)
    once = layer(IMAGES, training=True)
    random.begin_step(0)
    np.testing.assert_array_equal(np.asarray(layer(once, training=True)), IMAGES)


def test_a_gradient_passes_through_augmentation() -> None:
    x = Tensor(IMAGES, requires_grad=True)
    y = layers.RandomRotation(0.1, fill_mode="wrap")(x, training=True)
    y.backward(np.ones_like(y.data))
    assert x.grad is not None and x.grad.shape == x.shape
    assert abs(x.grad.sum() - y.size) < 1e-3 * y.size


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.RandomFlip("diagonal"), "RandomFlip: mode='diagonal' is unknown; use 'horizontal'"),
        (lambda: layers.RandomFlip(data_format="last"), "data_format='last' is unknown"),
        (lambda: layers.RandomRotation(2), r"RandomRotation\(factor=2\): factor must be a number or two numbers"),
        (lambda: layers.RandomRotation("half"), "RandomRotation"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.RandomRotation(0.1, fill_mode="mirror"), "RandomRotation: fill_mode='mirror' is unknown"),
        (lambda: layers.RandomZoom(-1), r"RandomZoom: height_factor=-1 must .* above -1 and up to 1"),
        (lambda: layers.RandomZoom(0.1, 1.5), r"RandomZoom: width_factor=1.5 must"),
        (lambda: layers.RandomTranslation(0.1, (0, 2)), r"width_factor=\(0, 2\) must be .* within \[-1, 1\]"),
        (lambda: layers.RandomTranslation(0.1, 0.1, interpolation="cubic"), "interpolation='cubic' is unknown"),
        (lambda: layers.RandomContrast(-0.1), r"RandomContrast\(factor=-0.1\): .* within \[0, 1\]"),
        (lambda: layers.RandomContrast(0.1, value_range=3), "value_range must be two numbers"),  # pyright: ignore
        (lambda: layers.RandomBrightness(0.1, (0, 1, 2)), "value_range must be two numbers"),  # pyright: ignore
        (lambda: layers.RandomCrop(0, 3), r"RandomCrop\(height=0\): height must be an integer of at least 1"),
        (lambda: layers.CenterCrop(3, 2.5), r"CenterCrop\(width=2.5\)"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.Resizing(3, 3, "lanczos3"), "Resizing: interpolation='lanczos3' is unknown"),
        (lambda: layers.Resizing(3, 3, "nearest", True, True), "only one of crop_to_aspect_ratio and pad_to_aspect"),
        (lambda: layers.Resizing(3, 3, fill_mode="wrap"), "fill_mode='wrap' is unknown; use 'constant'"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


# Normalization


class Halves:
    """A data set by number, as `PyDataset` is."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, None]:
        return np.array_split(self.data, 2)[index], None


@pytest.mark.parametrize("many", [3, 10_000])
def test_adapt_takes_an_array_batches_and_data_by_number(many: int) -> None:
    data = np.random.default_rng(1).normal(1000, 3, (many, 4)).astype(np.float32)
    exact = data.astype(np.float64)
    for given in (
        data,
        Tensor(data),
        list(np.array_split(data, 3)),
        iter(np.array_split(data, 3)),
        [(data[:2], None), (data[2:], None)],
        Halves(data),
    ):
        layer = layers.Normalization()
        layer.adapt(np.ones((5, 4)))  # what was learned before is forgotten
        layer.adapt(given)
        np.testing.assert_allclose(layer.adapt_mean.data, exact.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(layer.adapt_variance.data, exact.var(axis=0), rtol=1e-5)
        assert layer.mean is not None and layer.variance is not None
        assert layer.mean.shape == layer.variance.shape == (1, 4)
    y = np.asarray(layer(data))
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=2e-4)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-3)
    back = layers.Normalization(mean=layer.adapt_mean.data, variance=layer.adapt_variance.data, invert=True)
    check_close("back again", np.asarray(back(y)), data)


def test_normalization_in_a_model_file(tmp_path: Path) -> None:
    first = layers.Normalization()
    first.adapt(IMAGES)
    model = Sequential([Input(IMAGES.shape[1:]), first, layers.Flatten(), layers.Dense(2)])
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").predict(IMAGES), model.predict(IMAGES))
    assert [w.name for w in first.weights] == ["mean", "variance", "count"]
    assert not first.trainable_weights
    assert abs(model.predict(IMAGES)).max() > 0


def test_arrays_given_as_mean_are_saved_as_lists() -> None:
    layer = layers.Normalization(mean=np.array([1.0, 2.0]), variance=np.ones(2))  # pyright: ignore[reportArgumentType]
    config = layer.get_config()
    assert config["mean"] == [1.0, 2.0]
    assert layers.Normalization.from_config(config).get_config() == config
    assert layers.Rescaling(np.array([1.0, 2.0])).get_config()["scale"] == [1.0, 2.0]  # pyright: ignore


def test_normalization_refuses() -> None:
    with pytest.raises(UsageError, match="give both, or none and call adapt"):
        layers.Normalization(mean=1.0)
    with pytest.raises(UsageError, match=r"mean has shape \(2,\), but variance \(3,\)"):
        layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="has more axes than"):
        layers.Normalization(axis=None, mean=[1.0], variance=[1.0])
    given = layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])
    with pytest.raises(ShapeError, match=r"mean and variance of shape \(2,\) do not fit axis=\(-1,\)"):
        given(np.zeros((2, 3)))
    with pytest.raises(UsageError, match="mean and variance were given already"):
        given.adapt(np.zeros((2, 2)))
    with pytest.raises(ShapeError, match=r"axis=\(3,\) is not within the 2 axes"):
        layers.Normalization(axis=3)(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"axis=\(0,\) of the input of shape .* has no fixed length"):
        layers.Normalization(axis=0)(np.zeros((2, 3)))
    layer = layers.Normalization()
    for nothing in ([], np.zeros((0, 3))):
        with pytest.raises(UsageError, match="adapt: there is no data"):
            layer.adapt(nothing)
    with pytest.raises(UsageError, match="but one of these is a float; make an array of the data"):
        layer.adapt([1.0, 2.0])
    with pytest.raises(UsageError, match="not a int"):
        layer.adapt(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ShapeError, match=r"adapt: data of shape \(2, 4\) does not fit"):
        layer.adapt([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ShapeError, match="but mean and variance are those of inputs of shape"):
        layer(np.zeros((2, 5)))
