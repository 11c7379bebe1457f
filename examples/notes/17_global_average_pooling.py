"""Global average pooling against Flatten: from feature maps to classes.

After the convolutions there are feature maps, here 64 of 8x8, and the last Dense layer wants one row of numbers.

- Flatten writes all of them into one row: 8 * 8 * 64 = 4,096 numbers, each with weights of its own for each class.
  The Dense layer learns where in the image a pattern has to be.
- GlobalAveragePooling2D takes the mean of each map: 64 numbers. "How much of this pattern is there?", wherever it is.
  The layer has no weights, and the Dense layer after it 64 times fewer.

The picture: two networks of the same convolutions, on the left their weights, on the right their accuracy on new
digits, as they are and moved by one or two pixels, as they never were in training.
Source: Lin et al. 2014, Network in Network, arXiv 1312.4400.
"""

import numpy as np
from _plot import BLUE, ORANGE, label, picture, save

import gpudl as keras
from gpudl import layers

(x, y), (x_test, y_test) = keras.datasets.digits.load_data()
# two empty columns and rows on each side: 12 x 12 pixels, so that moving a digit loses nothing of it
x, x_test = (np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None] / 16 for images in (x, x_test))

figure, (weights, accuracies) = picture("AB", width_ratios=[1, 1.6])
summary = []
for place, colour, last in ((0, BLUE, layers.Flatten()), (1, ORANGE, layers.GlobalAveragePooling2D())):
    name = "Flatten" if place == 0 else "global average"
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            last,
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.002), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=15, verbose=0)
    convolutions = sum(layer.count_params() for layer in model.layers[:-1])
    dense = model.layers[-1].count_params()
    weights.bar(place, convolutions, color="lightgrey", label="convolutions" if place == 0 else None)
    weights.bar(place, dense, bottom=convolutions, color=colour)
    weights.text(place, convolutions + dense + 600, f"last layer: {dense:,}", ha="center")
    moved = [np.roll(x_test, pixels, axis=2) for pixels in (0, 1, 2)]
    right = [model.evaluate(images, y_test, verbose=0)[1] for images in moved]
    bars = accuracies.bar(np.arange(3) + 0.4 * place, 100 * np.array(right), width=0.38, color=colour, label=name)
    accuracies.bar_label(bars, fmt="%.0f")
    summary.append(f"{name}: {dense} weights in the last layer, accuracy " + ", ".join(f"{a:.3f}" for a in right))
weights.set(xticks=(0, 1), xticklabels=("Flatten", "global average"))
label(weights, "weights", y="number")
weights.set(ylim=(0, 95_000))
weights.yaxis.set_major_formatter("{x:,.0f}")
weights.legend(loc="upper right")
accuracies.set(xticks=np.arange(3) + 0.2, xticklabels=("as they are", "moved by 1 pixel", "moved by 2 pixels"))
label(accuracies, "accuracy on new digits", y="%")
accuracies.set(ylim=(0, 118))
accuracies.legend(loc="upper center", ncols=2)
save(figure, __file__, "Global average pooling: few weights, and the place matters less")
print("; ".join(summary))
