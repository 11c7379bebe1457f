"""Gradient descent: all samples, one sample, or a few at a time.

A step of gradient descent goes against the gradient of the loss:  w -= rate dL/dw.  What differs is how many samples
the gradient is computed from:

- full batch: all of them. The exact direction, but one step an epoch (a pass over all samples).
- stochastic (SGD): one. As many steps an epoch as there are samples, each in a noisy direction.
- mini-batch: a few, here 32. Many steps and little noise, and a few samples at once are hardly slower than one.

In Keras the three are one argument of fit: batch_size.

The network is a single unit with two weights, so that the loss is a surface one can draw: a bowl. The data are
handwritten zeros and ones, described by two numbers, the ink in the middle and the
asymmetry. The picture shows the way of the weights down the bowl in
eight epochs, and the loss on all samples after each epoch.
"""

import numpy as np
from _plot import COLOURS, label, picture, save

import gpudl as keras
from gpudl import layers

EPOCHS, RATE, START = 8, 0.05, np.array([[-1.0], [-1.3]], np.float32)


class Way(keras.callbacks.Callback):
    """Write down the weights after every step."""

    def on_train_begin(self, logs=None):
        self.weights = [START[:, 0]]

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights()[0][:, 0])


(images, digits), _ = keras.datasets.digits.load_data()
chosen = digits <= 1
images = images[chosen] / 16
x = np.stack([images[:, :, 3:5].mean((1, 2)), np.abs(images - images[:, :, ::-1]).mean((1, 2))], axis=1)
x = (x - x.mean(0)) / x.std(0)
y = np.where(digits[chosen] == 1, 1.0, -1.0)


def loss_at(w1, w2):
    """The mean squared error of all samples for weights (w1, w2)."""
    return np.mean((w1[..., None] * x[:, 0] + w2[..., None] * x[:, 1] - y) ** 2, axis=-1)


figure, (bowl, curves) = picture("AB", width_ratios=[1.1, 1])
w1, w2 = np.meshgrid(np.linspace(-1.5, 1.5, 60), np.linspace(-1.5, 1.5, 60))
bowl.contour(w1, w2, loss_at(w1, w2), levels=np.geomspace(0.3, 8, 12), colors="grey", linewidths=0.7)
final = {}
sizes = {"stochastic": 1, "mini-batch": 32, "full batch": len(x)}
for colour, (name, batch_size) in zip(COLOURS, sizes.items(), strict=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False)])
    model.set_weights([START])
    model.compile(keras.optimizers.SGD(RATE), loss="mse")
    way = Way()
    model.fit(x, y, batch_size=batch_size, epochs=EPOCHS, callbacks=[way], verbose=0)
    path = np.array(way.weights)
    steps = (len(path) - 1) // EPOCHS
    losses = loss_at(*path[::steps].T)
    bowl.plot(*path.T, color=colour, lw=1 if batch_size == 1 else 2, marker="." if batch_size > 1 else "", label=name)
    curves.plot(losses, "o-", color=colour, label=f"{name}: {steps} step{'s' if steps > 1 else ''} an epoch")
    final[name] = losses[-1]
bowl.plot(*np.linalg.lstsq(x, y, rcond=None)[0], "k*", ms=14, label="lowest point")
bowl.legend(loc="lower right")
label(bowl, "the way down the loss surface", "weight of ink", "weight of asymmetry")
label(curves, "loss on all samples", "epoch", "mean squared error")
curves.legend(loc="upper right")
save(figure, __file__, "Smaller batches take more steps an epoch, and noisier ones")
print(f"loss after {EPOCHS} epochs: " + ", ".join(f"{name} {loss:.4f}" for name, loss in final.items()))
