"""Sentences of word numbers: an embedding, then averaging or convolving along the words."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(21)
rng = np.random.default_rng(21)
vocabulary, length = 50, 12
x = rng.integers(10, vocabulary, (300, length))
y = rng.integers(0, 2, 300)
for i in range(300):
    x[i, rng.integers(0, length, 3)] = rng.integers(0, 5) + 5 * y[i]

averaging = keras.Sequential(
    [
        keras.Input(shape=(length,), dtype="int32"),
        layers.Embedding(input_dim=vocabulary, output_dim=8),
        layers.GlobalAveragePooling1D(),
        layers.Dense(1, activation="sigmoid"),
    ]
)
averaging.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
first = averaging.fit(x, y, epochs=20, verbose=0)

convolving = keras.Sequential(
    [
        layers.Embedding(vocabulary, 8),
        layers.Conv1D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling1D(2),
        layers.GlobalMaxPooling1D(),
        layers.Dense(1),
    ]
)
convolving.compile(
    keras.optimizers.Adam(0.01),
    keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
)
second = convolving.fit(x, y, epochs=10, verbose=0)

result = {
    "table": averaging.layers[0].get_weights()[0].shape,
    "parameters": [averaging.count_params(), convolving.count_params()],
    "averaging loss": first.history["loss"][-1],
    "averaging accuracy": first.history["accuracy"][-1],
    "convolving loss": second.history["loss"][-1],
    "convolving accuracy": second.history["accuracy"][-1],
    "shape": convolving.predict(x[:3], verbose=0).shape,
}
