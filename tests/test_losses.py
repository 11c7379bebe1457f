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
    assert registry.describe("losses", losses.BinaryCrossentropy()) == {
        "type": "binary_crossentropy",
        "from_logits": False,
    }


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
