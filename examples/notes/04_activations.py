"""Activations: sigmoid, tanh, ReLU, softmax, and how much gradient each lets through.

Without an activation between them, two Dense layers are one: W2 (W1 x) = (W2 W1) x. The activation makes the network
more than a straight line. In training, the gradient is multiplied by the activation's slope at every layer on its way
back:

- sigmoid  1 / (1 + exp(-x)): slope at most 1/4, and almost 0 for |x| > 5. Deep networks of it learn slowly.
- tanh: centred on 0, slope at most 1, but it saturates as well.
- ReLU  max(x, 0): slope 1 for every x > 0, exactly 0 below. The usual choice inside a network.
- softmax  exp(x_i) / sum exp(x_j): turns scores into probabilities that sum up to 1. For the last layer.

The picture shows each function and its slope. The slopes are not formulas typed in here: gpudl's own backward pass
computes them, the one that trains networks.
"""

import numpy as np
from _plot import BLUE, ORANGE, label, picture, save

import gpudl as keras

x = np.linspace(-6, 6, 241, dtype=np.float32)


def value_and_slope(activation, x):
    """Apply an activation, and let the tape bring back d(sum y)/dx, which is dy/dx for each x on its own."""
    tensor = keras.Tensor(x, requires_grad=True)
    y = activation(tensor)
    y.sum().backward()
    assert tensor.grad is not None
    return y.numpy(), tensor.grad


def softmax_of_first(x):
    """The probability of the first of three classes, whose score is x; the other two have scores 0 and 1."""
    scores = keras.ops.concatenate([x.reshape(-1, 1), np.zeros((len(x), 1)), np.ones((len(x), 1))], axis=1)
    return keras.activations.softmax(scores)[:, 0]


shown = {
    "sigmoid": keras.activations.sigmoid,
    "tanh": keras.activations.tanh,
    "ReLU": keras.activations.relu,
    "softmax, first of three classes": softmax_of_first,
}
figure, panels = picture("AB;CD", sharex=True)
steepest = {}
for axes, (name, activation) in zip(panels, shown.items(), strict=True):
    y, slope = value_and_slope(activation, x)
    steepest[name] = float(slope.max())
    axes.plot(x, y, color=BLUE, label="value")
    axes.plot(x, slope, "--", color=ORANGE, label=f"slope, at most {slope.max():.2f}")
    axes.set(ylim=(-1.15, 2.2) if name in ("ReLU", "tanh") else (-0.1, 1.1))
    axes.legend(loc="upper left")
    label(axes, name, "input (score)" if axes in panels[2:] else "", "output")
through = steepest["sigmoid"] ** 10
save(figure, __file__, f"Ten sigmoids pass on at most {through:.0e} of a gradient, ten ReLUs all of it")
print("steepest slope: " + ", ".join(f"{name.split(',')[0]} {slope:.3f}" for name, slope in steepest.items()))
