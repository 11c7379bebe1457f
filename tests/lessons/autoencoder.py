"""An autoencoder: encoder and decoder are models of their own, trained as one."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(13)

rng = np.random.default_rng(13)
code = rng.normal(size=(400, 2))
x = 1 / (1 + np.exp(-code @ rng.normal(size=(2, 16))))
x = x.astype("float32").reshape(-1, 4, 4, 1)
x_train, x_test = x[:320], x[320:]

encoder_input = keras.Input(shape=(4, 4, 1), name="img")
h = layers.Flatten()(encoder_input)
h = layers.Dense(12, activation="relu")(h)
encoder_output = layers.Dense(2, name="code")(h)
encoder = keras.Model(encoder_input, encoder_output, name="encoder")
encoder.summary()

decoder_input = keras.Input(shape=(2,), name="encoded")
h = layers.Dense(12, activation="relu")(decoder_input)
h = layers.Dense(16, activation="sigmoid")(h)
decoder_output = layers.Reshape((4, 4, 1))(h)
decoder = keras.Model(decoder_input, decoder_output, name="decoder")

autoencoder_input = keras.Input(shape=(4, 4, 1))
autoencoder = keras.Model(autoencoder_input, decoder(encoder(autoencoder_input)), name="autoencoder")
autoencoder.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mse")
history = autoencoder.fit(
    x_train, x_train, epochs=30, batch_size=32, shuffle=True, validation_data=(x_test, x_test), verbose=0
)

codes = encoder.predict(x_test, verbose=0)
images = decoder.predict(codes, verbose=0)
whole = autoencoder.predict(x_test, verbose=0)

result = {
    "loss": history.history["loss"][-1],
    "validation loss": history.history["val_loss"][-1],
    "variance explained accuracy": 1 - float(((whole - x_test) ** 2).mean() / x_test.var()),
    "codes": codes.shape,
    "images": images.shape,
    "same": bool(np.allclose(images, whole, atol=1e-5)),
    "parameters": [m.count_params() for m in (encoder, decoder, autoencoder)],
    "layers": [layer.name for layer in autoencoder.layers][1:],
}
