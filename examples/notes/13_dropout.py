"""Dropout: leave units out, so that none relies on another.

In every step of training, Dropout(0.5) sets each unit of the layer before it to 0 with probability one half, and
doubles those that are left, so that the sum stays as large on the average. Each step thus trains another, thinner
network, and no unit can rely on one certain other to be there. At prediction nothing is left out.

Dropout is a remedy for overfitting, so it shows where there is something to overfit: here 500 handwritten digits, a
fifth of them with a label drawn by lot, as if somebody had been careless, for a network of two layers of 512 units.
Without dropout it learns the wrong labels by heart. With dropout it cannot: its training loss stays *higher*, and its
predictions of new digits (with right labels) are better.
Source: Srivastava et al. 2014, JMLR 15.
"""

import numpy as np
from _plot import BLUE, ORANGE, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), (x_val, y_val) = keras.datasets.digits.load_data()
x, y, x_val = x[:500].reshape(500, 64) / 16, y[:500].copy(), x_val.reshape(-1, 64) / 16
rng = np.random.default_rng(0)
careless = rng.random(500) < 0.2
y[careless] = rng.integers(0, 10, careless.sum())


def train(rate_of_inputs, rate):
    """Train with these shares of inputs and units left out; return the history."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dropout(rate_of_inputs),
            layers.Dense(512, activation="relu"),
            layers.Dropout(rate),
            layers.Dense(512, activation="relu"),
            layers.Dropout(rate),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(x, y, epochs=60, validation_data=(x_val, y_val), verbose=0).history


figure, (losses, accuracies) = picture("AB")
final = {}
for rates, colour, name in (((0.0, 0.0), BLUE, "without"), ((0.2, 0.5), ORANGE, "with dropout")):
    history = train(*rates)
    losses.plot(history["loss"], ":", color=colour, label=f"training, {name}")
    losses.plot(history["val_loss"], color=colour, label=f"validation, {name}")
    # the mean of the last ten epochs, since single epochs jump
    final[name] = [float(np.mean(history[key][-10:])) for key in ("val_loss", "val_accuracy")]
    accuracy = 100 * np.array(history["val_accuracy"])
    accuracies.plot(accuracy, color=colour, label=f"{name}: {100 * final[name][1]:.0f}%")
label(losses, "loss", "epoch", "cross-entropy")
losses.set(ylim=(0, 2.5))
losses.legend(loc="upper right")
label(accuracies, "validation accuracy", "epoch", "accuracy (%)")
accuracies.set(ylim=(70, 100))
accuracies.legend(loc="lower right")
save(figure, __file__, "Dropout keeps a network from learning wrong labels by heart")
print(
    "; ".join(
        f"{name}: validation loss {loss:.3f}, accuracy {accuracy:.3f}" for name, (loss, accuracy) in final.items()
    )
)
