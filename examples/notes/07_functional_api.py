"""Sequential and Functional API.

Sequential is a list: each layer takes what the one before gives. The Functional API calls layers on the outputs of
others, as one calls functions, and Model(inputs, outputs) is whatever lies between:

    x = keras.Input((64,))
    h = layers.Dense(32, activation="relu")(x)
    y = layers.Dense(10, activation="softmax")(h)
    model = keras.Model(x, y)

For a plain chain both are the same network: from the same seed the two start with the same weights, and learn the same.
The Functional API can do more: several inputs, several outputs, branches, and one layer used at several places, with
the same weights at each.

The network in the picture sees two handwritten digits and answers two questions: what is their sum, and is the first
the larger one? Both digits are read by the same layers, `read`. It is never told which digits it sees, only the two
answers; each output has its own loss, and training makes their sum small.
"""

import numpy as np
from _plot import BLUE, GREEN, GREY, ORANGE, label, picture, save, show_image

import gpudl as keras
from gpudl import layers

(x, y), (x_test, y_test) = keras.datasets.digits.load_data()
x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16

# The same network both ways.
keras.utils.set_random_seed(0)
chain = keras.Sequential(
    [keras.Input((64,)), layers.Dense(32, activation="relu"), layers.Dense(10, activation="softmax")]
)
keras.utils.set_random_seed(0)
inputs = keras.Input((64,))
hidden = layers.Dense(32, activation="relu")(inputs)
functional = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
for model in (chain, functional):
    model.compile("adam", loss="sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
apart = np.abs(chain.predict(x_test, verbose=0) - functional.predict(x_test, verbose=0)).max()


# Two inputs, two outputs, one reader.
def pairs(x, y, count):
    """Draw pairs of digits; return both images and both answers."""
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, len(x), (2, count))
    return [x[i], x[j]], {"sum": y[i] + y[j], "larger": (y[i] > y[j]).astype("float32")}


keras.utils.set_random_seed(0)
first, second = keras.Input((64,), name="first"), keras.Input((64,), name="second")
read = keras.Sequential([layers.Dense(128, activation="relu"), layers.Dense(32, activation="relu")], name="read")
both = layers.Concatenate()([read(first), read(second)])
both = layers.Dense(128, activation="relu")(both)
total = layers.Dense(19, activation="softmax", name="sum")(both)
larger = layers.Dense(1, activation="sigmoid", name="larger")(both)
model = keras.Model([first, second], [total, larger])
model.compile(
    "adam",
    loss={"sum": "sparse_categorical_crossentropy", "larger": "binary_crossentropy"},
    metrics={"sum": ["accuracy"], "larger": ["accuracy"]},
)
x_new, y_new = pairs(x_test, y_test, 2000)
history = model.fit(*pairs(x, y, 8000), batch_size=64, epochs=15, validation_data=(x_new, y_new), verbose=0).history
said_sum, said_larger = model.predict([images[:1] for images in x_new], verbose=0)

figure, (plan, curves) = picture("AB")
label(plan, "a new pair, and what the network says")
plan.set(xlim=(0, 10), ylim=(0, 10), xticks=[], yticks=[])
plan.grid(False)
plan.spines[:].set_visible(False)
boxes = {
    "first": (2, 8.7, "", GREY),
    "second": (8, 8.7, "", GREY),
    "read": (5, 6.6, "read", GREEN),
    "concatenate": (5, 4.8, "concatenate", GREY),
    "dense": (5, 3, "dense", GREY),
    "sum": (2, 1, f"sum: {said_sum[0].argmax()}", BLUE),
    "larger": (8, 1, f"first is larger: {said_larger[0, 0]:.0%}", ORANGE),
}
for across, up, text, colour in boxes.values():
    style = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": colour, "lw": 2}
    plan.text(across, up, text, ha="center", va="center", bbox=style, zorder=3)
for way in ("first read", "second read", "read concatenate", "concatenate dense", "dense sum", "dense larger"):
    begin, end = (boxes[name][:2] for name in way.split())
    line = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 14, "shrinkB": 17}
    plan.annotate("", end, begin, arrowprops=line)
for images, across in zip(x_new, (0.1, 0.7), strict=True):
    show_image(plan.inset_axes((across, 0.77, 0.2, 0.2)), images[0].reshape(8, 8))
for name, colour in (("sum", BLUE), ("larger", ORANGE)):
    right = 100 * np.array([history[f"{name}_accuracy"], history[f"val_{name}_accuracy"]])
    curves.plot(right[0], color=colour, alpha=0.35)
    curves.plot(right[1], color=colour, label=f"{name}: {right[1, -1]:.0f}%")
curves.legend(loc="lower right")
label(curves, "new pairs (pale: training)", "epoch", "accuracy (%)")
save(figure, __file__, "The Functional API: one network, two digits in, two answers out")
print(f"both ways apart by {apart:.1g}; ", end="")
print(f"new pairs: sum {history['val_sum_accuracy'][-1]:.3f}, larger {history['val_larger_accuracy'][-1]:.3f}")
