"""Constant, decaying, stepped and scheduled learning rates."""

import math

import keras
import numpy as np
from keras import layers
from keras.callbacks import LearningRateScheduler
from keras.optimizers.schedules import CosineDecay, PiecewiseConstantDecay

rng = np.random.default_rng(4)
x = rng.uniform(-1, 1, (200, 1)).astype("float32")
y = np.sin(3 * x)


def make():
    keras.utils.set_random_seed(4)
    return keras.Sequential(
        [
            layers.Input((1,)),
            layers.Dense(32, activation="tanh", kernel_initializer=keras.initializers.HeNormal(seed=1)),
            layers.Dense(1),
        ]
    )


final = {}
schedules = {
    "constant": 0.05,
    "exponential": keras.optimizers.schedules.ExponentialDecay(
        initial_learning_rate=0.1, decay_steps=100, decay_rate=0.9, staircase=True
    ),
    "steps": PiecewiseConstantDecay(boundaries=[100, 200], values=[0.1, 0.05, 0.01]),
    "cosine": CosineDecay(0.1, decay_steps=280),
}
for name, learning_rate in schedules.items():
    model = make()
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=learning_rate, momentum=0.9), loss="mse")
    history = model.fit(x, y, batch_size=20, epochs=30, verbose=0)
    final[name + " loss"] = history.history["loss"][-1]

rates = [float(schedules["exponential"](step)) for step in (0, 100, 250)]


def step_decay(epoch, lr):
    return 0.05 * math.pow(0.5, epoch // 5)


model = make()
model.compile(optimizer=keras.optimizers.SGD(momentum=0.9, nesterov=True), loss="mse")
model.optimizer.learning_rate.assign(0.02)
before = float(model.optimizer.learning_rate.numpy() if hasattr(model.optimizer.learning_rate, "numpy") else 0.02)
history = model.fit(x, y, epochs=15, callbacks=[LearningRateScheduler(step_decay, verbose=0)], verbose=0)

result = {
    **final,
    "rates": rates,
    "before": before,
    "after": float(model.optimizer.learning_rate),
    "logged learning rates": history.history["learning_rate"],
    "iterations": int(model.optimizer.iterations),
    "config": keras.optimizers.SGD(0.1, momentum=0.9).get_config()["momentum"],
}
