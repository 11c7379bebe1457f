"""L1, L2 and weight decay: keep the weights small.

A network that draws around single samples needs large weights. So one adds a price for them to the loss:

- L2: l2 * sum of w^2. Its pull is proportional to the weight: large ones shrink most, and what nothing needs fades.
- L1: l1 * sum of |w|. Its pull is the same for every weight, so those of little use arrive at 0: a sparse network.
- weight decay: each step multiplies the weights by a number just below 1. For plain SGD that is the same as L2; for
  Adam it is not, since there the price would be divided by the gradient's size like everything else. AdamW does it
  beside the gradient (Loshchilov and Hutter 2019, arXiv 1711.05101).

In Keras, L1 and L2 are arguments of the layer, kernel_regularizer="l2" or regularizers.L2(0.001); weight decay is one
of the optimizer. The data: 200 handwritten digits to train on. The picture shows how the weights of the first layer
are spread after training (how many of each size, on a logarithmic scale), and the loss on new digits, without the
price, so that all four can be compared.
"""

import numpy as np
from _plot import COLOURS, label, picture, save

import gpudl as keras
from gpudl import layers, optimizers, regularizers

(x, y), (x_val, y_val) = keras.datasets.digits.load_data()
x, y, x_val = x[:200].reshape(200, 64) / 16, y[:200], x_val.reshape(-1, 64) / 16

ways = {
    "nothing": (None, optimizers.Adam(0.002)),
    "L1": (regularizers.L1(0.0005), optimizers.Adam(0.002)),
    "L2": (regularizers.L2(0.002), optimizers.Adam(0.002)),
    "weight decay": (None, optimizers.AdamW(0.002, weight_decay=0.6)),
}

figure, (*panels, curves) = picture("AE;BE;CE;DE", width_ratios=[1, 1.3])
summary = []
for axes, colour, (name, (regularizer, optimizer)) in zip(panels, COLOURS, ways.items(), strict=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(128, activation="relu", kernel_regularizer=regularizer),
            layers.Dense(128, activation="relu", kernel_regularizer=regularizer),
            layers.Dense(10, activation="softmax", kernel_regularizer=regularizer),
        ]
    )
    # The loss contains the price of the weights; the metric of the same name does not.
    crossentropy = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss=crossentropy, metrics=[crossentropy])
    history = model.fit(x, y, epochs=150, validation_data=(x_val, y_val), verbose=0).history
    losses = history[f"val_{crossentropy}"]
    w = model.get_weights()[0][x.any(0)].ravel()  # of the pixels that have ink in some digit
    zero = np.mean(np.abs(w) < 0.001)
    axes.hist(w, bins=101, range=(-0.8, 0.8), color=colour)
    axes.set(yscale="log", yticks=[1, 100], xlim=(-0.8, 0.8))
    label(axes, f"{name}: {zero:.0%} below 0.001, spread {w.std():.2f}")
    curves.plot(losses, color=colour, label=f"{name}: {losses[-1]:.2f}")
    summary.append(f"{name}: zero {zero:.3f}, spread {w.std():.3f}, validation loss {losses[-1]:.3f}")
panels[-1].set(xlabel="weight of the first layer")
label(curves, "loss on new digits", "epoch", "cross-entropy")
curves.set(ylim=(0, 1))
curves.legend(loc="upper right")
save(figure, __file__, "L1 sets weights to zero, L2 and decay make them smaller")
print("; ".join(summary))
