"""Transfer: train on one task, freeze, put a new head on it, then fine-tune all of it slowly."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(6)

rng = np.random.default_rng(6)


def stripes(n, classes):
    labels = rng.integers(0, classes, n)
    images = rng.normal(0, 0.4, (n, 12, 12, 1)).astype("float32")
    for i, label in enumerate(labels):
        images[i, :, label * 2 : label * 2 + 2] += 1.5
    return images, labels


x_old, y_old = stripes(400, 4)
x_new, y_new = stripes(200, 6)

base = keras.Sequential(
    [
        keras.Input(shape=(12, 12, 1)),
        layers.Conv2D(8, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(24, activation="relu"),
    ],
    name="base",
)
old = keras.Sequential([base, layers.Dense(4, activation="softmax")])
old.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
old.fit(x_old, y_old, epochs=6, verbose=0)

# Freeze
base.trainable = False
inputs = keras.Input(shape=(12, 12, 1))
x = base(inputs, training=False)
x = layers.Dropout(0.1)(x)
outputs = layers.Dense(6, activation="softmax")(x)
model = keras.Model(inputs, outputs)
model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
before = [w.copy() for w in base.get_weights()]
frozen = len(model.trainable_weights)
first = model.fit(x_new, y_new, epochs=15, verbose=0)
untouched = all(np.array_equal(a, b) for a, b in zip(before, base.get_weights()))

# Thaw the last layers only, compile again, and go on with a small rate
base.trainable = True
for layer in base.layers[:-1]:
    layer.trainable = False
thawed = len(model.trainable_weights)
model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
tuned = model.fit(x_new, y_new, epochs=10, verbose=0)

result = {
    "frozen": frozen,
    "thawed": thawed,
    "untouched": untouched,
    "changed": [not np.array_equal(a, b) for a, b in zip(before, base.get_weights())],
    "non-trainable": len(model.non_trainable_weights),
    "parameters": model.count_params(),
    "first loss": first.history["loss"][-1],
    "tuned loss": tuned.history["loss"][-1],
    "accuracy": tuned.history["accuracy"][-1],
}
