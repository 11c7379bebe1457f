"""Validation: how good a network is on data it has not seen.

Whoever has the exam's questions at home can learn the answers by heart. So can a network. What counts is how it does
on samples that played no part in training, and so some are set aside *before* anything is learned:

- training data: the weights are fitted to them.
- validation data: looked at during training, to choose settings, or the epoch at which to stop.
- test data: looked at once, at the end, since whatever one chooses by, one fits to.

In Keras `fit(..., validation_split=0.2)` sets the last fifth aside, or one gives `validation_data`; `evaluate` is for
the test data.

To show that the training accuracy alone says nothing, the same network is trained twice: on 600 handwritten digits,
and on the same 600 with their labels shuffled, where there is nothing to learn at all. By its training accuracy the
network mastered both. Only the digits held out tell the two apart.
(After Zhang et al. 2017, arXiv 1611.03530.)
"""

import numpy as np
from _plot import BLUE, ORANGE, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), (x_test, y_test) = keras.datasets.digits.load_data()
x, x_test = x[:750].reshape(750, 64) / 16, x_test.reshape(-1, 64) / 16
labels = {"true labels": y[:750], "shuffled labels": np.random.default_rng(0).permutation(y[:750])}

figure, panels = picture("AB", sharey=True)
summary = []
for axes, (name, targets) in zip(panels, labels.items(), strict=True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(256, activation="relu"),
            layers.Dense(256, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, targets, epochs=60, validation_split=0.2, verbose=0).history
    _, test = model.evaluate(x_test, y_test, verbose=0)
    train, validation = history["accuracy"][-1], history["val_accuracy"][-1]
    axes.plot(100 * np.array(history["accuracy"]), color=BLUE, label=f"training: {train:.0%} at the end")
    axes.plot(100 * np.array(history["val_accuracy"]), color=ORANGE, label=f"validation: {validation:.0%}")
    axes.axhline(10, color="black", ls=":", lw=1.5, label="guessing: 10%")
    axes.legend(loc="center right")
    label(axes, f"{name} (test: {test:.0%})", "epoch", "accuracy (%)" if axes is panels[0] else "")
    summary.append(f"{name}: training {train:.3f}, validation {validation:.3f}, test {test:.3f}")
save(figure, __file__, "Only data held out tell learning from learning by heart")
print("; ".join(summary))
