"""Callbacks: ModelCheckpoint, ReduceLROnPlateau, EarlyStopping.

A callback is called at every epoch's end, looks at the numbers, and acts. All three here watch one number, `monitor`,
and count the epochs since it was last better than its best; `mode` says whether better is "min", "max" or, from the
name, "auto".

- ModelCheckpoint(filepath, monitor="val_loss", save_best_only=True) saves the model each time the number is better.
  The path may hold {epoch:02d} and {val_loss:.3f}. Keras's files end in ".keras", gpudl's own in ".safetensors".
- ReduceLROnPlateau(monitor="val_loss", factor=0.3, patience=4, min_lr=1e-5) multiplies the learning rate by `factor`
  after `patience` epochs without anything better (by more than `min_delta`), and then waits `cooldown` epochs.
- EarlyStopping(monitor="val_loss", patience=12, restore_best_weights=True) ends training after `patience` such
  epochs, and puts the weights of the best epoch back. Its patience should be the longer one, so that a smaller
  learning rate gets its chance.

The picture marks what each of them decided while a network was trained on 500 handwritten digits: up to 200 epochs
were allowed. Below, the learning rate. The first reduction brings a new best, the later ones nothing any more.
"""

import tempfile
from pathlib import Path

import numpy as np
from _plot import BLUE, GREEN, GREY, ORANGE, PINK, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), (x_test, y_test) = keras.datasets.digits.load_data()
x, y, x_test = x[:750].reshape(750, 64) / 16, y[:750], x_test.reshape(-1, 64) / 16

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((64,)),
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.SGD(0.5), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
with tempfile.TemporaryDirectory() as folder:
    history = model.fit(
        x,
        y,
        epochs=200,
        validation_split=1 / 3,
        callbacks=[
            keras.callbacks.ModelCheckpoint(f"{folder}/epoch-{{epoch:03d}}.safetensors", save_best_only=True),
            keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=4, min_lr=1e-5),
            keras.callbacks.EarlyStopping(patience=12, restore_best_weights=True),
        ],
        verbose=0,
    ).history
    files = sorted(Path(folder).iterdir())
    saved = [int(file.stem.removeprefix("epoch-")) for file in files]
    best = keras.models.load_model(files[-1])
    same = np.allclose(best.predict(x_test, verbose=0), model.predict(x_test, verbose=0))

val_loss, rate = np.array(history["val_loss"]), np.array(history["learning_rate"])
epochs = np.arange(1, len(val_loss) + 1)
reduced = epochs[1:][rate[1:] < rate[:-1]] - 1  # decided at the end of the epoch before the first slower one
figure, (losses, rates) = picture("A;B", height_ratios=[2.6, 1], sharex=True)
losses.plot(epochs, history["loss"], color=BLUE, label="training")
losses.plot(epochs, val_loss, color=ORANGE, label="validation")
losses.plot(
    saved, val_loss[np.array(saved) - 1], "o", color=GREEN, label=f"saved by ModelCheckpoint ({len(saved)} times)"
)
losses.plot(saved[-1], val_loss[saved[-1] - 1], "k*", ms=15, label=f"best: epoch {saved[-1]}, put back at the end")
for axes in (losses, rates):
    for number, epoch in enumerate(reduced):
        axes.axvline(epoch, color=PINK, ls="--", lw=1.5, label=None if number else "learning rate reduced")
    axes.axvline(epochs[-1], color=GREY, lw=3, label=f"stopped after epoch {epochs[-1]}")
label(losses, "", y="cross-entropy")
losses.set(yscale="log")
losses.set(ylim=(0.04, 20))
losses.legend(loc="upper right", bbox_to_anchor=(0.54, 1))
rates.step(epochs, rate, where="mid", color=PINK)
steps = sorted(set(rate))
rates.set(yscale="log", yticks=steps, yticklabels=[f"{step:.2g}" for step in steps])
rates.minorticks_off()
label(rates, "", "epoch", "learning rate")
save(figure, __file__, f"Three callbacks stop after {epochs[-1]} of 200 epochs, with the best weights")
accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
print(f"{len(saved)} saved, best {saved[-1]}; reduced after {reduced.tolist()}; stopped {epochs[-1]}; ", end="")
print(f"test accuracy {accuracy:.3f}; the file's predictions are the model's: {same}")
