"""A small convolutional network, and the kernels it learned.

The classic order of layers: convolutions with ReLU find small patterns, pooling shrinks, more convolutions find
patterns of patterns, and at the end Flatten and Dense decide. Nobody tells the network which patterns to look for:
kernels start as random numbers and become what lowers the loss.

The picture shows the eight 3x3 kernels of the first layer after training (orange: ink wanted; blue: no ink wanted)
and beside each what it sees in one digit, its feature map. Some look like detectors of edges: kernel 3 wants ink below
and none above.
"""

import numpy as np
from _plot import picture, save, show_image

import gpudl as keras
from gpudl import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.digits.load_data()
x_train, x_test = x_train[..., None] / 16, x_test[..., None] / 16

keras.utils.set_random_seed(0)
first = layers.Conv2D(8, 3, padding="same", activation="relu")
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        first,
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=20, verbose=0)
_, accuracy = model.evaluate(x_test, y_test, verbose=0)

kernels = first.get_weights()[0]  # (3, 3, 1, 8): height, width, channels in, filters
example = x_test[y_test == 5][:1]
maps = keras.Sequential([keras.Input((8, 8, 1)), first]).predict(example, verbose=0)  # (1, 8, 8, 8)

figure, (digit, *panels) = picture("AABCDE;AAFGHI;AAJKLM;AANOPQ")
show_image(digit, example[0, :, :, 0], "the digit")
largest = np.abs(kernels).max()
for i in range(8):
    kernel, seen = panels[2 * i], panels[2 * i + 1]
    show_image(kernel, kernels[:, :, 0, i], f"kernel {i + 1}", cmap="PuOr_r", vmin=-largest, vmax=largest)
    show_image(seen, maps[0, :, :, i], "sees", vmin=0)
save(figure, __file__, f"Kernels a network learned by itself ({accuracy:.1%} of new digits right)")
print(f"test accuracy: {accuracy:.4f}, weights: {model.count_params()}")
