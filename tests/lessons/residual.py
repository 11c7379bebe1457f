"""A small residual network: batch normalization before the activation, blocks written as functions."""

import keras
import numpy as np
from keras import layers


def conv_block(x, filters, kernel_size=3, strides=1):
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.l2(1e-4),
    )(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation("relu")(x)


def residual_block(x, filters, strides=1):
    shortcut = x
    x = conv_block(x, filters, strides=strides)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    if strides != 1 or shortcut.shape[-1] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=strides, padding="same")(shortcut)
    x = layers.add([x, shortcut])
    return layers.ReLU()(x)


keras.utils.set_random_seed(12)
rng = np.random.default_rng(12)
labels = rng.integers(0, 3, 240)
images = rng.normal(0, 0.5, (240, 12, 12, 3)).astype("float32")
for i, label in enumerate(labels):
    images[i, :, :, label] += 0.8

inputs = keras.Input(shape=(12, 12, 3), name="img")
x = conv_block(inputs, 8)
x = residual_block(x, 8)
x = residual_block(x, 16, strides=2)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dropout(0.2)(x)
outputs = layers.Dense(3)(x)
model = keras.Model(inputs, outputs, name="tiny_resnet")
model.summary()

model.compile(
    optimizer=keras.optimizers.RMSprop(1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["acc"],
)
history = model.fit(images, labels, batch_size=32, epochs=5, verbose=2)
trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)

result = {
    "parameters": model.count_params(),
    "trainable": trainable,
    "layers": [type(layer).__name__ for layer in model.layers],
    "shape": tuple(model.output_shape),
    "loss": history.history["loss"][-1],
    "accuracy": history.history["acc"][-1],
}
