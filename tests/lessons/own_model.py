"""A model by subclassing, and training it batch by batch."""

import keras
import numpy as np
from keras import layers


class Classifier(keras.Model):
    def __init__(self, hidden, classes, **kwargs):
        super().__init__(**kwargs)
        self.flatten = layers.Flatten()
        self.blocks = [layers.Dense(hidden, activation="gelu") for _ in range(2)]
        self.dropout = layers.Dropout(0.1)
        self.head = layers.Dense(classes, activation="softmax")

    def call(self, inputs, training=False):
        x = self.flatten(inputs)
        for block in self.blocks:
            x = block(x)
        x = self.dropout(x, training=training)
        return self.head(x)


keras.utils.set_random_seed(20)
rng = np.random.default_rng(20)
labels = rng.integers(0, 4, 256)
x = rng.normal(0, 0.5, (256, 4, 4)).astype("float32")
x[np.arange(256), labels] += 1.0

model = Classifier(16, 4, name="classifier")
y = model(x[:2])
model.summary()
model.compile(
    optimizer=keras.optimizers.AdamW(learning_rate=0.01, weight_decay=1e-3),
    loss="sparse_categorical_crossentropy",
    metrics=["sparse_categorical_accuracy"],
)

batch_size = 32
for epoch in range(8):
    order = rng.permutation(len(x))
    for start in range(0, len(x), batch_size):
        pick = order[start : start + batch_size]
        logs = model.train_on_batch(x[pick], labels[pick], return_dict=True)
    print(f"epoch {epoch}: loss {float(logs['loss']):.3f}")

loss, accuracy = model.test_on_batch(x, labels)
loss, accuracy = model.evaluate(x, labels, batch_size=64, verbose=0)
guesses = np.argmax(model.predict(x, verbose=0), axis=-1)

result = {
    "shape": tuple(y.shape),
    "parameters": model.count_params(),
    "layers": len(model.layers),
    "logged": sorted(logs),
    "loss": loss,
    "accuracy": accuracy,
    "same accuracy": bool(abs((guesses == labels).mean() - accuracy) < 1e-5),
}
