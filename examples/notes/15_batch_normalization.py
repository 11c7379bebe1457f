"""Batch normalization: every layer gets inputs of the same size.

While the layers before it learn, the inputs of a layer keep changing their mean and spread. BatchNormalization takes
that out: for every unit, over the samples of the batch,

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta

gamma and beta are learned, so the network may undo what it has no use for. It stands between the Dense (or Conv2D)
layer and its activation, and that layer then needs no bias of its own (use_bias=False): beta is the bias.

At prediction there may be only one sample, and no batch to take the mean of. So the layer keeps moving averages,
moving_mean and moving_variance:  moving = momentum moving + (1 - momentum) batch.  They are not trained, they follow.

The network here has five layers of 64 sigmoid units, which hardly learns without. The picture shows the loss with and
without, and one unit's moving mean as it closes in on that unit's true mean over all samples.
Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
"""

import numpy as np
from _plot import BLUE, GREY, ORANGE, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), (x_test, y_test) = keras.datasets.digits.load_data()
x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16


class Follow(keras.callbacks.Callback):
    """After every step, write down the first unit's moving mean and its true mean in the first normalization."""

    def on_train_begin(self, logs=None):
        self.moving, self.true = [], []

    def on_train_batch_end(self, batch, logs=None):
        dense, normalization = self.model.layers[:2]
        self.moving.append(normalization.moving_mean.numpy()[0])
        self.true.append(x.mean(0) @ dense.get_weights()[0][:, 0])


def network(normalize):
    """Five sigmoid layers and a softmax, with or without normalization before each sigmoid."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,))])
    for _ in range(5):
        model.add(layers.Dense(64, use_bias=not normalize))
        if normalize:
            model.add(layers.BatchNormalization(momentum=0.95))
        model.add(layers.Activation("sigmoid"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


figure, (losses, means) = picture("AB")
accuracies = {}
for normalize, colour, name in ((False, BLUE, "without"), (True, ORANGE, "with")):
    model, follow = network(normalize), Follow()
    history = model.fit(x, y, epochs=20, callbacks=[follow] if normalize else [], verbose=0).history
    accuracies[name] = model.evaluate(x_test, y_test, verbose=0)[1]
    text = f"{name}: {accuracies[name]:.0%} of new digits right"
    losses.plot(range(1, 21), history["loss"], "o-", color=colour, label=text)
means.plot(follow.true, "--", color=GREY, label="true mean over all samples")
means.plot(follow.moving, color=ORANGE, label="moving mean")
label(losses, "training loss", "epoch", "cross-entropy")
losses.set(ylim=(0, 3))
losses.legend(loc="upper right")
label(means, "what the first unit's moving mean follows", "step", "input of the sigmoid")
means.legend()
save(figure, __file__, "Batch normalization lets a deep sigmoid network learn")
gap = abs(np.subtract(follow.moving, follow.true))
print(f"test accuracy without {accuracies['without']:.3f}, with {accuracies['with']:.3f}; ", end="")
print(f"moving mean off by {gap[0]:.3f} at first, by {gap[-100:].mean():.3f} in the last 100 steps")
