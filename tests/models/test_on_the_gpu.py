"""Networks trained on the GPU (or the stand-in for it): the same numbers as on the CPU, and nothing read in a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import stand_in

import gpudl
from gpudl import callbacks, layers, models, ops, optimizers, random, registry
from gpudl.backend import devices
from gpudl.batches import Batches, on_device
from gpudl.errors import DeviceError
from gpudl.testing import check_close, check_layer


def mlp() -> models.Model:
    return models.Sequential(
        [layers.Input((12,)), layers.Dense(16, activation="relu"), layers.Dropout(0.3), layers.Dense(4, "softmax")]
    )


def cnn() -> models.Model:
    return models.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Conv2D(8, 3, strides=2, activation="relu", kernel_regularizer="l2"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def branching() -> models.Model:
    image, number = layers.Input((6, 6, 1), name="image"), layers.Input((3,), name="number")
    x = layers.Conv2D(4, 3, activation="elu")(image)
    x = layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(layers.AveragePooling2D(2)(x)), number])
    x = layers.LayerNormalization()(x * np.array(2.0, "float32"))
    return models.Model([image, number], layers.Dense(4, activation="softmax")(x))


def words() -> models.Model:
    return models.Sequential(
        [
            layers.Input((7,)),
            layers.Embedding(9, 5),
            layers.Conv1D(6, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def data_for(model: models.Model) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(3)
    drawn: list[np.ndarray] = []
    for x in model.inputs:
        shape = (36, *x.shape[1:])
        whole = (len(shape), shape[-1]) in ((4, 3), (2, 7))  # bytes of pixels, and words
        drawn.append(rng.integers(0, 9, shape).astype("uint8") if whole else rng.normal(size=shape).astype("float32"))
    return drawn if len(drawn) > 1 else drawn[0], rng.integers(0, 4, 36)


def trained(build: Callable[[], models.Model], device: str, optimizer: Any = "adam", **fit: Any) -> models.Model:
    random.set_random_seed(5)
    gpudl.backend.clear_session()
    with gpudl.device(device):
        model = build()
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        x, y = data_for(model)
        model.fit(x, y, batch_size=8, verbose=0, **{"epochs": 2, "validation_split": 0.1, **fit})
    return model


@pytest.mark.parametrize("build", [mlp, cnn, branching, words])
def test_training_is_the_same_on_both_devices(cupy: Any, build: Callable[[], models.Model]) -> None:
    there, here = trained(build, "cuda"), trained(build, "cpu")
    assert (there.device, here.device) == ("cuda", "cpu")
    assert there.history is not None and here.history is not None
    for name, values in here.history.history.items():
        np.testing.assert_allclose(there.history.history[name], values, rtol=1e-4, err_msg=name)
    for one, other in zip(there.weights, here.weights, strict=True):
        check_close(one.path, one.numpy(), other.numpy(), 1e-4)
    x, _ = data_for(here)
    with gpudl.device("cuda"):
        predicted = there.predict(x, verbose=0)
    assert type(predicted) is np.ndarray
    check_close("predictions", predicted, here.predict(x, verbose=0), 1e-4)


@pytest.mark.parametrize("name", sorted(registry.table("optimizers")))
def test_every_optimizer(cupy: Any, name: str) -> None:
    there, here = trained(mlp, "cuda", name, epochs=1), trained(mlp, "cpu", name, epochs=1)
    for one, other in zip(there.weights, here.weights, strict=True):
        check_close(one.path, one.numpy(), other.numpy(), 1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"clipnorm": 0.01}, {"global_clipnorm": 0.01}, {"clipvalue": 0.01}, {"weight_decay": 0.1}, {"use_ema": True}],
)
def test_what_all_optimizers_have(cupy: Any, settings: dict[str, Any]) -> None:
    there, here = (trained(mlp, device, optimizers.SGD(0.1, **settings), epochs=1) for device in ("cuda", "cpu"))
    for one, other in zip(there.weights, here.weights, strict=True):
        check_close(one.path, one.numpy(), other.numpy(), 1e-4)


@pytest.mark.parametrize("build", [mlp, cnn, branching, words])
def test_nothing_is_read_back_in_a_step(cupy: Any, build: Callable[[], models.Model]) -> None:
    if cupy.ndarray is not stand_in.ndarray:
        pytest.skip("only the stand-in counts")
    counts: list[int] = []
    watch = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: counts.append(stand_in.readings))
    trained(build, "cuda", optimizers.Adam(clipnorm=1.0), epochs=1, validation_split=0.0, callbacks=[watch])
    assert len(counts) == 5 and len(set(counts[1:])) == 1, counts  # the first step says what fit's checks need


@pytest.mark.parametrize(
    ("layer", "settings"),
    [
        (layers.RandomFlip, ()),
        (layers.RandomTranslation, (0.3, 0.2)),
        (layers.RandomRotation, (0.1,)),
        (layers.RandomZoom, (0.3,)),
        (layers.RandomContrast, (0.5,)),
        (layers.RandomBrightness, (0.5,)),
        (layers.RandomCrop, (5, 4)),
        (layers.GaussianNoise, (0.5,)),
        (layers.GaussianDropout, (0.5,)),
        (layers.SpatialDropout2D, (0.5,)),
    ],
)
def test_what_layers_draw_is_the_same_on_both_devices(cupy: Any, layer: Any, settings: tuple[Any, ...]) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (6, 8, 7, 3)).astype("float32")
    found: list[np.ndarray] = []
    for device in ("cuda", "cpu"):
        random.set_random_seed(11)
        random.begin_step(2)
        with gpudl.device(device):
            model = models.Sequential([layers.Input((8, 7, 3)), layer(*settings)])
            found.append(np.asarray(model(x, training=True)))
    check_close(layer.__name__, *found, 1e-5)
    assert found[1].shape != x.shape or not np.allclose(found[1], x)


def test_files_and_resuming(cupy: Any, tmp_path: Any) -> None:
    model = trained(cnn, "cuda")
    model.save(tmp_path / "m.safetensors")
    x, _ = data_for(model)
    expected = model.predict(x, verbose=0)
    for device in ("cpu", "cuda"):
        with gpudl.device(device):
            again = models.load_model(tmp_path / "m.safetensors")
            assert again.device == device
            check_close(device, again.predict(x, verbose=0), expected)


def test_batches_arrive_whole_and_in_order(cupy: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(37, 3)), [rng.integers(0, 9, 37), np.array(["text"] * 37)]
    source = Batches(x, y, batch_size=5)
    moved = list(on_device(source.take(None), "cuda"))
    assert len(moved) == 8
    for batch, wanted in zip(moved, source.take(None), strict=True):
        assert batch.x.get().tolist() == wanted.x.tolist() and batch.y[0].get().tolist() == wanted.y[0].tolist()
        assert batch.y[1] is not None and type(batch.y[1]) is np.ndarray
    some = on_device(source.take(None), "cuda")
    next(some)
    some.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_arrays_of_numpy_come_along_and_results_can_be_read(cupy: Any) -> None:
    with gpudl.device("cuda"):
        x = np.ones((2, 3), "float32")
        dense = layers.Dense(2)
        y = dense(x)
        assert type(y.data) is cupy.ndarray and np.asarray(y).shape == (2, 2)
        assert np.asarray(layers.Flatten()(np.ones((2, 2, 2)))).shape == (2, 4)
        scaled = y * np.array([1.0, 2.0], "float32")
        np.testing.assert_allclose(np.asarray(scaled), np.asarray(y) * [1, 2], rtol=1e-6)
        assert float(gpudl.losses.MeanSquaredError()(np.zeros((2, 2)), y)) > 0
        assert type(ops.zeros((2,))) is cupy.ndarray and type(ops.convert_to_tensor(x).data) is cupy.ndarray
        with pytest.raises(DeviceError, match=r"numpy \(2,\), cupy \(2, 2\)"):
            ops.add(np.zeros(2, "float32"), y.data)
        dense.set_weights([np.zeros((3, 2)), np.ones(2)])
        assert dense.get_weights()[1].tolist() == [1, 1] and type(dense.get_weights()[1]) is np.ndarray


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv2D, (5, 5, 2)),
        (layers.DepthwiseConv2D, (5, 5, 2)),
        (layers.Conv2DTranspose, (4, 4, 2)),
        (layers.BatchNormalization, (4,)),
        (layers.LayerNormalization, (4,)),
        (layers.Dropout, (9,)),
        (layers.MaxPooling2D, (5, 5, 2)),
        (layers.AveragePooling2D, (5, 5, 2)),
        (layers.UpSampling2D, (3, 3, 2)),
        (layers.Dense, (4,)),
    ],
)
def test_layers(cupy: Any, layer: Any, shape: tuple[int, ...]) -> None:
    settings: dict[Any, dict[str, Any]] = {
        layers.Conv2D: {"filters": 3, "kernel_size": 3},
        layers.Conv2DTranspose: {"filters": 3, "kernel_size": 3, "strides": 2},
        layers.DepthwiseConv2D: {"kernel_size": 2},
        layers.Dropout: {"rate": 0.4},
        layers.Dense: {"units": 3},
    }
    with gpudl.device("cuda"):
        assert devices.current() == "cuda"
        check_layer(layer, settings.get(layer), shape)
