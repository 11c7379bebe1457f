"""Cases for every family of kernels: shapes and numbers drawn at random, and what is called on them.

A case is run on the device and, in float64, on NumPy; errors are measured against the largest sum of the absolute
values of the terms, which is what the same call gives on absolute values, unless a case says how else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from gpudl.errors import ShapeError
from gpudl.shapes import ConvGeometry, DepthwiseGeometry, PoolGeometry

Twin = Callable[[str], Any]
"""From "conv2d" to one library's kernels of that name."""


@dataclass(frozen=True)
class Case:
    """`run(twin, *arrays)` gives the results; `sizes(results, *arrays)` what each one's errors are measured against."""

    text: str
    arrays: tuple[Any, ...]
    run: Callable[..., tuple[Any, ...]]
    sizes: Callable[..., tuple[float, ...]] | None = None


class Draw:
    """Random numbers of one type."""

    def __init__(self, seed: list[int], kind: str, quick: bool) -> None:
        self.rng, self.quick = np.random.default_rng(seed), quick
        self.kind = import_module("ml_dtypes").bfloat16 if kind == "bfloat16" else np.dtype(kind)

    def normal(self, *shape: int) -> np.ndarray:
        return np.asarray(self.rng.standard_normal(shape)).astype(self.kind)

    def positive(self, *shape: int) -> np.ndarray:
        return np.abs(self.normal(*shape))

    def whole(self, low: int, high: int) -> int:
        """An integer from low to high, both among them; small ones more often."""
        return low + int((high - low + 1) * self.rng.random() ** 1.5)

    def one_of(self, *choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def happens(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


def _conv(draw: Draw) -> tuple[ConvGeometry, str]:
    largest, most = (9, 3e5) if draw.quick else (24, 3e7)
    while True:
        groups = draw.one_of(1, 1, 1, 1, 2, 3, 4)
        depth = draw.one_of(1, 2, 3, 4, 5, 8, 12, *(() if draw.quick else (16, 31, 32, 40, 64)))
        each = draw.one_of(1, 2, 4, 8, 31, 33, *(() if draw.quick else (24, 32, 64, 65, 96, 128, 160)))
        x = (draw.whole(1, 4), draw.whole(1, largest), draw.whole(1, largest), depth * groups)
        window = draw.one_of((1, 1), (3, 3), (3, 3), (2, 2), (5, 5), (1, 3), (3, 2), (7, 7))
        strides = draw.one_of(1, 1, 1, 2, 2, 3, (1, 2), (3, 1))
        dilation = draw.one_of(1, 1, 2, (1, 2), 3) if strides == 1 else 1
        padding = draw.one_of("valid", "same", "same", 1, 2, ((1, 0), (2, 1)))
        try:
            conv = ConvGeometry.of(x, (*window, depth, each * groups), strides, padding, dilation, groups)
        except ShapeError:
            continue
        if np.prod(conv.y_shape) * np.prod(conv.kernel_shape[:3]) <= most:
            break
    return conv, f"x {x}, kernel {conv.kernel_shape}, {strides=}, {padding=}, {dilation=}, {groups=}"


def conv_forward(draw: Draw) -> Case:
    conv, text = _conv(draw)
    bias = draw.normal(conv.filters) if draw.happens(0.5) else None
    arrays = draw.normal(*conv.x_shape), draw.normal(*conv.kernel_shape), bias
    return Case(f"{text}, bias={bias is not None}", arrays, lambda twin, *a: (twin("conv2d").forward(*a, conv),))


def conv_input_gradient(draw: Draw) -> Case:
    conv, text = _conv(draw)
    arrays = draw.normal(*conv.y_shape), draw.normal(*conv.kernel_shape)
    return Case(text, arrays, lambda twin, *a: (twin("conv2d").input_gradient(*a, conv),))


def conv_kernel_gradient(draw: Draw) -> Case:
    conv, text = _conv(draw)
    arrays = draw.normal(*conv.x_shape), draw.normal(*conv.y_shape)
    return Case(text, arrays, lambda twin, *a: (twin("conv2d").kernel_gradient(*a, conv),))


def depthwise(draw: Draw) -> Case:
    largest = 9 if draw.quick else 20
    while True:
        x = (draw.whole(1, 4), draw.whole(1, largest), draw.whole(1, largest), draw.whole(1, 6 if draw.quick else 70))
        window, multiplier = (draw.whole(1, 5), draw.whole(1, 5)), draw.one_of(1, 1, 2, 3)
        strides, dilation = draw.one_of(1, 1, 2, 3), draw.one_of(1, 1, 2)
        padding = draw.one_of("valid", "same", 1)
        try:
            conv = DepthwiseGeometry.of(x, (*window, x[3], multiplier), strides, padding, dilation)
            break
        except ShapeError:
            continue

    def run(twin: Twin, x: Any, kernel: Any, bias: Any, dy: Any) -> tuple[Any, ...]:
        of = twin("depthwise")
        return of.forward(x, kernel, bias, conv), of.input_gradient(dy, kernel, conv), of.kernel_gradient(x, dy, conv)

    bias = draw.normal(conv.y_shape[3]) if draw.happens(0.5) else None
    arrays = draw.normal(*x), draw.normal(*conv.kernel_shape), bias, draw.normal(*conv.y_shape)
    return Case(f"x {x}, kernel {conv.kernel_shape}, {strides=}, {padding=}, {dilation=}", arrays, run)


def _pool(draw: Draw) -> tuple[PoolGeometry, str]:
    largest = 9 if draw.quick else 24
    while True:
        x = (draw.whole(1, 4), draw.whole(1, largest), draw.whole(1, largest), draw.whole(1, 6 if draw.quick else 70))
        window = draw.one_of(2, 2, 3, (1, 2), (3, 2), 5, 17)
        strides, padding = draw.one_of(None, None, 1, 2, 3), draw.one_of("valid", "same")
        try:
            return PoolGeometry.of(x, window, strides, padding), f"x {x}, {window=}, {strides=}, {padding=}"
        except ShapeError:
            continue


def max_pool(draw: Draw) -> Case:
    pool, text = _pool(draw)
    x = draw.normal(*pool.x_shape)
    x = np.round(x) if draw.happens(0.3) else x  # equal ones: the first wins

    def run(twin: Twin, x: Any, dy: Any) -> tuple[Any, ...]:
        y, winner = twin("pool2d").max_forward(x, pool)
        return y, winner, twin("pool2d").max_backward(dy, winner, pool)

    def sizes(results: Any, x: Any, dy: Any) -> tuple[float, ...]:
        added = import_module("gpudl.backend.numpy.pool2d").max_backward(np.abs(dy), results[1], pool)
        return np.abs(x).max(), 1.0, added.max()

    return Case(text, (x, draw.normal(*pool.y_shape)), run, sizes)


def average_pool(draw: Draw) -> Case:
    pool, text = _pool(draw)

    def run(twin: Twin, x: Any, dy: Any) -> tuple[Any, ...]:
        return twin("pool2d").average_forward(x, pool), twin("pool2d").average_backward(dy, pool)

    return Case(text, (draw.normal(*pool.x_shape), draw.normal(*pool.y_shape)), run)


def global_pool(draw: Draw) -> Case:
    shape = draw.whole(1, 4), draw.whole(1, 60 if draw.quick else 3000), draw.whole(1, 70)
    x = draw.normal(*shape)
    x = np.round(x) if draw.happens(0.3) else x  # equal ones share the gradient

    def run(twin: Twin, x: Any, dy: Any) -> tuple[Any, ...]:
        of = twin("global_pool")
        y = of.largest(x)
        return y, of.largest_backward(dy, x, y), of.average(x)

    def sizes(results: Any, x: Any, dy: Any) -> tuple[float, ...]:
        return np.abs(x).max(), np.abs(dy).max(), np.abs(x).mean(axis=1).max()

    return Case(f"x {shape}", (x, draw.normal(shape[0], shape[2])), run, sizes)


def _rows(draw: Draw) -> tuple[int, int]:
    return draw.whole(1, 300 if draw.quick else 3000), draw.one_of(1, 3, 4, 31, 32, 33, 64, 70, 200)


def batch_norm(draw: Draw) -> Case:
    shape = _rows(draw)
    columns = shape[1]
    training = draw.happens(0.7)
    gamma, beta = (draw.normal(columns) if draw.happens(0.8) else None for _ in range(2))
    x, dy, epsilon = draw.normal(*shape) * 2 + draw.normal(columns), draw.normal(*shape), 1e-3
    relu = draw.happens(0.5)
    wide = x.astype("float64")
    mean, scale = wide.mean(axis=0).astype(x.dtype), (1 / np.sqrt(wide.var(axis=0) + epsilon)).astype(x.dtype)

    def run(twin: Twin, x: Any, dy: Any, mean: Any, scale: Any, gamma: Any, beta: Any) -> tuple[Any, ...]:
        of = twin("batch_norm")
        made = of.normalize(x, mean, scale, gamma, beta, relu)
        moving = mean * 2, scale + 1
        return (
            *of.forward(x, gamma, beta, moving, 0.9, epsilon, relu),
            *moving,
            made,
            *of.backward(dy, x, mean, scale, gamma, training),
        )

    def sizes(results: Any, x: Any, dy: Any, mean: Any, scale: Any, gamma: Any, beta: Any) -> tuple[float, ...]:
        factor = np.abs(scale if gamma is None else scale * gamma)
        y = (np.abs(x) + np.abs(mean)) * factor + (0 if beta is None else np.abs(beta))
        centred = np.abs(x - mean) * scale
        pull = centred * (np.abs(dy) * centred).mean(axis=0)
        dx = factor * (np.abs(dy) + np.abs(dy).mean(axis=0) + pull)
        dgamma, dbeta = (np.abs(dy) * centred).sum(axis=0), np.abs(dy).sum(axis=0)
        largest, variance = np.abs(x).mean(axis=0), (x * x).mean(axis=0)
        sums = (y, largest, scale, largest * 2, scale + 1 + variance, y, dx, dgamma, dbeta)
        return tuple(float(s.max()) for s in sums)

    text = f"rows {shape}, {training=}, gamma={gamma is not None}, beta={beta is not None}"
    return Case(text, (x, dy, mean, scale, gamma, beta), run, sizes)


def dense(draw: Draw) -> Case:
    (rows, columns), depth = _rows(draw), draw.whole(1, 40 if draw.quick else 300)

    def run(twin: Twin, a: Any, b: Any, x: Any, bias: Any) -> tuple[Any, ...]:
        of, done = twin("dense"), x.copy()
        of.finish(done, bias, True)
        y, dx, dkernel = of.forward(a, b, bias), of.input_gradient(x, b), of.kernel_gradient(a, x)
        return y, dx, dkernel, of.column_sums(x), done

    arrays = draw.normal(rows, depth), draw.normal(depth, columns), draw.normal(rows, columns), draw.normal(columns)
    return Case(f"({rows}, {depth}) @ ({depth}, {columns})", arrays, run)


def dropout(draw: Draw) -> Case:
    shape = tuple(draw.whole(1, 9 if draw.quick else 40) for _ in range(draw.whole(0, 3)))
    noise = shape if draw.happens(0.7) else tuple(n if draw.happens(0.5) else 1 for n in shape)
    rate, key = draw.one_of(0.1, 0.5, 0.9, 1), 2**100 * draw.whole(0, 99) + draw.whole(0, 10**9)

    def run(twin: Twin, x: Any, dy: Any) -> tuple[Any, ...]:
        y, kept = twin("dropout").forward(x, rate, key, noise)
        return y, twin("dropout").backward(dy, rate, kept)

    return Case(f"{shape=}, {noise=}, {rate=}, {key=}", (draw.normal(*shape), draw.normal(*shape)), run)


def relu(draw: Draw) -> Case:
    shape = tuple(draw.whole(1, 9 if draw.quick else 60) for _ in range(draw.whole(0, 3)))

    def run(twin: Twin, x: Any, dy: Any) -> tuple[Any, ...]:
        y = twin("relu").forward(x)
        summed = twin("relu").backward_and_sum(dy, y) if len(shape) == 2 else ()
        return y, twin("relu").backward(dy, y), *summed

    return Case(f"{shape=}", (draw.normal(*shape), draw.normal(*shape)), run)


def scatter(draw: Draw) -> Case:
    count, rows, depth = draw.whole(1, 50), draw.whole(1, 200 if draw.quick else 3000), draw.whole(1, 40)
    places = draw.rng.integers(0, count, rows)

    def run(twin: Twin, places: Any, rows: Any) -> tuple[Any, ...]:
        return (twin("scatter").add_rows(places, rows, count),)

    return Case(f"rows ({rows}, {depth}) at {count} places", (places, draw.normal(rows, depth)), run)


def softmax(draw: Draw) -> Case:
    shape = rows, classes = draw.whole(1, 20 if draw.quick else 300), draw.whole(1, 70 if draw.quick else 1200)
    x = draw.normal(*shape) * 3
    p = np.exp(x.astype("float64") - x.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype(x.dtype)
    kinds = ("int64", "int32", "uint8") if classes < 256 else ("int64", "int32")
    labels = draw.rng.integers(0, classes, rows).astype(draw.one_of(*kinds))

    def run(twin: Twin, x: Any, dy: Any, p: Any, t: Any, slopes: Any, labels: Any) -> tuple[Any, ...]:
        of = twin("softmax")
        losses = of.picked(p, labels), of.crossed(p, t)
        gradients = of.picked_gradient(slopes, p, labels), of.crossed_gradient(slopes, p, t)
        of_logits = *of.picked_of_logits(x, labels), *of.crossed_of_logits(x, t)
        return of.forward(x), of.backward(dy, p), *losses, *gradients, *of_logits

    def sizes(results: Any, x: Any, dy: Any, p: Any, t: Any, slopes: Any, labels: Any) -> tuple[float, ...]:
        back = p * (np.abs(dy) + np.abs(dy * p).sum(axis=1, keepdims=True))
        crossed = results[3].max()
        slope = np.abs(slopes)[:, None]
        gradients = (slope * (p + 1)).max(), (slope * (p * t.sum(axis=1, keepdims=True) + t)).max()
        terms = np.abs(x).max(axis=1) * 2 + np.log(x.shape[1])
        of_logits = terms.max(), 1.0, (terms * t.sum(axis=1)).max(), 1.0
        return 1.0, back.max(), max(1.0, results[2].max()), max(t.max(), crossed), *gradients, *of_logits

    arrays = x, draw.normal(*shape), p, draw.positive(*shape), draw.normal(rows), labels
    return Case(f"rows {shape}, labels {labels.dtype}", arrays, run, sizes)


def totals(draw: Draw) -> Case:
    shape = tuple(draw.whole(1, 30) for _ in range(draw.whole(0, 3)))

    def run(twin: Twin, values: Any, total: Any, count: Any) -> tuple[Any, ...]:
        total, count = total.copy(), count.copy()
        twin("totals").add_values(total, count, values, 0.25, 7.0)
        return total, count

    return Case(f"{shape=}", (draw.normal(*shape), np.asarray(3.0), np.asarray(5.0)), run)


# Which arrays a step has besides weights and gradients: n may be below 0, p is not, ? may be left out. Then numbers.
STEPS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "sgd": ("?", (0.1, 0.9, True)),
    "adam": ("np?", (0.01, 0.9, 0.999, 1e-7)),
    "nadam": ("np", (0.1, 0.2, 0.9, 0.999, 0.5, 1e-7)),
    "adamax": ("np", (0.1, 0.9, 0.999, 1e-7)),
    "lion": ("n", (0.1, 0.9, 0.99)),
    "rmsprop": ("p??", (0.1, 0.9, 0.5, 30.0)),
    "adagrad": ("p", (0.1, 1e-7)),
    "adadelta": ("pp", (0.1, 0.9, 1e-7)),
}
# What is done to the gradients alone.
ALONE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "scale": ("", (0.3,)),
    "clip_value": ("", (0.5,)),
    "clip_norm": ("", (0.5,)),
}


def optimizers(draw: Draw) -> Case:
    name = draw.one_of(*STEPS, *ALONE)
    slots, numbers = {**STEPS, **ALONE}[name]
    size, left_out = draw.whole(1, 1000 if draw.quick else 100_000), draw.happens(0.5)
    arrays: list[Any] = [draw.normal(size) for _ in range(1 if name in ALONE else 2)]
    arrays += [None if s == "?" and left_out else draw.normal(size) if s == "n" else draw.positive(size) for s in slots]

    def run(twin: Twin, *arrays: Any) -> tuple[Any, ...]:
        own = [None if a is None else a.copy() for a in arrays]
        getattr(twin("optimizers"), name)(*own, *numbers)
        return tuple(a for a in own if a is not None)

    def sizes(results: Any, *arrays: Any) -> tuple[float, ...]:
        before = [a for a in arrays if a is not None]
        return tuple(max(np.abs(a).max(), np.abs(b).max()) for a, b in zip(results, before, strict=True))

    return Case(f"{name}, {size} numbers, left out: {left_out}", tuple(arrays), run, sizes)


FAMILIES: dict[str, Callable[[Draw], Case]] = {
    "conv forward": conv_forward,
    "conv input gradient": conv_input_gradient,
    "conv kernel gradient": conv_kernel_gradient,
    "depthwise": depthwise,
    "max pooling": max_pool,
    "average pooling": average_pool,
    "global pooling": global_pool,
    "batch_norm": batch_norm,
    "dense": dense,
    "dropout": dropout,
    "relu": relu,
    "scatter": scatter,
    "softmax": softmax,
    "totals": totals,
    "optimizers": optimizers,
}
