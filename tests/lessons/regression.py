"""Miles per gallon, or something like it: regression with a normalization layer."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(17)
rng = np.random.default_rng(17)
n = 400
horsepower = rng.uniform(50, 220, n)
weight = rng.uniform(1500, 5000, n)
year = rng.integers(70, 83, n)
features = np.stack([horsepower, weight, year], axis=1).astype("float32")
mpg = 50 - 0.05 * horsepower - 0.005 * weight + 0.3 * (year - 70) + rng.normal(0, 1, n)
labels = mpg.astype("float32")

train_features, test_features = features[:320], features[320:]
train_labels, test_labels = labels[:320], labels[320:]

normalizer = layers.Normalization(axis=-1)
normalizer.adapt(train_features)
print(normalizer.mean)

results = {}

# One variable
one = layers.Normalization(input_shape=[1], axis=None)
one.adapt(horsepower[:320].astype("float32"))

linear_model = keras.Sequential([normalizer, layers.Dense(units=1)])
first_guess = linear_model.predict(train_features[:10], verbose=0)
linear_model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.3), loss="mean_absolute_error")
history = linear_model.fit(train_features, train_labels, epochs=40, verbose=0, validation_split=0.2)
results["linear_model"] = linear_model.evaluate(test_features, test_labels, verbose=0)

dnn = keras.Sequential(
    [normalizer, layers.Dense(32, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(1)]
)
dnn.compile(loss="mse", optimizer=keras.optimizers.Adam(0.01), metrics=["mae", keras.metrics.RootMeanSquaredError()])
dnn_history = dnn.fit(train_features, train_labels, validation_split=0.2, verbose=0, epochs=40)
predictions = dnn.predict(test_features, verbose=0).flatten()
error = predictions - test_labels

result = {
    "linear loss": results["linear_model"],
    "first guess": first_guess.shape,
    "logged": sorted(dnn_history.history),
    "mae loss": dnn_history.history["val_mae"][-1],
    "error loss": float(np.abs(error).mean()),
    "mean": np.round(np.array(normalizer.mean).ravel(), 2).tolist(),
    "parameters": linear_model.count_params(),
    "normalized mean": [round(float(abs(m)), 3) for m in np.array(normalizer(train_features)).mean(axis=0)],
    "one": tuple(one(np.ones((3, 1), "float32")).shape),
    "epochs": len(history.history["val_loss"]),
}
