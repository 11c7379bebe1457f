"""The multi-layer perceptron, and what happens when it is too large.

One perceptron draws one straight line. A layer of them, each with an activation, draws many, and the layer after it
puts them together to any shape: a multi-layer perceptron (MLP). More units can draw finer shapes. With few samples,
finer is worse: the network draws around single points, and what it learned about those is worth nothing for new ones.
This is overfitting. One sees it in the curves: the training loss falls on and on, while the loss on samples that the
network is not trained on (the validation loss) turns and rises.

The data: handwritten threes and fives, described by how much they differ from their mirror images, up-down and
left-right; 60 of them to train on and 232 to validate. The picture shows what a network of 8 units and one of two
layers of 256 make of the same 60 points, and their curves.
"""

import numpy as np
from _plot import BLUE, ORANGE, label, picture, save

import gpudl as keras
from gpudl import layers

(images, digits), _ = keras.datasets.digits.load_data()
chosen = (digits == 3) | (digits == 5)
images = images[chosen] / 16
x = np.stack([np.abs(images - mirrored).mean((1, 2)) for mirrored in (images[:, ::-1], images[:, :, ::-1])], axis=1)
x = (x - x.mean(0)) / x.std(0)
y = (digits[chosen] == 5).astype(int)
x_train, y_train, x_val, y_val = x[:60], y[:60], x[60:], y[60:]


def train(sizes):
    """Train an MLP with these numbers of hidden units; return it and its history."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), *(layers.Dense(size, activation="relu") for size in sizes)])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(0.005), loss="binary_crossentropy", metrics=["accuracy"])
    fitted = model.fit(x_train, y_train, epochs=500, validation_data=(x_val, y_val), verbose=0)
    return model, fitted.history


figure, (small, large, curves) = picture("AC;BC", width_ratios=[1, 1.1])
grid = np.stack(np.meshgrid(np.linspace(-3, 3, 120), np.linspace(-2.5, 3.4, 118)), axis=-1)
final = {}
for axes, name, sizes, style in ((small, "small", [8], "--"), (large, "too large", [256, 256], "-")):
    model, history = train(sizes)
    probability = model.predict(grid.reshape(-1, 2), batch_size=1000, verbose=0).reshape(grid.shape[:2])
    axes.contourf(grid[..., 0], grid[..., 1], probability, levels=[0, 0.5, 1], colors=[BLUE, ORANGE], alpha=0.25)
    for digit, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
        axes.scatter(*x_train[y_train == digit].T, c=colour, marker=marker, s=22, label=("threes", "fives")[digit])
    axes.set(xlim=(-3, 3), ylim=(-2.5, 3.4))
    final[name] = [history[which][-1] for which in ("accuracy", "val_accuracy", "val_loss")]
    label(axes, f"{name}: {final[name][0]:.0%} of training, {final[name][1]:.0%} of new", y="left-right difference")
    for which, colour in (("loss", BLUE), ("val_loss", ORANGE)):
        shown = "training" if which == "loss" else "validation"
        curves.plot(history[which], style, color=colour, label=f"{shown}, {name}")
large.set(xlabel="up-down difference (spreads from the mean)")
small.legend(loc="upper left", ncols=2)
label(curves, "loss", "epoch", "cross-entropy")
curves.set(ylim=(0, 4.8))
curves.legend(loc="upper right")
save(figure, __file__, "A network too large learns its samples by heart")
print("; ".join(f"{n}: training {a:.3f}, validation {v:.3f}, its loss {loss:.3f}" for n, (a, v, loss) in final.items()))
