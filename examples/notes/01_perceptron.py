"""The perceptron, and why it has a bias.

A perceptron weighs its inputs, adds them up and looks at the sign:  z = w1 x1 + w2 x2 + b,  class +1 if z > 0, else -1.
Where z = 0 there is a straight line: the decision boundary. The weights turn that line, the bias b moves it. Without
a bias, z = 0 at x = (0, 0) whatever the weights are, so the line always passes through the origin.

Rosenblatt's rule (1958) changes the weights only after a mistake:  w += rate y x,  b += rate y.  That is gradient
descent on the loss max(0, -y z), one sample at a time; so a Dense layer of one unit, trained by SGD with
batch_size=1, *is* the perceptron.

The data: handwritten zeros and ones, each described by two numbers, how much ink the two middle columns hold and how
much the image differs from its mirror image. The picture shows both boundaries. Seen from the origin, zeros and
ones lie in the same direction: no line through it gets more than 64% of them right.
"""

import numpy as np
from _plot import BLUE, GREEN, ORANGE, label, picture, save

import gpudl as keras
from gpudl import layers


def two_numbers(images: np.ndarray) -> np.ndarray:
    """Describe each image by the ink in its middle and by its difference from its mirror image, both 0 to 1."""
    images = images / 16
    return np.stack([images[:, :, 3:5].mean((1, 2)), np.abs(images - images[:, :, ::-1]).mean((1, 2))], axis=1)


def perceptron_loss(y_true, z):
    """0 where the sign is right; how far off it is, where it is wrong."""
    return keras.ops.relu(-y_true * z)


(images, digits), _ = keras.datasets.digits.load_data()
chosen = digits <= 1
x = two_numbers(images[chosen])
y = np.where(digits[chosen] == 1, 1.0, -1.0)[:, None]

lines = {}
for use_bias in (False, True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=use_bias)])
    model.compile(keras.optimizers.SGD(learning_rate=0.1), loss=perceptron_loss)
    model.fit(x, y, batch_size=1, epochs=30, verbose=0)
    accuracy = float(np.mean(np.sign(model.predict(x, verbose=0)) == y))
    w = model.get_weights()
    lines[use_bias] = (w[0][:, 0], w[1][0] if use_bias else 0.0, accuracy)

figure, (axes,) = picture()
for sign, colour, marker, name in ((-1, BLUE, "o", "zeros"), (1, ORANGE, "^", "ones")):
    axes.scatter(*x[y[:, 0] == sign].T, c=colour, marker=marker, s=28, alpha=0.6, label=name)
ink = np.array([0, 1])
for use_bias, style, colour in ((False, "--", "black"), (True, "-", GREEN)):
    w, b, accuracy = lines[use_bias]
    name = f"{'with' if use_bias else 'without'} bias: {accuracy:.1%} right"
    axes.plot(ink, -(w[0] * ink + b) / w[1], style, color=colour, label=name)
axes.plot(0, 0, "ks", label="origin")
axes.set(xlim=(-0.03, 1), ylim=(-0.02, 0.58))
axes.legend(loc="upper right")
label(axes, x="ink in the middle columns (0: white, 1: black)", y="difference from mirror image (0 to 1)")
save(figure, __file__, "Without a bias the perceptron's line is tied to the origin")
print(f"right without bias: {lines[False][2]:.3f}, with bias: {lines[True][2]:.3f}")
