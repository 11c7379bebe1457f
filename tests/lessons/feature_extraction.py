"""What the layers in between see."""

import keras
import numpy as np
from keras import layers
from keras.models import Model, Sequential

keras.utils.set_random_seed(8)

rng = np.random.default_rng(8)
x = rng.uniform(0, 255, (64, 10, 10, 3)).astype("uint8")

model = Sequential(
    [
        layers.Input(shape=(10, 10, 3)),
        layers.Rescaling(1.0 / 255),
        layers.Conv2D(4, (3, 3), strides=(1, 1), padding="same", activation="relu", name="conv_a"),
        layers.MaxPool2D((2, 2)),
        layers.Conv2D(8, (3, 3), activation="relu", name="conv_b"),
        layers.GlobalAveragePooling2D(name="pooled"),
        layers.Dense(5, activation="softmax"),
    ]
)

# All activations at once
activations = Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
maps = activations.predict(x, verbose=0)

# By position, by name, and the features for another classifier
second = Model(model.inputs, model.layers[1].output)
extractor = keras.Model(inputs=model.inputs, outputs=model.get_layer("pooled").output)
features = extractor.predict(x, batch_size=16, verbose=0)
same = np.allclose(keras.ops.convert_to_numpy(extractor(x)), features, atol=1e-6)

kernels, biases = model.get_layer("conv_a").get_weights()

y = (features[:, 0] > np.median(features[:, 0])).astype("int32")
head = Sequential([keras.Input((8,)), layers.Dense(1, activation="sigmoid")])
head.compile(optimizer="sgd", loss="binary_crossentropy")
head.fit(features, y, epochs=2, verbose=0)

result = {
    "shapes": [m.shape for m in maps],
    "second": tuple(second.output.shape),
    "features": features.shape,
    "same": bool(same),
    "kernels": kernels.shape,
    "parameters": [model.count_params(), extractor.count_params(), head.count_params()],
    "negative": bool((maps[1] < 0).any()),
    "sums": [round(float(s), 4) for s in maps[-1].sum(axis=1)[:3]],
}
