"""Watching and steering the training with callbacks."""

import keras
import numpy as np
from keras import layers
from keras.callbacks import Callback, LambdaCallback, TerminateOnNaN

keras.utils.set_random_seed(2)

rng = np.random.default_rng(2)
x = rng.normal(size=(256, 6)).astype("float32")
y = (x[:, 0] + x[:, 1] > 0).astype("int64")


class LossHistory(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


class StopAt(Callback):
    """End as soon as the accuracy is good enough."""

    def __init__(self, accuracy):
        super().__init__()
        self.accuracy = accuracy
        self.stopped_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if logs.get("accuracy") >= self.accuracy:
            self.stopped_epoch = epoch
            self.model.stop_training = True


class HalveTheRate(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            rate = float(self.model.optimizer.learning_rate)
            self.model.optimizer.learning_rate = rate / 2


class Moments(Callback):
    """Count at which moments Keras calls."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def note(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1

    def on_train_begin(self, logs=None):
        self.note("train begin")

    def on_epoch_end(self, epoch, logs=None):
        keys = sorted(logs.keys())
        self.note("epoch end " + " ".join(keys))

    def on_test_batch_end(self, batch, logs=None):
        self.note("test batch end")

    def on_predict_end(self, logs=None):
        self.note("predict end")


model = keras.Sequential([keras.Input((6,)), layers.Dense(16, "relu"), layers.Dense(2, activation="softmax")])
model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])

history = LossHistory()
moments = Moments()
lines = []
talk = LambdaCallback(
    on_epoch_begin=lambda epoch, logs: lines.append(f"epoch {epoch} begins"),
    on_train_end=lambda logs: lines.append("done"),
)
model.fit(
    x,
    y,
    batch_size=32,
    epochs=3,
    validation_split=0.25,
    callbacks=[history, moments, talk, HalveTheRate(), TerminateOnNaN()],
    verbose=0,
)
rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
model.predict(x, verbose=0)
stop = StopAt(0.95)
more = model.fit(x, y, epochs=60, callbacks=[stop], verbose=0)

result = {
    "batches": len(history.losses),
    "last batch loss": float(history.losses[-1]),
    "lines": lines,
    "moments": moments.counts,
    "learning rate": rate,
    "stopped": stop.stopped_epoch + 1 == len(more.history["loss"]),
    "accuracy": more.history["accuracy"][-1],
    "params": [history.params["epochs"], history.params["steps"]],
}
