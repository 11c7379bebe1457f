"""Augmentation as the first layers of the model: at work in training only."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(18)
rng = np.random.default_rng(18)
labels = rng.integers(0, 2, 200)
images = rng.uniform(0, 80, (200, 12, 12, 3))
images[labels == 1, 3:9, 3:9] += 120
images = images.astype("uint8")

data_augmentation = keras.Sequential(
    [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1), layers.RandomContrast(0.2)],
    name="augmentation",
)

batch = images[:4].astype("float32")
augmented = keras.ops.convert_to_numpy(data_augmentation(batch, training=True))
quiet = keras.ops.convert_to_numpy(data_augmentation(batch, training=False))

inputs = keras.Input(shape=(12, 12, 3))
x = data_augmentation(inputs)
x = layers.Rescaling(1.0 / 255)(x)
x = layers.Conv2D(8, 3, activation="relu")(x)
x = layers.MaxPooling2D(2)(x)
x = layers.Flatten()(x)
x = layers.Dropout(0.3)(x)
outputs = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.005), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(images, labels, epochs=8, validation_split=0.2, verbose=0)

twice = [model.predict(images[:8], verbose=0) for _ in range(2)]

result = {
    "shape": augmented.shape,
    "changed": bool(np.abs(augmented - batch).max() > 1),
    "quiet": bool(np.array_equal(quiet, batch)),
    "steady": bool(np.array_equal(*twice)),
    "parameters": model.count_params(),
    "loss": history.history["loss"][-1],
    "accuracy": history.history["val_accuracy"][-1],
}
