"""Metrics: running means over batches, weights, and which accuracy is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from gpudl import metrics
from gpudl.errors import ShapeError, UnknownNameError, UsageError

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]], np.float32)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        (np.array([0, 1, 0]), P, 2 / 3),
        (np.array([[0], [1], [0]]), P, 2 / 3),
        (np.eye(3)[[0, 1, 0]], P, 2 / 3),
        (np.array([1, 0, 1]), P[:, 1:2], 0.0),
        (np.array([[0], [1], [0]]), P[:, 1:2], 1.0),
        (np.array([0, 1, 1]), P[:, 1], 2 / 3),
    ],
)
def test_accuracy_is_chosen_by_the_shapes(y_true: np.ndarray, y_pred: np.ndarray, expected: float) -> None:
    metric = metrics.get("accuracy")
    metric.update_state(y_true, y_pred)
    assert metric.result() == pytest.approx(expected)


def test_a_threshold_is_not_reached_by_what_equals_it() -> None:
    metric = metrics.BinaryAccuracy(threshold=0.5)
    metric.update_state(np.array([1.0, 0.0]), np.array([0.5, 0.5], np.float32))
    assert metric.result() == 0.5


def test_the_mean_runs_over_batches_of_any_size_and_weights() -> None:
    metric = metrics.SparseCategoricalAccuracy()
    assert metric.result() == 0
    metric.update_state(np.array([0, 1]), P[:2])
    metric.update_state(np.array([0]), P[2:])
    assert metric.result() == pytest.approx(2 / 3)
    sums = metric.totals()
    metric.reset_state()
    assert metric.result() == 0
    metric.load_totals(sums)
    metric.update_state(np.array([2, 2]), P[1:], np.array([0.5, 2.5]))
    assert metric.result() == pytest.approx((2 + 2.5) / 6)


def test_many_small_batches_lose_no_digits() -> None:
    metric = metrics.MeanSquaredError()
    value = np.float32(0.1)
    for _ in range(1000):
        metric.update_state(np.zeros((64, 1)), np.full((64, 1), value))
    assert metric.result() == pytest.approx(float(value**2), rel=1e-7)


def test_names() -> None:
    assert metrics.get("acc").name == "acc" and metrics.get("accuracy").name == "accuracy"
    assert metrics.BinaryAccuracy(name="mine").name == "mine"
    assert metrics.get(metrics.MeanSquaredError).name == "mean_squared_error"

    def closeness(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        return 0.25

    found = metrics.get(closeness)
    found.update_state(np.zeros(3), P)
    assert (found.name, found.result()) == ("closeness", 0.25)


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match='did you mean "accuracy"'):
        metrics.get("acuracy")
    with pytest.raises(ShapeError, match="do not fit predictions"):
        metrics.BinaryAccuracy().update_state(np.zeros(4), P)

    class Bare(metrics.Metric):
        pass

    with pytest.raises(UsageError, match="Bare must define values"):
        Bare().update_state(np.zeros(3), P)
