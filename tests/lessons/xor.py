"""One neuron learns AND, but not XOR; a hidden layer helps."""

import numpy as np
from keras.layers import Dense, Input
from keras.models import Sequential
from keras.optimizers import SGD, Adam
from keras.utils import set_random_seed

set_random_seed(3)

x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
y_and = np.array([0, 0, 0, 1])
y_xor = np.array([[0], [1], [1], [0]], dtype="float32")

# The perceptron
perceptron = Sequential()
perceptron.add(Input(shape=(2,)))
perceptron.add(Dense(1, activation="sigmoid"))
perceptron.compile(loss="binary_crossentropy", optimizer=SGD(learning_rate=1.0), metrics=["accuracy"])
perceptron.fit(x, y_and, epochs=300, batch_size=4, verbose=0)
and_loss, and_accuracy = perceptron.evaluate(x, y_and, verbose=0)
w, b = perceptron.layers[0].get_weights()
print("line: %.2f x1 + %.2f x2 + %.2f = 0" % (w[0, 0], w[1, 0], b[0]))

# The same neuron cannot do XOR
single = Sequential([Input((2,)), Dense(1, activation="sigmoid", kernel_initializer="zeros")])
single.compile(loss="mse", optimizer=SGD(learning_rate=0.5))
single.fit(x, y_xor, epochs=100, batch_size=4, verbose=0)

# Two layers can
mlp = Sequential(
    [
        Input(shape=(2,)),
        Dense(8, activation="tanh", name="hidden"),
        Dense(1, activation="sigmoid", name="out"),
    ],
    name="xor",
)
mlp.compile(loss="mean_squared_error", optimizer=Adam(learning_rate=0.05), metrics=["binary_accuracy"])
history = mlp.fit(x, y_xor, epochs=300, verbose=0)

# What a plot would show
epochs = range(1, len(history.history["loss"]) + 1)
curve = list(zip(epochs, history.history["loss"]))
rounded = mlp.predict(x, verbose=0).round().astype(int)
print(rounded.ravel())

result = {
    "and loss": and_loss,
    "and accuracy": and_accuracy,
    "weights shape": w.shape,
    "bias shape": b.shape,
    "single guesses": [round(float(p), 3) for p in single.predict(x, verbose=0)[:, 0]],
    "xor loss": curve[-1][1],
    "xor accuracy": history.history["binary_accuracy"][-1],
    "xor": rounded.tolist(),
    "points": len(curve),
    "names": [layer.name for layer in mlp.layers],
    "parameters": mlp.count_params(),
}
