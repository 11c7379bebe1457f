"""Layers of one's own: weights made in build, an own penalty, and a layer with state."""

import keras
import numpy as np
from keras import layers, ops


class Linear(keras.layers.Layer):
    """w x + b, with a penalty on large outputs."""

    def __init__(self, units=32, penalty=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.penalty = penalty

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

    def call(self, inputs):
        y = ops.matmul(inputs, self.w) + self.b
        if self.penalty:
            self.add_loss(self.penalty * ops.mean(ops.square(y)))
        return y

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units, "penalty": self.penalty})
        return config


class RunningSum(layers.Layer):
    """Adds up what it has seen; nothing to be trained."""

    def __init__(self, input_dim):
        super().__init__()
        self.total = self.add_weight(shape=(input_dim,), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.total.assign_add(ops.sum(inputs, axis=0))
        return self.total


class Noise(layers.Layer):
    """Only disturbs in training."""

    def __init__(self, stddev, **kwargs):
        super().__init__(**kwargs)
        self.stddev = stddev

    def call(self, x, training=None):
        if training:
            return x + keras.random.normal(ops.shape(x), stddev=self.stddev)
        return x


class Block(layers.Layer):
    """A layer that consists of layers."""

    def __init__(self):
        super().__init__()
        self.first = Linear(16, penalty=1e-3)
        self.noise = Noise(0.05)
        self.second = Linear(3)

    def call(self, x):
        return self.second(self.noise(ops.relu(self.first(x))))


keras.utils.set_random_seed(5)

running = RunningSum(2)
running(np.ones((2, 2), "float32"))
total = ops.convert_to_numpy(running(np.ones((3, 2), "float32")))

layer = Linear(4)
y = layer(ops.ones((2, 3)))
print("weights:", [(w.name, w.shape) for w in layer.weights])
again = Linear.from_config(layer.get_config())

block = Block()
outputs = block(np.ones((1, 8), "float32"))

rng = np.random.default_rng(1)
labels = rng.integers(0, 3, 300)
x = rng.normal(size=(300, 8)).astype("float32")
x[np.arange(300), labels] += 3.0

inputs = keras.Input(shape=(8,))
model = keras.Model(inputs, Block()(inputs))
model.compile(
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
)
history = model.fit(x, labels, epochs=25, verbose=0)

result = {
    "total": total.tolist(),
    "shape": tuple(y.shape),
    "units": again.units,
    "weights": len(layer.weights),
    "trainable": len(block.trainable_weights),
    "state": [len(running.trainable_weights), len(running.non_trainable_weights)],
    "losses": len(block.losses),
    "parameters": model.count_params(),
    "loss": history.history["loss"][-1],
    "accuracy": history.history["acc"][-1],
}
