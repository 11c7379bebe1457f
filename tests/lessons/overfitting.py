"""Against overfitting: weight penalties, dropout, and stopping in time."""

import keras
import numpy as np
from keras import regularizers
from keras.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from keras.layers import Dense, Dropout
from keras.models import Sequential

keras.utils.set_random_seed(11)

rng = np.random.default_rng(11)
x = rng.normal(size=(240, 10)).astype("float32")
y = (x[:, 0] * x[:, 1] + 0.3 * rng.normal(size=240) > 0).astype("float32")
x_train, x_val = x[:120], x[120:]
y_train, y_val = y[:120], y[120:]


def build(hidden=32, penalty=0.0, rate=0.0):
    model = Sequential()
    model.add(keras.Input(shape=(10,)))
    for _ in range(2):
        model.add(Dense(hidden, activation="relu", kernel_regularizer=regularizers.l2(penalty) if penalty else None))
        if rate:
            model.add(Dropout(rate))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="binary_crossentropy", metrics=["accuracy"])
    return model


plain = build()
plain_history = plain.fit(x_train, y_train, epochs=60, batch_size=20, validation_data=(x_val, y_val), verbose=0)

regularized = build(penalty=0.01, rate=0.2)
penalty_at_first = float(sum(regularized.losses))
regularized.fit(x_train, y_train, epochs=20, batch_size=20, validation_data=(x_val, y_val), verbose=0)

stopped = build()
callbacks = [
    EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True, verbose=1),
    ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=2, min_lr=1e-4),
    ModelCheckpoint("best.weights.h5", monitor="val_accuracy", mode="max", save_best_only=True, save_weights_only=True),
]
early = stopped.fit(
    x_train, y_train, epochs=100, batch_size=20, validation_data=(x_val, y_val), callbacks=callbacks, verbose=0
)
best = min(early.history["val_loss"])
restored = stopped.evaluate(x_val, y_val, verbose=0)
stopped.load_weights("best.weights.h5")
most = stopped.evaluate(x_val, y_val, verbose=0)

result = {
    "training loss": plain_history.history["loss"][-1],
    "overfits": plain_history.history["val_loss"][-1] > plain_history.history["loss"][-1] + 0.2,
    "training accuracy": plain_history.history["accuracy"][-1],
    "parameters": [plain.count_params(), regularized.count_params()],
    "penalties": len(regularized.losses),
    "penalized": penalty_at_first > 0.1,
    "early": len(early.epoch) < 100,
    "logged": sorted(early.history),
    "restored the best": abs(restored[0] - best) < 1e-4,
    "loaded the best": abs(most[1] - max(early.history["val_accuracy"])) < 1e-4,
    "validation loss": restored[0],
}
