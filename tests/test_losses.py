"""Losses by hand: means, weights, shapes, and the extremes of probability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpudl import losses, ops, registry
from gpudl.autograd import Tensor
from gpudl.errors import ShapeError, UnknownNameError, UsageError

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32)


def test_values_by_hand() -> None:
    expected = -(np.log(0.7) + np.log(0.1)) / 2
    assert losses.SparseCategoricalCrossentropy()(np.array([0, 2]), P).item() == pytest.approx(expected, rel=1e-6)
    one_hot = np.eye(3)[[0, 2]]
    assert losses.CategoricalCrossentropy()(one_hot, P).item() == pytest.approx(expected, rel=1e-6)
    assert losses.MeanSquaredError()(one_hot, P).item() == pytest.approx(((one_hot - P) ** 2).mean(), rel=1e-6)
    each = -(one_hot * np.log(P) + (1 - one_hot) * np.log(1 - P))
    assert losses.BinaryCrossentropy()(one_hot, P).item() == pytest.approx(each.mean(), rel=1e-5)


def test_the_divisor_is_the_number_of_elements_not_the_sum_of_weights() -> None:
    loss = losses.SparseCategoricalCrossentropy()
    weighted = loss(np.array([0, 2]), P, np.array([3.0, 0.0])).item()
    assert weighted == pytest.approx(3 * -np.log(0.7) / 2, rel=1e-6)


def test_probabilities_of_0_and_1_stay_finite() -> None:
    certain = np.array([[1.0, 0.0]], np.float32)
    worst = -np.log(1e-7)
    for loss, wrong, right in (
        (losses.SparseCategoricalCrossentropy(), np.array([1]), np.array([0])),
        (losses.CategoricalCrossentropy(), np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])),
        (losses.BinaryCrossentropy(), np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])),
    ):
        assert loss(wrong, certain).item() == pytest.approx(worst, rel=0.02)
        assert 0 <= loss(right, certain).item() < 1e-6


@pytest.mark.parametrize("score", [0.0, 30.0, 1000.0])
def test_the_gradient_behind_softmax_and_sigmoid_never_dies(score: float) -> None:
    """Where the clip would stop it, p - y goes on: a network can learn its way out of a certain mistake."""
    x = Tensor(np.array([[score, 0.0, 0.0]], np.float32), requires_grad=True)
    losses.SparseCategoricalCrossentropy()(np.array([1]), ops.softmax(x)).backward()
    p = np.exp([0, -score, -score]) / (1 + 2 * np.exp(-score))
    np.testing.assert_allclose(x.grad, [p - [0, 1, 0]], rtol=1e-5, atol=1e-7)
    x = Tensor(np.array([[-score]], np.float32), requires_grad=True)
    losses.BinaryCrossentropy()(np.array([1.0]), ops.sigmoid(x)).backward()
    np.testing.assert_allclose(x.grad, [[-1 / (1 + np.exp(-score))]], rtol=1e-5)


def test_scores_beyond_any_exponential() -> None:
    scores = np.array([[1e4, -1e4]], np.float32)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    assert loss(np.array([0]), scores).item() == 0
    assert loss(np.array([1]), scores).item() == 2e4
    assert losses.BinaryCrossentropy(from_logits=True)(np.array([[1.0, 1.0]]), scores).item() == 5e3


@pytest.mark.parametrize(
    ("loss", "y_true", "about"),
    [
        ("sparse_categorical_crossentropy", np.zeros((2, 3)), 'one-hot labels need "categorical_crossentropy"'),
        ("sparse_categorical_crossentropy", np.zeros(3), r"\(3,\) do not fit predictions of shape \(2, 3\)"),
        ("categorical_crossentropy", np.zeros(2), 'integer labels need "sparse_categorical_crossentropy"'),
        ("binary_crossentropy", np.zeros(2), "binary_crossentropy"),
        ("mse", np.zeros((2, 4)), "mean_squared_error"),
        ("mse", np.zeros(2), '"sparse_categorical_crossentropy" for labels of classes'),
        ("hinge", np.zeros((2, 1)), "give the last layer 1 unit$"),
        ("categorical_hinge", np.zeros(2), "one-hot targets"),
    ],
)
def test_shapes_that_do_not_fit(loss: str, y_true: np.ndarray, about: str) -> None:
    with pytest.raises(ShapeError, match=about):
        losses.get(loss)(y_true, P)


def test_get() -> None:
    assert isinstance(losses.get("mse"), losses.MeanSquaredError)
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    found = losses.get({"type": "binary_crossentropy", "from_logits": True})
    assert isinstance(found, losses.BinaryCrossentropy) and found.from_logits
    own = losses.get(lambda y, p: ops.square(p - y))
    assert own(np.zeros((2, 3), np.float32), P).item() == pytest.approx((P**2).mean(), rel=1e-6)
    with pytest.raises(UnknownNameError, match='did you mean "mse"'):
        losses.get("msee")
    described = registry.describe("losses", losses.Huber(2.0, reduction="sum"))
    assert described == {"type": "huber", "delta": 2.0, "reduction": "sum", "name": "huber_loss", "dtype": None}
    assert losses.get(described).reduction == "sum"


def test_a_loss_without_call_says_so() -> None:
    class Bare(losses.Loss):
        def __init__(self) -> None: ...

    with pytest.raises(UsageError, match=r"Bare must define call"):
        Bare()(np.zeros(2), P)


def test_a_loss_of_ones_own_trains() -> None:
    from gpudl import Sequential, layers, optimizers

    class Absolute(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean(ops.abs(y_pred - y_true), axis=-1)

    model = Sequential([layers.Dense(1)])
    model.compile(optimizers.SGD(0.1), Absolute())
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    history = model.fit(x, 2 * x, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("dtype", ["uint8", "int8", ">i4", "<i8", "uint64", "float32"])
def test_labels_of_any_type(dtype: str) -> None:
    labels, loss = np.array([2, 0]), losses.SparseCategoricalCrossentropy()
    assert float(loss(labels.astype(dtype), P)) == float(loss(labels, P))
    with pytest.raises(UsageError, match="labels run from 0 to 3"):
        loss(np.array([3, 0]).astype(dtype), P)
    if np.dtype(dtype).kind != "u":
        with pytest.raises(UsageError, match="labels run from -1 to 0"):
            loss(np.array([0, -1]).astype(dtype), P)


def test_targets_that_cannot_be() -> None:
    loss = losses.SparseCategoricalCrossentropy()
    with pytest.raises(UsageError, match="labels run from 1 to 3, but there are predictions for 3 classes, 0 to 2"):
        loss(np.array([1, 3]), P)
    with pytest.raises(UsageError, match="labels run from -1 to 1"):
        loss(np.array([-1, 1]), P)
    with pytest.raises(UsageError, match="mean_squared_error: targets must be numbers, but are of type <U3"):
        losses.MeanSquaredError()(np.array(["cat", "dog"]), P)
    with pytest.raises(ShapeError, match=r"sample_weight of shape \(3,\) does not fit losses of shape \(2,\)"):
        loss(np.array([0, 1]), P, np.ones(3))
    with pytest.raises(UsageError, match="axis=2 is not an axis of predictions"):
        losses.CategoricalCrossentropy(axis=2)(np.eye(3)[:2], P)


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred"),
    [
        ("mae", [[1.0, 2.0]], [[1.0, 2.0]]),
        ("mape", [[0.0, 2.0]], [[0.0, 2.0]]),
        ("huber", [[1.0, 2.0]], [[1.0, 3.0]]),
        ("logcosh", [[1.0, 2.0]], [[1.0, 3e4]]),
        ("hinge", [[1.0, -1.0]], [[1.0, -1.0]]),
        ("categorical_hinge", [[1.0, 0.0]], [[0.5, 0.5]]),
        ("cosine_similarity", [[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
        ("kld", [[0.0, 1.0]], [[0.0, 1.0]]),
        ("poisson", [[0.0, 1.0]], [[0.0, 1.0]]),
        ("msle", [[0.0, 1.0]], [[-1.0, 0.0]]),
        ("bce", [[0.0, 1.0]], [[0.0, 1.0]]),
        ("dice", [[0.0, 0.0]], [[0.0, 0.0]]),
        ("tversky", [[0.0, 0.0]], [[0.0, 0.0]]),
        ({"type": "binary_focal_crossentropy", "gamma": 0.5}, [[0.0, 1.0]], [[0.0, 1.0]]),
        ({"type": "categorical_focal_crossentropy", "gamma": 0.5}, [[0.0, 1.0]], [[0.0, 1.0]]),
    ],
)
def test_gradients_at_kinks_and_ends_are_numbers(name: Any, y_true: Any, y_pred: Any) -> None:
    p = Tensor(np.array(y_pred, np.float32), requires_grad=True)
    loss = losses.get(name)(y_true, p)
    loss.backward()
    assert p.grad is not None and p.grad.dtype == np.float32
    assert np.isfinite(loss.item()) and np.isfinite(p.grad).all()


def test_lists_and_integers_are_numbers_too() -> None:
    assert float(losses.MeanSquaredError()([[0], [1]], [[1], [1]])) == 0.5
    assert losses.mean_absolute_error([[0.5, 1.0]], [[1, 1]]).tolist() == [0.25]


def test_functions_stand_for_their_losses() -> None:
    """So that a model compiled with one can be saved."""
    assert isinstance(losses.get(losses.huber), losses.Huber)
    assert registry.describe("losses", losses.get(losses.huber))["type"] == "huber"


def test_what_is_ignored_may_lie_outside_the_classes() -> None:
    from gpudl import Sequential, layers

    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(ignore_class=-1))
    x, y = np.ones((6, 2), np.float32), np.array([0, 1, 2, -1, -1, -1])
    assert model.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x[:3], y[:3], verbose=0), rel=1e-6)


def test_targets_that_no_gradient_passes_are_warned_of() -> None:
    teacher = Tensor(np.full((2, 3), 1 / 3, np.float32), requires_grad=True)
    student = Tensor(np.full((2, 3), 1 / 3, np.float32), requires_grad=True)
    for loss in (losses.categorical_crossentropy, losses.kl_divergence, losses.CategoricalCrossentropy()):
        with pytest.warns(UserWarning, match="no gradient passes the targets of .*call ops.stop_gradient"):
            loss(teacher, student)
    losses.categorical_crossentropy(ops.stop_gradient(teacher), student)
