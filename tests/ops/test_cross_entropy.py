"""Cross-entropies: against their formulas, central differences, PyTorch and Keras, and at the ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend import to_numpy
from gpudl.errors import ShapeError, UsageError
from gpudl.ops.cross_entropy import (
    binary_cross_entropy_of_sigmoid,
    cross_entropy_of_softmax,
    sparse_cross_entropy_of_softmax,
)
from gpudl.testing import check_close, check_op

SHAPES = st.lists(st.integers(1, 5), max_size=2).map(lambda shape: (*shape, 5))
CLASSES = st.integers(2, 7)
SEEDS = st.integers(0, 2**16)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def draws(shape: Any, classes: int, seed: int) -> tuple[np.ndarray, ...]:
    """Logits, probabilities far from the clip, target probabilities (of any sum), labels."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((*shape, classes))
    probabilities = rng.uniform(0.05, 0.9, (*shape, classes))
    return logits, probabilities, rng.uniform(0, 1, (*shape, classes)), np.asarray(rng.integers(0, classes, shape))


def picked(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, labels[..., None], axis=-1)[..., 0]


@given(shape=SHAPES, classes=CLASSES, seed=SEEDS)
@example(shape=(), classes=3, seed=0)
def test_on_logits(put: Any, shape: Any, classes: int, seed: int) -> None:
    logits, _, targets, labels = draws(shape, classes, seed)
    check_op(
        ops.softmax_cross_entropy, [put(logits), put(targets)], differentiate=[0], seed=seed,
        oracle=lambda x, t: -(t * np.log(softmax(x))).sum(axis=-1),
    )  # fmt: skip
    check_op(
        ops.sparse_softmax_cross_entropy, [put(logits), put(labels)], seed=seed,
        oracle=lambda x, labels: -picked(np.log(softmax(x)), labels),
    )  # fmt: skip
    check_op(
        ops.sigmoid_cross_entropy, [put(logits), put(targets)], differentiate=[0], seed=seed,
        oracle=lambda x, t: -t * np.log(1 / (1 + np.exp(-x))) - (1 - t) * np.log(1 / (1 + np.exp(x))),
    )  # fmt: skip


@given(shape=SHAPES, classes=CLASSES, seed=SEEDS)
@example(shape=(), classes=3, seed=0)
def test_on_probabilities(put: Any, shape: Any, classes: int, seed: int) -> None:
    _, p, targets, labels = draws(shape, classes, seed)
    share = (np.random.default_rng(seed).multinomial(64 - classes, np.full(classes, 1 / classes), shape) + 1) / 64
    check_op(
        ops.cross_entropy, [put(p), put(targets)], differentiate=[0], seed=seed,
        oracle=lambda p, t: -(t * np.log(p / p.sum(axis=-1, keepdims=True))).sum(axis=-1),
    )  # fmt: skip
    check_op(
        ops.sparse_cross_entropy, [put(share), put(labels)], seed=seed,
        oracle=lambda p, labels: -np.log(picked(p, labels)),
    )  # fmt: skip
    check_op(
        ops.binary_cross_entropy, [put(p), put(targets)], differentiate=[0], seed=seed,
        oracle=lambda p, t: -t * np.log(p) - (1 - t) * np.log(1 - p),
    )  # fmt: skip


@given(shape=SHAPES, classes=CLASSES, seed=SEEDS)
@example(shape=(), classes=3, seed=0)
def test_with_the_probabilities_at_hand(put: Any, shape: Any, classes: int, seed: int) -> None:
    """The short gradient is the gradient of the whole way from the logits."""
    logits, _, targets, labels = draws(shape, classes, seed)

    def plain(x: Any) -> Any:
        return x.data if isinstance(x, Tensor) else x

    check_op(
        lambda x, t: cross_entropy_of_softmax(x, t, ops.softmax(plain(x))), [put(logits), put(targets)],
        differentiate=[0], oracle=lambda x, t: -(t * np.log(softmax(x))).sum(axis=-1), seed=seed,
    )  # fmt: skip
    check_op(
        lambda x, labels: sparse_cross_entropy_of_softmax(x, labels, ops.softmax(plain(x))),
        [put(logits), put(labels)], oracle=lambda x, labels: -np.log(picked(softmax(x), labels)), seed=seed,
    )  # fmt: skip
    check_op(
        lambda x, t: binary_cross_entropy_of_sigmoid(x, t, ops.sigmoid(plain(x))), [put(logits), put(targets)],
        differentiate=[0], oracle=lambda x, t: np.log1p(np.exp(x)) - x * t, seed=seed,
    )  # fmt: skip


@pytest.mark.parity
@given(shape=SHAPES, classes=CLASSES, seed=SEEDS)
@example(shape=(), classes=3, seed=0)
def test_matches_torch(torch: Any, same_as_torch: Any, shape: Any, classes: int, seed: int) -> None:
    functional = torch.nn.functional
    logits, p, targets, labels = draws(shape, classes, seed)
    probabilities = torch.from_numpy(targets.astype(np.float32))

    def with_classes_second(loss: Any) -> Any:
        def call(x: Any, target: Any) -> Any:
            flat = x.reshape(-1, classes)
            flat_target = target.reshape(-1, classes) if target.shape == x.shape else target.reshape(-1)
            return loss(flat, flat_target, reduction="none").reshape(shape)

        return call

    same_as_torch(
        lambda x: ops.softmax_cross_entropy(x, targets.astype(np.float32)),
        lambda x: with_classes_second(functional.cross_entropy)(x, probabilities),
        [logits],
    )
    same_as_torch(ops.sparse_softmax_cross_entropy, with_classes_second(functional.cross_entropy), [logits, labels])
    same_as_torch(
        lambda x: ops.sigmoid_cross_entropy(x, targets.astype(np.float32)),
        lambda x: functional.binary_cross_entropy_with_logits(x, probabilities, reduction="none"),
        [logits],
    )
    same_as_torch(
        lambda p: ops.binary_cross_entropy(p, targets.astype(np.float32)),
        lambda p: functional.binary_cross_entropy(p, probabilities, reduction="none"),
        [p],
    )
    same_as_torch(
        lambda p: ops.cross_entropy(p, targets.astype(np.float32)),
        lambda p: -(probabilities * (p / p.sum(-1, keepdim=True)).log()).sum(-1),
        [p],
    )
    same_as_torch(
        lambda x, labels: ops.sparse_cross_entropy(ops.softmax(x), labels),
        lambda x, labels: with_classes_second(functional.nll_loss)(torch.log_softmax(x, -1), labels),
        [logits, labels],
    )


@pytest.mark.parity
@pytest.mark.parametrize("summing_to_one", [True, False])
def test_matches_keras_on_probabilities(keras: Any, rng: np.random.Generator, summing_to_one: bool) -> None:
    """Keras clips, and before that divides by the sum, whether the targets are probabilities or labels."""
    p = rng.uniform(0.05, 1, (50, 4)).astype(np.float32)
    p[:10] = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 10)]
    if summing_to_one:
        p /= p.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 4, 50)
    targets = np.eye(4, dtype=np.float32)[labels]
    losses = keras.losses
    theirs = losses.categorical_crossentropy(targets, p).numpy()
    check_close("cross_entropy", ops.cross_entropy(p, targets), theirs, 1e-6)
    theirs = losses.sparse_categorical_crossentropy(labels, p).numpy()
    check_close("sparse_cross_entropy", ops.sparse_cross_entropy(p, labels), theirs, 1e-6)
    theirs = losses.binary_crossentropy(targets, p).numpy()
    check_close("binary_cross_entropy", ops.binary_cross_entropy(p, targets).mean(axis=-1), theirs, 1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_probabilities_are_clipped(put: Any, precision: str) -> None:
    """A confident mistake costs -log(1e-7), not infinity; where the clip takes hold the gradient is 0."""
    p = np.array([[0.0, 1.0], [0.25, 0.75]]).astype(precision)
    cost = -np.log(np.asarray(1e-7, precision))
    near = {"float32": 1e-6, "float64": 1e-12}[precision]
    cases = [
        (ops.sparse_cross_entropy, np.array([0, 0]), np.array([cost, -np.log(0.25)])),
        (ops.cross_entropy, np.array([[1, 0], [1, 0]], precision), np.array([cost, -np.log(0.25)])),
        (
            ops.binary_cross_entropy,
            np.array([[1, 0], [1, 0]], precision),
            np.array([[cost, -np.log1p(-np.asarray(1 - 1e-7, precision))], [-np.log(0.25), -np.log(0.25)]]),
        ),
    ]
    for op, targets, expected in cases:
        tensor = Tensor(put(p), requires_grad=True)
        loss = op(tensor, put(targets))
        assert loss.dtype == precision
        check_close(op.__name__, loss.data, expected, near)
        loss.sum().backward()
        assert tensor.grad is not None
        assert tensor.grad[0].tolist() == [0, 0], op.__name__
        assert np.isfinite(to_numpy(tensor.grad)).all() and float(abs(tensor.grad[1]).max()) > 1


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_logits_at_the_ends(put: Any, precision: str) -> None:
    """No overflow, no warning, and the exact loss: the distance to the largest logit."""
    x = np.array([[1e4, 0, -1e4], [-1e30, 1e30, 0]]).astype(precision)
    labels = np.array([2, 1])
    with np.errstate(all="raise", under="ignore"):
        tensor = Tensor(put(x), requires_grad=True)
        loss = ops.sparse_softmax_cross_entropy(tensor, put(labels))
        loss.sum().backward()
        assert loss.numpy().tolist() == [2e4, 0]
        assert tensor.grad is not None and tensor.grad.tolist() == [[1, 0, -1], [0, 0, 0]]
        dense_loss = ops.softmax_cross_entropy(put(x[:1]), put(np.eye(3, dtype=precision)[labels[:1]]))
        assert dense_loss.tolist() == [2e4]
        logits = Tensor(put(np.array([-1e30, -1e4, 1e4, 1e30]).astype(precision)), requires_grad=True)
        loss = ops.sigmoid_cross_entropy(logits, put(np.array([0, 1, 0, 1], precision)))
        loss.sum().backward()
        assert loss.numpy().tolist() == [0, 1e4, 1e4, 0]
        assert logits.grad is not None and logits.grad.tolist() == [0, -1, 1, 0]


def test_targets_get_no_gradient(put: Any, rng: np.random.Generator) -> None:
    for op in (ops.softmax_cross_entropy, ops.sigmoid_cross_entropy, ops.cross_entropy, ops.binary_cross_entropy):
        p = Tensor(put(rng.uniform(0.1, 0.9, (3, 4))), requires_grad=True)
        targets = Tensor(put(rng.uniform(0.1, 0.9, (3, 4))), requires_grad=True)
        op(p, targets).sum().backward()
        assert p.grad is not None and targets.grad is None


def test_targets_of_whole_numbers_leave_float32(put: Any, rng: np.random.Generator) -> None:
    """One-hot targets often come as integers."""
    p = put(rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32))
    targets = put(np.eye(4, dtype=np.int64)[:3])
    for op in (ops.softmax_cross_entropy, ops.sigmoid_cross_entropy, ops.cross_entropy, ops.binary_cross_entropy):
        check_close(op.__name__, op(p, targets), op(p, targets.astype(np.float32)), 1e-6)
        tensor = Tensor(p, requires_grad=True)
        op(tensor, targets).sum().backward()
        assert tensor.grad is not None
        assert op(p, targets).dtype == tensor.grad.dtype == np.float32, op.__name__


def test_labels_that_do_not_fit_are_refused() -> None:
    for op in (ops.sparse_cross_entropy, ops.sparse_softmax_cross_entropy):
        with pytest.raises(ShapeError, match=r"\(4,\).*\(3, 5\)"):
            op(np.full((3, 5), 0.2), np.zeros(4, int))


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint64", ">i4"])
def test_labels_of_any_integer_type(kind: str, rng: np.random.Generator) -> None:
    logits, labels = rng.normal(size=(70, 10)).astype("float32"), rng.integers(0, 10, 70)
    for op in (ops.sparse_softmax_cross_entropy, lambda x, t: ops.sparse_cross_entropy(ops.softmax(x), t)):
        expected, found = Tensor(logits, requires_grad=True), Tensor(logits, requires_grad=True)
        op(expected, labels).sum().backward()
        op(found, labels.astype(kind)).sum().backward()
        np.testing.assert_array_equal(found.grad, expected.grad)


def test_labels_that_are_no_integers(rng: np.random.Generator) -> None:
    with pytest.raises(UsageError, match="labels must be integers, the numbers of classes, but are of type float32"):
        ops.sparse_softmax_cross_entropy(rng.normal(size=(2, 3)), np.zeros(2, "float32"))
    with pytest.raises(UsageError, match="labels run from -1 to 3, but there are predictions for 3 classes"):
        ops.sparse_softmax_cross_entropy(rng.normal(size=(2, 3)), np.array([-1, 3]))
