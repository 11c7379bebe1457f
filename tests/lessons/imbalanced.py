"""Few of one kind, many of the other: weights for classes and for samples."""

import numpy as np
from keras.layers import Dense, Input
from keras.metrics import BinaryAccuracy, Precision, Recall
from keras.models import Sequential
from keras.utils import set_random_seed

rng = np.random.default_rng(19)
n = 500
y = (rng.uniform(size=n) < 0.1).astype("int32")
x = rng.normal(size=(n, 2)).astype("float32") + 1.5 * y[:, None]


def train(**weights):
    set_random_seed(19)
    model = Sequential([Input(shape=(2,)), Dense(8, activation="relu"), Dense(1, activation="sigmoid")])
    model.compile(
        optimizer="adam",
        loss="binary_crossentropy",
        metrics=[BinaryAccuracy(name="accuracy"), Precision(name="precision"), Recall(name="recall")],
    )
    model.fit(x, y, batch_size=50, epochs=40, verbose=0, **weights)
    return model, model.evaluate(x, y, verbose=0, return_dict=True)


positives = y.sum()
class_weight = {0: n / (2 * (n - positives)), 1: n / (2 * positives)}

_, plain = train()
model, by_class = train(class_weight=class_weight)
_, by_sample = train(sample_weight=np.where(y == 1, class_weight[1], class_weight[0]))

predicted = (model.predict(x, verbose=0)[:, 0] > 0.5).astype(int)
confusion = np.zeros((2, 2), int)
for true, guess in zip(y, predicted):
    confusion[true, guess] += 1
recall = confusion[1, 1] / positives

result = {
    "evaluated": sorted(plain),
    "weighted finds more": by_class["recall"] > plain["recall"],
    "sample weights do so too": by_sample["recall"] > plain["recall"],
    "class loss": by_class["loss"],
    "sample loss": by_sample["loss"],
    "plain accuracy": plain["accuracy"],
    "recall accuracy": by_class["recall"],
    "same recall": bool(abs(recall - by_class["recall"]) < 1e-5),
    "counted": int(confusion.sum()),
}
