"""Batch size: noise, time and accuracy.

The gradient of a batch is an estimate of the gradient of all samples. Its noise falls with the square root of the
batch size: four times the samples, half the noise. So a large batch knows better where to go, but takes fewer steps
an epoch. A small batch takes many, and its noise does no harm while there is far to go. On the clock a small batch is
slow: each step has a cost of its own, however few samples it is for.

The picture: the same network on the same digits for the same ten epochs, with batches of 4, 32 and 256. On the left
the loss of each batch, against the samples seen; on the right, accuracy on new digits against seconds on the clock
(these, and only these, depend on the machine).
"""

import time

import numpy as np
from _plot import COLOURS, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), (x_test, y_test) = keras.datasets.digits.load_data()
x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16


class Watch(keras.callbacks.Callback):
    """Keep every batch's own loss, and the seconds at the end of each epoch, validation not counted."""

    def on_train_begin(self, logs=None):
        self.losses, self.seconds = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.total, self.began = 0.0, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        total = (logs or {})["loss"] * (batch + 1)  # logs hold the mean over the batches of the epoch so far
        self.losses.append(total - self.total)
        self.total = total
        self.end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(sum(self.seconds[-1:]) + self.end - self.began)


figure, (noise, clock) = picture("AB")
summary = []
for colour, batch_size in zip(COLOURS, (4, 32, 256), strict=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
    )
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    watch = Watch()
    samples = len(x) // batch_size * batch_size  # full batches only, so that all losses are of equally many samples
    fitted = model.fit(
        x[:samples],
        y[:samples],
        batch_size=batch_size,
        epochs=10,
        validation_data=(x_test, y_test),
        callbacks=[watch],
        verbose=0,
    )
    seen = np.arange(1, len(watch.losses) + 1) * batch_size / 1000
    noise.plot(seen, watch.losses, color=colour, lw=0.6 if batch_size == 4 else 1.5, label=f"batches of {batch_size}")
    accuracy = fitted.history["val_accuracy"]
    steps = len(watch.losses) // 10
    clock.plot(watch.seconds, 100 * np.array(accuracy), "o-", color=colour, label=f"{steps} steps an epoch")
    jumps = np.std(watch.losses[-steps:]) / np.mean(watch.losses[-steps:])  # in the last epoch
    summary.append(
        f"{batch_size}: noise {jumps:.3f} of the loss, {watch.seconds[-1]:.2f} s, accuracy {accuracy[-1]:.3f}"
    )
noise.set(ylim=(0, 3))
label(noise, "loss of each batch", "samples seen (thousands)", "cross-entropy")
noise.legend(loc="upper right")
clock.set(xscale="log", xticks=[0.01, 0.1, 1], xticklabels=["0.01", "0.1", "1"])
label(clock, "after each of ten epochs", "seconds", "accuracy on new digits (%)")
clock.legend(loc="lower right")
save(figure, __file__, "Small batches: more steps, more noise, more time an epoch")
print("batches of " + "; ".join(summary))
