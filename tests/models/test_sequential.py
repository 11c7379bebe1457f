"""Sequential: adding, building, finding layers; errors that name both layers; the summary."""

from __future__ import annotations

import numpy as np
import pytest

from gpudl import Input, Sequential, layers
from gpudl.errors import ShapeError, UnknownNameError, UsageError

X = np.ones((2, 6), np.float32)


def test_with_an_input_each_layer_is_built_as_it_is_added() -> None:
    model = Sequential([Input(shape=(6,))])
    model.add(layers.Dense(4))
    assert model.layers[0].built and model.output_shape == (None, 4)
    model.add(layers.Dense(3))
    assert model.output_shape == (None, 3) and model.count_params() == 6 * 4 + 4 + 4 * 3 + 3
    assert [layer.name for layer in model.layers] == [model.layers[0].name, model.layers[1].name]


def test_input_shape_on_the_first_layer_builds_too() -> None:
    model = Sequential([layers.Dense(4, input_shape=(6,)), layers.Dense(2)])
    assert model.built and model.output_shape == (None, 2)


def test_without_an_input_the_first_data_builds() -> None:
    model = Sequential([layers.Dense(4), layers.Dense(2)])
    assert not model.built and model.weights == []
    with pytest.raises(UsageError, match="not built"):
        _ = model.output_shape
    assert model(X).shape == (2, 2)
    assert model.built and len(model.weights) == 4
    other = Sequential([layers.Dense(4), layers.Dense(2)])
    other.build((None, 6))
    assert [w.shape for w in other.weights] == [w.shape for w in model.weights]


def test_layers_added_to_a_built_model_are_built() -> None:
    model = Sequential([layers.Dense(4)])
    model(X)
    model.add(layers.Dense(2))
    assert len(model.weights) == 4 and model(X).shape == (2, 2)


def test_pop() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4), layers.Dense(3)])
    last = model.layers[1]
    assert model.pop() is last
    assert model.output_shape == (None, 4) and len(model.weights) == 2 and model(X).shape == (2, 4)
    model.add(layers.Dense(5))
    assert model(X).shape == (2, 5)
    with pytest.raises(UsageError, match="no layers"):
        Sequential().pop()


def test_a_model_without_layers_is_not_built() -> None:
    with pytest.raises(UsageError, match="has no layers"):
        Sequential()(X)


def test_get_layer() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4, name="hidden"), layers.Dense(3, name="last")])
    assert model.get_layer("hidden") is model.layers[0]
    assert model.get_layer(index=1) is model.layers[1] and model.get_layer(index=-1) is model.layers[1]
    with pytest.raises(UsageError, match=r'no layer "hiden"; did you mean "hidden"\?; it has hidden, last'):
        model.get_layer("hiden")


def test_names_and_layers_are_there_once() -> None:
    dense = layers.Dense(4, name="d")
    model = Sequential([dense])
    with pytest.raises(UsageError, match='two layers are named "d"'):
        model.add(layers.Dense(3, name="d"))
    with pytest.raises(UsageError, match="in the model already"):
        model.add(dense)
    with pytest.raises(UsageError, match="takes layers, but was given a str"):
        model.add("dense")  # pyright: ignore[reportArgumentType]
    assert model.layers == [dense]


def test_a_refused_layer_leaves_the_model_as_it_was() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4)])
    with pytest.raises(ShapeError):
        model.add(layers.Conv2D(3, 3))
    assert len(model.layers) == 1 and model.output_shape == (None, 4)
    model.add(layers.Dense(3))
    assert model(X).shape == (2, 3)


def test_shapes_that_do_not_fit_name_both_layers() -> None:
    with pytest.raises(ShapeError, match=r'Conv2D "big": .* \(it was given the output of MaxPooling2D "small"'):
        Sequential([Input(shape=(8, 8, 1)), layers.MaxPooling2D(4, name="small"), layers.Conv2D(2, 5, name="big")])
    with pytest.raises(ShapeError, match=r'Conv2D "first": .* the input, samples of shape \(6,\)'):
        Sequential([Input(shape=(6,)), layers.Conv2D(2, 5, name="first")])
    with pytest.raises(ShapeError, match=r'Conv2D "c": .*Flatten "f"'):
        Sequential([layers.Flatten(name="f"), layers.Conv2D(2, 3, name="c")])(np.zeros((1, 8, 8, 1)))


def test_data_of_another_shape_than_it_was_built_for() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4)])
    with pytest.raises(ShapeError, match=r"built for samples of shape \(6,\).*\(5,\)"):
        model(np.zeros((2, 5)))
    with pytest.raises(ShapeError, match=r"\(6,\).*\(6, 2\)"):
        model.predict(np.zeros((2, 6, 2)), verbose=0)


def test_config_round_trip() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4, activation="relu"), layers.Dropout(0.5)], name="m")
    twin = Sequential.from_config(model.get_config())
    assert twin.get_config() == model.get_config()
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    with pytest.raises(UnknownNameError, match='did you mean "dense"'):
        Sequential.from_config({"name": "m", "layers": [{"type": "dens", "units": 3}]})


def test_set_weights_of_a_model() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4, name="a"), layers.Dense(3, name="b")], name="m")
    with pytest.raises(UsageError, match="has 4 weights, but 3 arrays"):
        model.set_weights(model.get_weights()[:3])
    with pytest.raises(UsageError, match=r'weight "b/kernel" has shape \(4, 3\)'):
        model.set_weights([*model.get_weights()[:2], np.zeros((3, 4)), np.zeros(3)])


def test_trainable_off_freezes_all_and_batch_normalization_is_in_inference_mode() -> None:
    model = Sequential([Input(shape=(6,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])
    model.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 8
    before = model.get_weights()
    np.testing.assert_array_equal(model(X, training=True).numpy(), model(X, training=False).numpy())
    for after, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, value)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="no trainable weights"):
        model.fit(X, np.zeros((2, 2)), verbose=0)
    model.trainable = True
    assert len(model.trainable_weights) == 6


@pytest.mark.parametrize("before_build", [True, False])
def test_a_frozen_layer_stays_while_the_others_learn(before_build: bool) -> None:
    model = Sequential([layers.Dense(4, activation="tanh"), layers.BatchNormalization(), layers.Dense(2)])
    if before_build:
        model.layers[0].trainable = model.layers[1].trainable = False
        model.build((None, 6))
    else:
        model.build((None, 6))
        model.layers[0].trainable = model.layers[1].trainable = False
    before = model.get_weights()
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    model.fit(x, np.ones((20, 2)), epochs=2, verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True)]
    assert same == [True] * 6 + [False] * 2


def test_summary(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    model = Sequential(
        [
            Input(shape=(8, 8, 3)),
            layers.Conv2D(16, 3, name="edges"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flat"),
            layers.Dense(10, name="scores"),
        ],
        name="net",
    )
    model.summary()
    text = capsys.readouterr().out
    rows = {line.split()[1]: line for line in text.splitlines() if len(line.split()) > 1}
    assert 'Sequential "net"' in text
    assert "(N, 6, 6, 16)" in rows["edges"] and "448" in rows["edges"] and "15,552" in rows["edges"]
    assert "64" in rows["norm"] and "(N, 576)" in rows["flat"]
    assert "5,770" in rows["scores"] and "5,760" in rows["scores"]
    assert f"{448 + 64 + 5770:,}" in rows["total"] and f"{15552 + 5760:,}" in rows["total"]
    assert f"{448 + 32 + 5770:,} trainable" in text
    assert model.count_params() == 448 + 64 + 5770


def test_summary_before_building(capsys: pytest.CaptureFixture[str]) -> None:
    Sequential([layers.Dense(10, name="scores")]).summary()
    text = capsys.readouterr().out
    assert "scores" in text and "?" in text


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool_size", "strides"), [(2, 2), (3, 2), (2, 1)])
@pytest.mark.parametrize("relu", [None, layers.Activation("relu"), layers.ReLU(), layers.ReLU(max_value=0.5)])
def test_relu_after_max_pooling_gives_the_same_bits(
    relu: layers.Layer | None, padding: str, pool_size: int, strides: int
) -> None:
    """Inside a Sequential the two change places; layer by layer they do not."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(5, 9, 8, 3)), 1).astype(np.float32)  # rounded, so that there are ties
    x[0, 4, 4, 1] = np.nan
    model = Sequential(
        [
            layers.Conv2D(
                4,
                1,
                activation=None if relu else "relu",
                kernel_initializer={"type": "random_normal", "stddev": 1.0},
            ),
            *([relu] if relu else []),
            layers.MaxPooling2D(pool_size, strides, padding),
            layers.Flatten(),
        ]
    )
    model.build((None, 9, 8, 3))
    together = model(x)
    apart = x
    for layer in model.layers:
        apart = layer(apart)
    np.testing.assert_array_equal(together.data, apart.data)
    projection = rng.normal(size=together.shape).astype(np.float32)
    gradients = []
    for y in (together, apart):
        for weight in model.weights:
            weight.grad = None
        y.backward(projection)
        gradients.append([weight.grad for weight in model.weights])
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_array_equal(one, other)
