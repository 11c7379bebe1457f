"""Glorot and He: how large the first weights should be.

Before training, weights are random numbers. Too small, and each layer passes on less than it got, until nothing is
left after ten; too large, and it explodes. In between there is a size at which the signal stays as strong as it was:

- Glorot (Xavier): variance 2 / (inputs + outputs). Made for activations that are steep around 0, as tanh. Keras's
  default ("glorot_uniform").
- He: variance 2 / inputs. ReLU throws half of the signal away; the 2 makes up for it ("he_normal", "he_uniform").

The network has ten ReLU layers of 128 units. The picture shows the values that come out of layers 1, 4, 7 and 10
before any training (and how much of their spread is kept), and how the same networks then learn. With weights from a
normal distribution of spread 0.01, nothing arrives at layer 10, and the network does not learn at all.
Source: Glorot and Bengio 2010; He et al. 2015, arXiv 1502.01852.
"""

import numpy as np
from _plot import COLOURS, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), _ = keras.datasets.digits.load_data()
x = x.reshape(-1, 64) / 16
x = (x - x.mean()) / x.std()
ways = {
    "normal, 0.01": keras.initializers.RandomNormal(stddev=0.01),
    "glorot_normal": "glorot_normal",
    "he_normal": "he_normal",
}

figure, (*panels, curves) = picture("ABC;DDD", height_ratios=[1.2, 1])
kept, losses = {}, {}
for axes, colour, (name, initializer) in zip(panels, COLOURS, ways.items(), strict=False):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,))])
    for _ in range(10):
        model.add(layers.Dense(128, activation="relu", kernel_initializer=initializer))
    signal, spreads = x, []
    for number, layer in enumerate(model.layers, start=1):
        signal = keras.Sequential([layer]).predict(signal, verbose=0)
        spreads.append(signal.std())
        if number in (1, 4, 7, 10):
            values = np.log10(signal[signal > 0])
            heights, edges = np.histogram(values, bins=60, range=(-13, 2))
            axes.fill_between(
                edges[:-1], number + 2.6 * heights / max(heights.max(), 1), number, color=colour, alpha=0.6
            )
    axes.set(yticks=(1, 4, 7, 10), xticks=(-12, -8, -4, 0), xticklabels=("1e-12", "1e-8", "1e-4", "1"))
    kept[name] = spreads[-1] / spreads[0]
    label(axes, f"{name}: {kept[name]:.2g} kept", "output of a unit", "layer" if axes is panels[0] else "")

    model.add(layers.Dense(10, activation="softmax"))
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=15, verbose=0).history
    curves.plot(range(1, 16), history["loss"], "o-", color=colour, label=name)
    losses[name] = history["loss"][-1]
label(curves, "", "epoch", "training loss")
curves.set(ylim=(-0.1, 3.2))
curves.legend(loc="upper right", ncols=3)
save(figure, __file__, "He's first weights carry the signal through ten ReLU layers")
print("; ".join(f"{name}: kept {kept[name]:.3g}, loss {losses[name]:.3f}" for name in ways))
