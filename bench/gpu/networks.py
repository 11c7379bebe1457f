"""One training step of each network on the CPU and on the GPU, from the same weights: the same loss and new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.gpu.kernels import WORDS
from bench.gpu.running import Options, Result

SECONDS, AT_ONCE = 45, 4

LIMITS = {"highest": (1e-5, 1e-3), "high": (1e-5, 1e-3), "medium": (1e-2, 0.5)}
"""Largest difference of the loss, and of a weight or its step, relative to the largest number of its kind. A ReLU near
zero that flips with the rounding changes a step by more than the rounding does, TF32's above all; and weights that
begin at zero are their step."""


def networks(quick: bool) -> dict[str, tuple[Callable[[], Any], tuple[int, ...]]]:
    """Return each network and the shape of its batch."""
    from bench.models import cnn, mlp, resnet, vgg

    size, batch = (8, 8) if quick else (32, 16)
    widths = (4, 8, 8) if quick else (16, 32, 64)
    return {
        "MLP": (lambda: mlp(64, 32, 10) if quick else mlp(784, 256, 128, 10), (batch, 64 if quick else 784)),
        "CNN": (cnn, (batch, 28, 28, 1)),
        "VGG-like": (lambda: vgg(size), (batch, size, size, 3)),
        "small ResNet": (lambda: resnet(widths, 1, size), (batch, size, size, 3)),
    }


def parts(options: Options) -> list[list[str]]:
    return [[name] for name in networks(options.quick)]


def step(device: str, build: Callable[[], Any], x: np.ndarray, y: np.ndarray, weights: Any = None) -> tuple[Any, ...]:
    """Take one step of gradient descent; return the loss and the weights before and after."""
    import gpudl

    gpudl.backend.clear_session()
    gpudl.random.set_random_seed(0)
    with gpudl.device(device):
        model = build()
        if weights is not None:
            model.set_weights(weights)
        loss = gpudl.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(gpudl.optimizers.SGD(0.1), loss)
        before = [weight.numpy().copy() for weight in model.weights]
        return float(model.train_on_batch(x, y)), before, [(w.path, w.numpy()) for w in model.weights]


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number that was wanted."""
    return float(np.abs(found - wanted).max(initial=0) / (np.abs(wanted).max(initial=0) or 1.0))


def run(part: str, options: Options) -> Result:
    """Train one network for a step on both devices, in every precision of float32."""
    import gpudl
    from gpudl.config import float32_precision

    build, shape = networks(options.quick)[part]
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=shape).astype("float32"), rng.integers(0, 10, shape[0])
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    precision = float32_precision()
    try:
        gpudl.set_float32_precision("highest")  # by default the CPU's convolutions are Winograd's
        loss, before, after = step("cpu", build, x, y)
        for word in WORDS:
            gpudl.set_float32_precision(word)
            there = step("cuda", build, x, y, before)
            differences = []
            for (name, mine), (_, other), start in zip(there[2], after, before, strict=True):
                differences.append((relative(mine - start, other - start), relative(mine, other), name))
            of_step, _, name = max(differences, key=lambda each: (np.isnan(each[0]), each[0]))
            found = abs(there[0] - loss) / abs(loss), float(np.max([each[1] for each in differences])), of_step
            row = dict(zip(("loss", "weights", "steps"), map(float, found), strict=True))
            rows.append({"network": part, "precision": word, **row, "worst": name, "limits": LIMITS[word]})
            rows[-1]["each"] = {name: (of_weight, of_step) for of_step, of_weight, name in differences}
            if not (found[0] <= LIMITS[word][0] and max(found[1:]) <= LIMITS[word][1]):
                failures.append(f"{part}, {word}: {row} (limits {LIMITS[word]}; worst step: {name})")
    finally:
        gpudl.set_float32_precision(precision)
    return {"rows": rows, "failures": failures}
