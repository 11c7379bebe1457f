"""Taking noise out of pictures with convolutions down and up again."""

import numpy as np
from keras import Model, layers
from keras.utils import set_random_seed

set_random_seed(14)

rng = np.random.default_rng(14)
clean = np.zeros((160, 8, 8, 1), dtype="float32")
for i in range(160):
    r, c = rng.integers(0, 5, 2)
    clean[i, r : r + 4, c : c + 4] = 1.0
noisy = np.clip(clean + rng.normal(0, 0.3, clean.shape), 0, 1).astype("float32")

inputs = layers.Input(shape=(8, 8, 1))
x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(inputs)
x = layers.MaxPooling2D((2, 2), padding="same")(x)
x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(x)
x = layers.Conv2DTranspose(16, (3, 3), strides=2, activation="relu", padding="same")(x)
x = layers.UpSampling2D((1, 1))(x)
x = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)

autoencoder = Model(inputs, x)
autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
autoencoder.summary()
history = autoencoder.fit(x=noisy, y=clean, epochs=8, batch_size=16, shuffle=True, verbose=0)
predictions = autoencoder.predict(noisy, verbose=0)

result = {
    "loss": history.history["loss"][-1],
    "shape": predictions.shape,
    "parameters": autoencoder.count_params(),
    "better accuracy": float(((predictions > 0.5) == (clean > 0.5)).mean()),
}
