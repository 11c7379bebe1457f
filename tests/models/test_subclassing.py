"""Models of one's own, written as Keras's guides write them; only the import and `no_grad` are gpudl's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpudl
import gpudl as keras
from gpudl import layers, ops
from gpudl.errors import UsageError

N = 64


def regression(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, 4)).astype(np.float32)
    return x, (x @ np.array([[1.0], [-2.0], [0.5], [0.0]], np.float32)) + 0.3


# fit with steps of one's own: https://keras.io/guides/custom_train_step_in_torch


class CustomModel(keras.Model):
    def train_step(self, data: Any) -> Any:
        # Unpack the data. Its structure depends on your model and on what you pass to `fit()`.
        x, y = data
        # Call zero_grad() to clear the leftover gradients for the weights from the previous training step.
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        # Call backward() on the loss to compute gradients for the weights.
        loss.backward()
        trainable_weights = [v for v in self.trainable_weights]  # noqa: C416  as the guide has it
        gradients = [v.value.grad for v in trainable_weights]
        with gpudl.no_grad():
            self.optimizer.apply(gradients, trainable_weights)
        # Update metrics (includes the metric that tracks the loss)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        # Return a dict mapping metric names to current value; it includes the loss (tracked in self.metrics).
        return {m.name: m.result() for m in self.metrics}


class LowLevel(keras.Model):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = keras.losses.MeanSquaredError()

    def train_step(self, data: Any) -> Any:
        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.loss_fn(y, y_pred)
        loss.backward()
        trainable_weights = [v for v in self.trainable_weights]  # noqa: C416  as the guide has it
        gradients = [v.value.grad for v in trainable_weights]
        with gpudl.no_grad():
            self.optimizer.apply(gradients, trainable_weights)
        self.loss_tracker.update_state(loss)
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

    @property
    def metrics(self) -> list[Any]:
        # Listed here so that reset_state() is called at the start of each epoch.
        return [self.loss_tracker, self.mae_metric]


class Weighted(keras.Model):
    def train_step(self, data: Any) -> Any:
        if len(data) == 3:
            x, y, sample_weight = data
        else:
            sample_weight = None
            x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        loss.backward()
        trainable_weights = [v for v in self.trainable_weights]  # noqa: C416  as the guide has it
        gradients = [v.value.grad for v in trainable_weights]
        with gpudl.no_grad():
            self.optimizer.apply(gradients, trainable_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred, sample_weight=sample_weight)
        return {m.name: m.result() for m in self.metrics}


class WithTestStep(keras.Model):
    def test_step(self, data: Any) -> Any:
        x, y = data
        y_pred = self(x, training=False)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def functional(of: Any) -> Any:
    inputs = keras.Input(shape=(4,))
    outputs = keras.layers.Dense(1, name="out")(keras.layers.Dense(8, activation="tanh", name="in")(inputs))
    return of(inputs, outputs)


def beside_plain(of: Any, compiled: dict[str, Any], **given: Any) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """Train a model of one's own, and one that is not, from the same weights."""
    x, y = regression()
    model, plain = functional(of), functional(keras.Model)
    plain.set_weights(model.get_weights())
    model.compile(optimizer=keras.optimizers.SGD(0.05), **compiled)
    plain.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse", metrics=["mae"])
    given = {"epochs": 3, "verbose": 0, "shuffle": False, "batch_size": 16, **given}
    mine, expected = model.fit(x, y, **given).history, plain.fit(x, y, **given).history
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    return model, plain, mine, expected


@pytest.mark.parametrize(
    ("of", "compiled"),
    [
        (CustomModel, {"loss": "mse", "metrics": ["mae"]}),
        (LowLevel, {}),
        (Weighted, {"loss": "mse", "metrics": ["mae"]}),
    ],
)
def test_a_train_step_as_in_the_guide(of: Any, compiled: Any) -> None:
    _, _, mine, expected = beside_plain(of, compiled)
    assert set(mine) == {"loss", "mae"}
    for name, values in expected.items():
        np.testing.assert_allclose(mine[name], values, rtol=1e-5)


def test_a_train_step_with_sample_weights() -> None:
    weight = np.random.default_rng(2).choice([0.5, 2.0], N).astype(np.float32)
    _, _, mine, expected = beside_plain(Weighted, {"loss": "mse", "metrics": ["mae"]}, sample_weight=weight)
    np.testing.assert_allclose(mine["loss"], expected["loss"], rtol=1e-5)
    assert np.abs(np.subtract(mine["mae"], expected["mae"])).max() > 1e-4, "here the metric is weighted"


def test_a_test_step_as_in_the_guide() -> None:
    x, y = regression()
    model, plain, mine, expected = beside_plain(
        WithTestStep, {"loss": "mse", "metrics": ["mae"]}, validation_data=regression(1)
    )
    for name, values in expected.items():
        np.testing.assert_allclose(mine[name], values, rtol=1e-5)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(plain.evaluate(x, y, verbose=0), rel=1e-5)


class TwiceTheLoss(keras.Model):
    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        return ops.mean(ops.square(y_pred - y)) * 2.0


def test_compute_loss_of_ones_own() -> None:
    x, y = regression()
    model, plain = functional(TwiceTheLoss), functional(keras.Model)
    plain.set_weights(model.get_weights())
    model.compile(keras.optimizers.SGD(0.02), metrics=["mse"])
    plain.compile(keras.optimizers.SGD(0.04), "mse")
    mine = model.fit(x, y, epochs=3, verbose=0, shuffle=False).history
    other = plain.fit(x, y, epochs=3, verbose=0, shuffle=False).history
    np.testing.assert_allclose(mine["loss"], 2 * np.array(other["loss"]), rtol=1e-5)
    np.testing.assert_allclose(mine["mse"], other["loss"], rtol=1e-5)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class GAN(keras.Model):
    def __init__(self, discriminator: Any, generator: Any, latent_dim: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        self.rng = np.random.default_rng(0)
        self.built = True

    @property
    def metrics(self) -> list[Any]:
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, data: Any) -> Any:
        real = data[0] if isinstance(data, tuple) else data
        size = len(real)
        noise = self.rng.standard_normal((size, self.latent_dim)).astype(np.float32)
        generated = self.generator(noise)
        both = ops.concatenate([generated.data, real], axis=0)
        labels = np.concatenate([np.ones((size, 1)), np.zeros((size, 1))]).astype(np.float32)
        self.zero_grad()
        d_loss = self.loss_fn(labels, self.discriminator(both))
        d_loss.backward()
        grads = [v.value.grad for v in self.discriminator.trainable_weights]
        with gpudl.no_grad():
            self.d_optimizer.apply(grads, self.discriminator.trainable_weights)
        self.zero_grad()
        misleading = np.zeros((size, 1), np.float32)
        g_loss = self.loss_fn(misleading, self.discriminator(self.generator(noise)))
        g_loss.backward()
        grads = [v.value.grad for v in self.generator.trainable_weights]
        with gpudl.no_grad():
            self.g_optimizer.apply(grads, self.generator.trainable_weights)
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


def test_two_optimizers() -> None:
    discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
    generator = keras.Sequential([keras.Input((3,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    gan = GAN(discriminator, generator, 3)
    assert len(gan.weights) == 8
    gan.compile(
        d_optimizer=keras.optimizers.Adam(0.01),
        g_optimizer=keras.optimizers.Adam(0.01),
        loss_fn=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    before = gan.get_weights()
    real = np.random.default_rng(1).normal(3, 0.1, (N, 2)).astype(np.float32)
    history = gan.fit(real, epochs=3, batch_size=16, verbose=0).history
    assert list(history) == ["d_loss", "g_loss"] and len(history["d_loss"]) == 3
    assert all((a != b).any() for a, b in zip(before, gan.get_weights(), strict=True))
    assert gan.d_optimizer.iterations == gan.g_optimizer.iterations == 12


# The encoder and decoder of https://keras.io/guides/making_new_layers_and_models_via_subclassing


class Sampling(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rng = np.random.default_rng(0)

    def call(self, inputs: Any) -> Any:
        z_mean, z_log_var = inputs
        epsilon = self.rng.standard_normal(z_mean.shape).astype(np.float32)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class Encoder(layers.Layer):
    def __init__(self, latent_dim: int = 2, name: str = "encoder", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.dense_proj = layers.Dense(8, activation="relu")
        self.dense_mean = layers.Dense(latent_dim)
        self.dense_log_var = layers.Dense(latent_dim)
        self.sampling = Sampling()

    def call(self, inputs: Any) -> Any:
        x = self.dense_proj(inputs)
        z_mean, z_log_var = self.dense_mean(x), self.dense_log_var(x)
        return z_mean, z_log_var, self.sampling((z_mean, z_log_var))


class VariationalAutoEncoder(keras.Model):
    def __init__(self, original_dim: int, name: str = "autoencoder", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.encoder = Encoder()
        self.decoder = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(original_dim)])

    def call(self, inputs: Any) -> Any:
        z_mean, z_log_var, z = self.encoder(inputs)
        reconstructed = self.decoder(z)
        kl_loss = -0.5 * ops.mean(z_log_var - ops.square(z_mean) - ops.exp(z_log_var) + 1)
        self.add_loss(kl_loss)
        return reconstructed


def test_a_loss_added_in_call() -> None:
    x, _ = regression()
    vae = VariationalAutoEncoder(4)
    vae.compile(keras.optimizers.Adam(0.01), loss=keras.losses.MeanSquaredError(), metrics=["mse"])
    history = vae.fit(x, x, epochs=8, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["loss"][0] > history["mse"][0], "the added loss counts"
    y = vae(x)
    assert len(vae.losses) == 1, "what one call added, not what all did"
    total = float(keras.losses.MeanSquaredError()(x, y)) + float(vae.losses[0])
    assert total > float(vae.losses[0]) > 0
    assert vae.predict(x, verbose=0).shape == x.shape


def test_training_on_added_losses_alone() -> None:
    class Only(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight((input_shape[-1],), "ones")

        def call(self, x: Any) -> Any:
            self.add_loss(ops.sum(ops.square(self.w)))
            return x * self.w

    model = keras.Sequential([keras.Input((4,)), Only()])
    model.compile(keras.optimizers.SGD(0.1))
    x, _ = regression()
    history = model.fit(x, batch_size=N, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], [4.0, 4 * 0.8**2], rtol=1e-6)


# Nested layers


class Nested(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [layers.Dense(6, activation="relu", name=f"block_{i}") for i in range(2)]
        self.heads = {"b": layers.Dense(1, name="head_b"), "a": layers.Dense(2, name="head_a")}
        self.drop = layers.Dropout(0.5)
        self.deep = [[layers.BatchNormalization(name="norm")]]

    def call(self, x: Any, training: bool = False) -> Any:
        for block in self.blocks:
            x = block(x)
        x = self.deep[0][0](self.drop(x, training=training))
        return {name: head(x) for name, head in self.heads.items()}


def test_layers_in_lists_and_dicts() -> None:
    x, y = regression()
    model = Nested()
    model.compile(
        keras.optimizers.SGD(0.05),
        {"a": "mse", "b": "mse"},
        metrics={"a": ["mse"]},
        loss_weights={"a": 0.5, "b": 1.0},
    )
    targets = {"a": np.repeat(y, 2, axis=1), "b": y}
    history = model.fit(x, targets, epochs=6, batch_size=16, verbose=0).history
    assert set(history) == {"loss", "a_loss", "b_loss", "a_mse"}
    assert history["loss"][-1] < history["loss"][0]
    assert len(model.weights) == 4 + 4 + 4
    assert {layer.name for layer in model.layers} >= {"block_0", "block_1", "head_a", "head_b", "norm"}
    y_pred = model.predict(x, verbose=0)
    assert {name: value.shape for name, value in y_pred.items()} == {"a": (N, 2), "b": (N, 1)}
    np.testing.assert_array_equal(y_pred["a"], model(x)["a"].numpy())
    assert (model(x, training=True)["a"].numpy() != y_pred["a"]).any()
    logs = model.evaluate(x, targets, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(0.5 * logs["a_loss"] + logs["b_loss"], rel=1e-5)
    model.blocks[0].trainable = False
    assert len(model.trainable_weights) == 2 + 4 + 2


def test_several_outputs_in_a_tuple_are_named_in_order() -> None:
    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(1), layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            a, b = inputs
            return self.first(a), self.second(b)

    x, y = regression()
    model = Two()
    model.compile("sgd", ["mse", "mse"], metrics=[["mse"], []])
    logs = model.fit([x, x], [y, np.repeat(y, 2, axis=1)], verbose=0).history
    assert {"loss", "mse"} <= {name.split("_")[-1] for name in logs}
    first, second = model.predict([x, x], verbose=0)
    assert first.shape == (N, 1) and second.shape == (N, 2)


def test_a_model_within_a_functional_model() -> None:
    class Inner(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return ops.tanh(self.dense(x))

    inputs = keras.Input((4,))
    inner = Inner()
    model = keras.Model(inputs, layers.Dense(1)(inner(inputs) + inner(inputs * 2.0)))
    assert [w.shape for w in model.weights] == [(4, 3), (3,), (3, 1), (1,)]
    x, y = regression()
    model.compile(keras.optimizers.SGD(0.05), "mse")
    history = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]


# Loops written by hand


def test_a_hand_written_loop_is_what_fit_does() -> None:
    x, y = regression()
    by_hand, fitted = functional(keras.Model), functional(keras.Model)
    fitted.set_weights(by_hand.get_weights())
    optimizer = keras.optimizers.Adam(0.01)
    loss_fn = keras.losses.MeanSquaredError()
    for _ in range(2):
        for start in range(0, N, 16):
            loss = loss_fn(y[start : start + 16], by_hand(x[start : start + 16], training=True))
            loss.backward()
            optimizer.apply(by_hand.trainable_weights)
    fitted.compile(keras.optimizers.Adam(0.01), "mse")
    fitted.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(by_hand.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_add_up_until_they_are_cleared() -> None:
    model = functional(keras.Model)
    x, y = regression()
    loss_fn = keras.losses.MeanSquaredError()
    loss_fn(y, model(x)).backward()
    once = [w.grad.copy() for w in model.trainable_weights]
    loss_fn(y, model(x)).backward()
    for w, gradient in zip(model.trainable_weights, once, strict=True):
        np.testing.assert_allclose(w.grad, 2 * gradient, rtol=1e-6)
    model.zero_grad()
    assert all(w.grad is None for w in model.weights)


def test_the_learning_rate_is_read_and_set() -> None:
    model = functional(keras.Model)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    model.train_on_batch(*regression())
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_batch_at_a_time_counts_that_batch() -> None:
    model = functional(keras.Model)
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mse"])
    x, y = regression()
    first = model.train_on_batch(x[:8], y[:8])
    second = model.train_on_batch(x[8:24], y[8:24], return_dict=True)
    assert model.test_on_batch(x[:8], y[:8]) == pytest.approx(first)
    assert model.test_on_batch(x[8:24], y[8:24], return_dict=True) == pytest.approx(second)
    np.testing.assert_array_equal(model.predict_on_batch(x[:8]), model.predict(x[:8], verbose=0))


def test_a_model_that_defines_no_call() -> None:
    with pytest.raises(UsageError, match=r"Bare must define call\(x\), or be given inputs and outputs"):
        type("Bare", (keras.Model,), {})()(np.zeros((1, 2), np.float32))


def test_fit_before_compile_and_no_loss() -> None:
    model = functional(keras.Model)
    with pytest.raises(UsageError, match="does not know its loss yet; call compile"):
        model.fit(*regression())
    model.compile("sgd")
    with pytest.raises(UsageError, match="has no loss to train on"):
        model.fit(*regression(), verbose=0)
