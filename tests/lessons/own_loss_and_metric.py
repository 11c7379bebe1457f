"""Losses and metrics of one's own: functions, and classes."""

import keras
import keras.ops as K
import numpy as np
from keras import layers

keras.utils.set_random_seed(10)


def huber(y_true, y_pred):
    error = y_true - y_pred
    small = K.abs(error) <= 1.0
    return K.mean(K.where(small, 0.5 * K.square(error), K.abs(error) - 0.5), axis=-1)


class WeightedError(keras.losses.Loss):
    """Too little is worse than too much."""

    def __init__(self, weight=3.0, name="weighted_error", **kwargs):
        super().__init__(name=name, **kwargs)
        self.weight = weight

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        return K.mean(K.maximum(self.weight * error, -error), axis=-1)


def within_half(y_true, y_pred):
    return K.mean(K.cast(K.abs(y_true - y_pred) < 0.5, "float32"))


class Largest(keras.metrics.Metric):
    """The largest error of all batches."""

    def __init__(self, name="largest", **kwargs):
        super().__init__(name=name, **kwargs)
        self.value = self.add_variable(shape=(), initializer="zeros", name="value")

    def update_state(self, y_true, y_pred, sample_weight=None):
        error = K.max(K.abs(y_true - y_pred))
        self.value.assign(K.maximum(self.value, error))

    def result(self):
        return self.value

    def reset_state(self):
        self.value.assign(0.0)


rng = np.random.default_rng(10)
x = rng.normal(size=(256, 3)).astype("float32")
y = (x.sum(axis=1, keepdims=True) + 0.1 * rng.normal(size=(256, 1))).astype("float32")


def make():
    return keras.Sequential([keras.Input((3,)), layers.Dense(16, activation="relu"), layers.Dense(1)])


model = make()
model.compile(optimizer=keras.optimizers.Adam(0.02), loss=huber, metrics=[within_half, Largest(), "mae"])
history = model.fit(x, y, epochs=20, verbose=0)
values = model.evaluate(x, y, verbose=0)

biased = make()
biased.compile(optimizer=keras.optimizers.Adam(0.02), loss=WeightedError(weight=9.0))
biased.fit(x, y, epochs=30, verbose=0)
above = float((biased.predict(x, verbose=0) > y).mean())

# A metric by hand
metric = keras.metrics.SparseCategoricalAccuracy(name="acc")
metric.update_state([1, 2, 0], [[0.1, 0.9, 0.0], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])
two_thirds = float(metric.result())
metric.reset_state()

mse = keras.losses.MeanSquaredError()
by_hand = float(mse(np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]])))

result = {
    "logged": sorted(history.history),
    "values": len(values),
    "loss": values[0],
    "within half accuracy": values[1],
    "mae loss": values[3],
    "largest loss": values[2],
    "above": above > 0.7,
    "two thirds": two_thirds,
    "after reset": float(metric.result()),
    "by hand": by_hand,
}
