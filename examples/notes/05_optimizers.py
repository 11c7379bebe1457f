"""Optimizers: SGD, Momentum, AdaGrad, RMSProp, Adam.

The inputs of a network are seldom all of one size. The loss is then no round bowl but a ravine: steep across, almost
flat along. Plain gradient descent must take steps small enough for the steep walls, and crawls along the floor.

- Momentum: a ball rather than a hiker. It adds up the steps, so what points the same way each time grows.
- AdaGrad: divides each weight's step by the root of the sum of its squared gradients so far. Flat directions get long
  steps; but the sum only grows, so all steps become ever shorter.
- RMSProp: the same with a moving average instead of the sum, so it does not come to a halt.
- Adam: RMSProp with momentum. What most lessons use.

The picture shows the ways of the five down one ravine: the loss of a unit with two weights that tells handwritten
zeros from ones, by the ink in the middle, and by the asymmetry in a unit six times too large. A cross is where each
one is after 60 steps; on the right how far it is above the lowest loss.
Source: Polyak 1964; Duchi et al. 2011; Hinton 2012; Kingma and Ba 2015, arXiv 1412.6980.
"""

import numpy as np
from _plot import COLOURS, label, picture, save

import gpudl as keras
from gpudl import layers, optimizers

START = np.array([[-1.0], [-2.5]], np.float32)


class Way(keras.callbacks.Callback):
    """Write down the weights after every step."""

    def on_train_begin(self, logs=None):
        self.weights = [START[:, 0]]

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights()[0][:, 0])


(images, digits), _ = keras.datasets.digits.load_data()
images, y = images[digits <= 1] / 16, np.where(digits[digits <= 1] == 1, 1.0, -1.0)
x = np.stack([images[:, :, 3:5].mean((1, 2)), np.abs(images - images[:, :, ::-1]).mean((1, 2))], axis=1)
x = (x - x.mean(0)) / x.std(0) / [1, 6]


def loss_at(w1, w2):
    """The mean squared error of all samples for weights (w1, w2)."""
    return np.mean((w1[..., None] * x[:, 0] + w2[..., None] * x[:, 1] - y) ** 2, axis=-1)


racers = {
    "SGD": optimizers.SGD(0.3),
    "Momentum": optimizers.SGD(0.3, momentum=0.8),
    "AdaGrad": optimizers.Adagrad(0.5),
    "RMSProp": optimizers.RMSprop(0.1),
    "Adam": optimizers.Adam(0.2),
}
best = np.linalg.lstsq(x, y, rcond=None)[0]
figure, (ravine, curves) = picture("AB", width_ratios=[1.2, 1])
w1, w2 = np.meshgrid(np.linspace(-1.5, 2.5, 80), np.linspace(-3, 4, 80))
ravine.contour(w1, w2, loss_at(w1, w2), levels=np.geomspace(0.18, 8, 14), colors="grey", linewidths=0.7)
above = {}
for colour, (name, optimizer) in zip(COLOURS, racers.items(), strict=True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False)])
    model.set_weights([START])
    model.compile(optimizer, loss="mse")
    way = Way()
    model.fit(x, y, batch_size=len(x), epochs=60, callbacks=[way], verbose=0)
    path = np.array(way.weights)
    losses = loss_at(*path.T) - loss_at(*best)
    above[name] = losses[-1]
    ravine.plot(*path.T, color=colour, lw=1.5, marker=".", ms=5)
    ravine.plot(*path[-1], "x", color=colour, ms=12, mew=3)
    curves.plot(losses, color=colour, label=name)
ravine.plot(*best, "k*", ms=15, label="lowest point", zorder=5)
ravine.legend(loc="lower right")
label(ravine, "the ways; x: after 60 steps", "weight of ink", "weight of asymmetry")
curves.set(yscale="log")
label(curves, "how far above the lowest loss", "step", "mean squared error")
curves.legend(loc="lower left")
save(figure, __file__, "In a ravine plain SGD crawls; the other four get along faster")
print("above the lowest loss after 60 steps: " + ", ".join(f"{name} {loss:.2g}" for name, loss in above.items()))
