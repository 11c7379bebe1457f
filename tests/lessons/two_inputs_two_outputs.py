"""The functional way: a picture and a table go in, a kind and a price come out."""

import keras
import numpy as np
from keras import Input, Model
from keras.layers import Concatenate, Conv2D, Dense, Flatten, MaxPooling2D

keras.utils.set_random_seed(0)

rng = np.random.default_rng(0)
n = 400
kinds = rng.integers(0, 3, n)
images = rng.normal(0, 0.3, (n, 8, 8, 1)).astype("float32")
for i, kind in enumerate(kinds):
    images[i, kind * 2 : kind * 2 + 3] += 1.0
table = rng.normal(size=(n, 4)).astype("float32")
price = (table @ np.array([1.0, -2.0, 0.5, 0.0]) + kinds).astype("float32")

image_input = Input(shape=(8, 8, 1), name="image")
table_input = Input(shape=(4,), name="table")

x = Conv2D(8, 3, activation="relu")(image_input)
x = MaxPooling2D(2)(x)
x = Flatten()(x)
t = Dense(8, activation="relu")(table_input)
both = Concatenate()([x, t])
both = Dense(24, activation="relu")(both)

kind_output = Dense(3, activation="softmax", name="kind")(both)
price_output = Dense(1, name="price")(both)

model = Model(inputs=[image_input, table_input], outputs=[kind_output, price_output], name="shop")
model.summary()

model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=0.01),
    loss={"kind": "sparse_categorical_crossentropy", "price": "mse"},
    loss_weights={"kind": 1.0, "price": 0.5},
    metrics={"kind": ["accuracy"], "price": ["mae"]},
)
history = model.fit(
    {"image": images, "table": table},
    {"kind": kinds, "price": price},
    epochs=15,
    batch_size=32,
    validation_split=0.2,
    verbose=2,
)

found = model.evaluate([images, table], [kinds, price], return_dict=True, verbose=0)
kind_probabilities, prices = model.predict([images[:10], table[:10]], verbose=0)

result = {
    "logged": sorted(history.history),
    "evaluated": sorted(found),
    "kind loss": found["kind_loss"],
    "price loss": found["price_loss"],
    "kind accuracy": found["kind_accuracy"],
    "kind shape": kind_probabilities.shape,
    "price shape": prices.shape,
    "input shapes": [tuple(i.shape) for i in model.inputs],
    "parameters": model.count_params(),
    "layers": len(model.layers),
}
