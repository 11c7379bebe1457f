"""Whole models, weights and checkpoints on disk."""

import os

import keras
import numpy as np
from keras import layers
from keras.callbacks import ModelCheckpoint
from keras.models import load_model

keras.utils.set_random_seed(16)
rng = np.random.default_rng(16)
x = rng.normal(size=(120, 4)).astype("float32")
y = rng.integers(0, 2, 120)
x[y == 1] += 1.5


def make():
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# The whole model
model = make()
model.fit(x, y, epochs=8, verbose=0)
model.save("model.keras")
loaded = keras.models.load_model("model.keras")
same = np.allclose(model.predict(x, verbose=0), loaded.predict(x, verbose=0), atol=1e-6)
goes_on = loaded.fit(x, y, epochs=2, verbose=0)

# Weights alone
model.save_weights("model.weights.h5")
twin = make()
twin.load_weights("model.weights.h5")
same_weights = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights()))

# Only the architecture
config = model.get_config()
empty = keras.Sequential.from_config(config)
text = model.to_json()
from_text = keras.models.model_from_json(text)

# Checkpoints
os.makedirs("checkpoints", exist_ok=True)
every = ModelCheckpoint("checkpoints/{epoch:02d}-{val_loss:.2f}.keras")
best = ModelCheckpoint(filepath="best.keras", monitor="val_accuracy", mode="max", save_best_only=True)
third = make()
history = third.fit(x, y, validation_split=0.2, epochs=3, callbacks=[every, best], verbose=0)
best_model = load_model("best.keras")
score = best_model.evaluate(x[96:], y[96:], verbose=0)

result = {
    "same": bool(same),
    "same weights": same_weights,
    "goes on": len(goes_on.history["loss"]),
    "went on from": int(loaded.optimizer.iterations),
    "parameters": [m.count_params() for m in (model, loaded, twin, empty, from_text)],
    "checkpoints": [name[:2] for name in sorted(os.listdir("checkpoints"))],
    "best": abs(score[1] - max(history.history["val_accuracy"])) < 1e-6,
    "files": sorted(os.listdir(".")),
    "loss": goes_on.history["loss"][-1],
    "accuracy": goes_on.history["accuracy"][-1],
}
