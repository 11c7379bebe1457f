"""Training on the GPU until the test accuracy is there: MNIST where it lies on the disk, else the built-in digits."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

from bench.gpu.running import Options, Result

SECONDS, AT_ONCE = 45, 1
GOALS = {"mnist": 0.99, "digits": 0.98}
"""Test accuracies; the digits have 1,438 samples to learn from and not 60,000."""


def parts(options: Options) -> list[list[str]]:
    return [["training"]]


def data(say: list[str]) -> tuple[str, Any]:
    """Return a data set that needs no network, and its name; say what is missing."""
    from gpudl import datasets

    if datasets.Mnist.status().startswith("found"):
        return "mnist", datasets.Mnist().load()
    say.append("MNIST is not on this machine (GPUDL_DATA_DIR may name a folder with mnist/ in it): the digits instead")
    return "digits", datasets.Digits().load()


def network(shape: tuple[int, ...], largest: float) -> Any:
    import gpudl
    from gpudl import layers

    return gpudl.Sequential(
        [
            gpudl.Input(shape),
            layers.Rescaling(1 / largest),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def train(device: str, name: str, part: Any, epochs: int, seconds: float) -> dict[str, Any]:
    """Train until the goal, the last epoch or the time is reached; the first epoch compiles the kernels."""
    import gpudl

    gpudl.random.set_random_seed(0)
    goal, curve = GOALS[name], []
    with gpudl.device(device):
        model = network(part.x_train.shape[1:], float(part.x_train.max()))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        began = time.perf_counter()

        def note(epoch: int, logs: dict[str, float]) -> None:
            curve.append((round(time.perf_counter() - began, 3), logs["val_accuracy"]))
            model.stop_training = logs["val_accuracy"] >= goal or curve[-1][0] > seconds

        watch = gpudl.callbacks.LambdaCallback(on_epoch_end=note)
        testing = (part.x_test, part.y_test)
        batch = 128 if name == "mnist" else 32
        model.fit(part.x_train, part.y_train, batch, epochs, verbose=0, validation_data=testing, callbacks=[watch])
    row = {"data": name, "device": model.device, "goal": goal, "accuracy": curve[-1][1], "epochs": len(curve)}
    each = [b[0] - a[0] for a, b in itertools.pairwise(curve)]
    return {**row, "seconds": curve[-1][0], "seconds_of_later_epochs": each, "curve": curve}


def run(part: str, options: Options) -> Result:
    """Train; a failure where the goal is not reached."""
    notes: list[str] = []
    name, found = data(notes)
    if options.rehearse:
        found = replace(
            found, **{side: getattr(found, side)[:64] for side in ("x_train", "y_train", "x_test", "y_test")}
        )
    epochs = 1 if options.rehearse else 12 if name == "mnist" else 40
    row = train("cuda", name, found, epochs, 0.8 * options.left())
    reached = row["accuracy"] >= row["goal"] or options.rehearse
    failures = [] if reached else [f"{name}: test accuracy {row['accuracy']:.4f} after {row['epochs']} epochs"]
    return {"rows": [row], "notes": notes, "failures": failures}
