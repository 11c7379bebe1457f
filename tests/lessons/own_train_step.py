"""fit with a training step of one's own, in the way of Keras on PyTorch."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(9)


class CustomModel(keras.Model):
    def train_step(self, data):
        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        loss.backward()

        trainable_weights = [v for v in self.trainable_weights]
        gradients = [v.value.grad for v in trainable_weights]
        self.optimizer.apply(gradients, trainable_weights)

        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


class WithOwnMetrics(keras.Model):
    """Loss and metrics without compile(loss=...)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = keras.losses.MeanSquaredError()

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.loss_fn(y, y_pred)
        loss.backward()
        weights = self.trainable_weights
        self.optimizer.apply([v.value.grad for v in weights], weights)
        self.loss_tracker.update_state(loss)
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        self.loss_tracker.update_state(self.loss_fn(y, y_pred))
        self.mae_metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}

    @property
    def metrics(self):
        return [self.loss_tracker, self.mae_metric]


rng = np.random.default_rng(9)
x = rng.normal(size=(300, 8)).astype("float32")
y = (x @ rng.normal(size=(8, 1)) + 0.5).astype("float32")


def graph():
    inputs = keras.Input(shape=(8,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    return inputs, layers.Dense(1)(hidden)


inputs, outputs = graph()
model = CustomModel(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
history = model.fit(x, y, epochs=20, verbose=0)
loss, mae = model.evaluate(x, y, verbose=0)

inputs, outputs = graph()
other = WithOwnMetrics(inputs, outputs)
other.compile(optimizer=keras.optimizers.Adam(0.01))
own = other.fit(x, y, epochs=20, validation_data=(x, y), verbose=0)

result = {
    "logged": sorted(history.history),
    "loss": loss,
    "mae loss": mae,
    "own logged": sorted(own.history),
    "own loss": own.history["loss"][-1],
    "own validation loss": own.history["val_loss"][-1],
    "epochs": len(own.epoch),
    "metrics": [m.name for m in other.metrics],
}
