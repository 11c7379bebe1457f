"""Layers on sequences and images: what they refuse, count and write down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import Sequential, layers, models, optimizers
from gpudl.errors import ShapeError, UsageError
from gpudl.random import set_random_seed


@pytest.mark.parametrize(
    ("make", "about"),
    [
        (lambda: layers.Conv1D(0, 3), r"Conv1D\(filters=0\): filters must be an integer of at least 1"),
        (lambda: layers.Conv1D(4, 3, groups=3), r"Conv1D\(filters=4, groups=3\)"),
        (lambda: layers.Conv1D(4, (3, 3)), r"kernel_size=\(3, 3\)"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.Conv1D(4, 3, padding="full"), r'must be "valid", "same" or "causal"'),
        (lambda: layers.Conv2DTranspose(4, 3, padding="causal"), r'padding must be "valid" or "same"'),
        (lambda: layers.Conv2DTranspose(4, 3, strides=2, output_padding=2), "smaller than the stride"),
        (lambda: layers.Conv1DTranspose(4, 3, 2, dilation_rate=2), "only one of them may be larger than 1"),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier=0"),
        (lambda: layers.SeparableConv2D(2.5, 3), "filters=2.5"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.ZeroPadding2D((1, 2, 3)), r"ZeroPadding2D\(padding=\(1, 2, 3\)\)"),  # pyright: ignore
        (lambda: layers.ZeroPadding2D(((1, -1), (0, 0))), r"pair of pairs \(before, after\)"),
        (lambda: layers.UpSampling2D(interpolation="bicubic"), "use 'nearest' or 'bilinear'"),
        (lambda: layers.Permute((0, 1)), r"Permute\(dims=\(0, 1\)\)"),
        (lambda: layers.RepeatVector(0), "n=0"),
        (lambda: layers.LayerNormalization(axis=1.5), "axis=1.5"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.LayerNormalization(axis=[]), r"axis=\[\]"),
        (lambda: layers.GaussianNoise(-1), r"GaussianNoise\(stddev=-1\)"),
        (lambda: layers.SpatialDropout2D(2), r"SpatialDropout2D\(rate=2\)"),
        (lambda: layers.Embedding(0, 3), "input_dim=0"),
        (lambda: layers.Embedding(1 << 25, 3), 'dtype="float64"'),
        (lambda: layers.Embedding(3, 3, mask_zero=True), "gpudl has no masks"),
    ],
)
def test_arguments_that_are_refused_name_themselves(make: Any, about: str) -> None:
    with pytest.raises(UsageError, match=about):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "about"),
    [
        (layers.Conv1D(2, 5, name="c"), (2, 3, 1), r'Conv1D "c": kernel 5 does not fit into input \(N, 3, 1\)'),
        (layers.Conv1D(2, 5, data_format="channels_first"), (2, 9), r"\(batch, channels, steps\)"),
        (layers.Conv1D(4, 3, groups=2), (2, 9, 3), "groups=2 must divide the 3 input channels"),
        (layers.Conv2DTranspose(2, 3), (2, 9, 3), r"4 axes, \(batch, height, width, channels\)"),
        (layers.DepthwiseConv2D(5, name="d"), (2, 3, 3, 1), 'DepthwiseConv2D "d"'),
        (layers.MaxPooling1D(4, name="p"), (2, 3, 1), 'MaxPooling1D "p": pool 4 does not fit'),
        (layers.Cropping1D(2, name="crop"), (2, 4, 1), 'Cropping1D "crop": .*leaves nothing'),
        (layers.ZeroPadding1D(), (2, 4), r"3 axes, the batch's included"),
        (layers.Permute((2, 1)), (2, 4), r"dims=\(2, 1\) reorder samples of 2 axes"),
        (layers.LayerNormalization(axis=0), (2, 4), "axis=0 .* has no fixed length"),
        (layers.LayerNormalization(axis=[1, 2]), (2, 4), "axis=2 .* has no fixed length"),
    ],
)
def test_inputs_that_do_not_fit_name_the_layer(layer: layers.Layer, shape: Any, about: str) -> None:
    with pytest.raises(ShapeError, match=about):
        layer(np.zeros(shape))


@pytest.mark.parametrize(
    ("layer", "shape", "products"),
    [
        (layers.Conv1D(5, 3, padding="same", strides=2), (8, 4), 4 * 3 * 4 * 5),
        (layers.Conv1D(4, 3, groups=2, data_format="channels_first"), (4, 8), 6 * 3 * 2 * 4),
        (layers.Conv2DTranspose(5, 3, 2), (4, 6, 2), 4 * 6 * 9 * 2 * 5),
        (layers.Conv1DTranspose(5, 3, data_format="channels_first"), (2, 4), 4 * 3 * 2 * 5),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 6, 4), 3 * 4 * 9 * 4 * 2),
        (layers.SeparableConv2D(7, 3, depth_multiplier=2), (5, 6, 4), 3 * 4 * (9 * 4 * 2 + 4 * 2 * 7)),
        (layers.LayerNormalization(), (5, 6), 0),
        (layers.Embedding(5, 3), (4,), 0),
    ],
)
def test_multiply_adds(layer: layers.Layer, shape: tuple[int, ...], products: int) -> None:
    model = Sequential([layers.Input(shape=shape), layer])
    assert model.nodes[-1].multiply_adds == products


def test_embedding_in_a_model(tmp_path: Path) -> None:
    """Whole numbers in; what `weights` gave is kept by the file, not by the settings."""
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    model = Sequential([layers.Input(shape=(2,)), layers.Embedding(4, 3, weights=[table]), layers.Flatten()])
    x = np.array([[3, 0], [1, 1]])
    expected = table[x].reshape(2, 6)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    assert model.layers[-2].get_config()["weights"] is None
    model.save(tmp_path / "model.safetensors")
    loaded = models.load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    with pytest.raises(UsageError, match="index runs from 0 to 4"):
        model.predict(np.array([[0, 4]]), verbose=0)


def test_embedding_learns_only_what_it_saw() -> None:
    model = Sequential([layers.Input(shape=(1,)), layers.Embedding(4, 3), layers.Flatten()])
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    model.fit(np.array([[1], [3]]), np.ones((2, 3)), epochs=1, verbose=0)
    changed = (model.get_weights()[0] != before).all(axis=1)
    assert changed.tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    "made",
    [
        [
            layers.Embedding(20, 4),
            layers.Conv1D(5, 3, padding="causal"),
            layers.GlobalMaxPooling1D(),
        ],
        [layers.Reshape((4, 4, 1)), layers.SeparableConv2D(3, 2), layers.UpSampling2D(), layers.Flatten()],
        [layers.Reshape((2, 2, 4)), layers.Conv2DTranspose(2, 3, 2), layers.LayerNormalization(), layers.Flatten()],
        [layers.Reshape((4, 4)), layers.SpatialDropout1D(0.2), layers.MaxPooling1D(), layers.Flatten()],
        [layers.GaussianNoise(0.1), layers.GaussianDropout(0.1), layers.RepeatVector(2), layers.Flatten()],
    ],
)
def test_models_of_them_learn(made: list[layers.Layer]) -> None:
    set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, (64, 16)).astype(np.float32)
    y = (x[:, :8].sum(axis=1) > x[:, 8:].sum(axis=1)).astype(int)
    before = [] if isinstance(made[0], layers.Embedding) else [layers.Rescaling(1 / 20)]
    model = Sequential([layers.Input(shape=(16,)), *before, *made, layers.Dense(2, activation="softmax")])
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=20, batch_size=16, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < 0.97 * history[0]
