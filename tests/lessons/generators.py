"""Data that comes batch by batch: a Python generator, and a PyDataset."""

import math

import keras
import numpy as np
from keras import layers
from keras.utils import PyDataset

keras.utils.set_random_seed(15)
rng = np.random.default_rng(15)
x = rng.normal(size=(200, 5)).astype("float32")
y = (x[:, :1] > x[:, 1:2]).astype("float32")


def batches(x, y, batch_size):
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            pick = order[start : start + batch_size]
            yield x[pick], y[pick]


class Pairs(PyDataset):
    def __init__(self, x, y, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.batch_size = x, y, batch_size
        self.epochs = 0

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, idx):
        low = idx * self.batch_size
        high = min(low + self.batch_size, len(self.x))
        return self.x[low:high], self.y[low:high]

    def on_epoch_end(self):
        self.epochs += 1


def make():
    model = keras.Sequential()
    model.add(keras.Input(shape=(5,)))
    model.add(layers.Dense(8))
    model.add(layers.LeakyReLU(negative_slope=0.1))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="binary_crossentropy", metrics=["accuracy"])
    return model


first = make()
first_history = first.fit(
    batches(x, y, 20),
    steps_per_epoch=10,
    epochs=10,
    validation_data=batches(x, y, 20),
    validation_steps=5,
    verbose=0,
)

data = Pairs(x, y, 32)
second = make()
second_history = second.fit(data, epochs=10, verbose=0)
loss, accuracy = second.evaluate(data, verbose=0)
predicted = second.predict(Pairs(x, y, 64), verbose=0)

result = {
    "generator loss": first_history.history["loss"][-1],
    "generator accuracy": first_history.history["val_accuracy"][-1],
    "loss": loss,
    "accuracy": accuracy,
    "predicted": predicted.shape,
    "steps": [int(first.optimizer.iterations), int(second.optimizer.iterations)],
    "batches": len(data),
    "epochs": data.epochs >= 10,
    "logged": sorted(second_history.history),
}
