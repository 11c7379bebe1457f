"""Metrics: running means over batches, weights, and which accuracy is chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpudl import metrics, ops
from gpudl.autograd import Tensor
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

    with pytest.raises(UsageError, match="Bare must define update_state"):
        Bare().update_state(np.zeros(3), P)


class Positives(metrics.Metric):
    """As a Keras lesson writes a metric."""

    def __init__(self, name: str = "positives", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.tp = self.add_variable(shape=(), initializer="zeros", name="tp")
        self.seen = self.add_weight(name="seen", initializer="zeros")
        self.inner = metrics.Mean(name="inner")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        right = ops.sum((y_pred > 0.5) * (y_true > 0.5) * 1.0)
        self.tp.assign(self.tp + right)
        self.seen.assign_add(len(y_true))
        self.inner.update_state(y_pred)

    def result(self) -> Any:
        return self.tp / self.seen


def test_a_metric_in_keras_style() -> None:
    """Its sums are found, saved, set to 0 and kept off the tape; its result is a number."""
    metric = Positives(name="mine", dtype="float32")
    p = Tensor(np.array([0.9, 0.2, 0.7], np.float32), requires_grad=True)
    assert metric(np.array([1, 1, 1]), p) == pytest.approx(2 / 3)
    result = metric.result()
    assert isinstance(metric.result(), float) and metric.result().numpy() == result
    assert not any(variable.requires_grad for variable in metric.variables)
    sums = json.loads(json.dumps(metric.totals()))
    assert [v.name for v in metric.variables] == ["tp", "seen", "total", "count"]
    metric.reset_state()
    assert metric.totals() == [0, 0, 0, 0] and metric.name == "mine"
    metric.load_totals(sums)
    assert metric.totals() == sums and metric.result() == result
    with pytest.raises(UsageError, match=r'"tp" has shape \(\), but was given an array of shape \(3,\)'):
        metric.tp.assign(np.zeros(3))


def test_sums_that_are_made_at_the_first_batch_are_taken_over() -> None:
    class Late(metrics.Metric):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            if not self.variables:
                self.total = self.add_variable((y_pred.shape[1],), "zeros", name="total")
            self.total.assign(self.total + y_pred.sum(axis=0))

        def result(self) -> Any:
            return {"largest": self.total.max(), "all": self.total}

    first, second = Late(), Late()
    first.update_state(None, P)
    second.load_totals(first.totals())
    second.update_state(None, P)
    np.testing.assert_allclose(second.result()["all"], 2 * P.sum(axis=0), rtol=1e-6)
    assert isinstance(second.result()["largest"], float)


def test_counts_go_on_where_a_float32_stops() -> None:
    metric = metrics.TruePositives()
    metric.load_totals([[2.0**24]])
    metric.update_state(np.ones(1), np.ones(1, np.float32))
    assert metric.result() == 2**24 + 1


def test_predictions_that_are_not_numbers_do_not_stop_the_counting() -> None:
    metric = metrics.AUC()
    metric.update_state(np.array([0, 1]), np.array([np.nan, 0.5], np.float32))
    assert 0 <= metric.result() <= 1


def test_confusion_matrix() -> None:
    labels = np.array([0, 1, 0])
    expected = [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    for y in (labels, labels[:, None], np.eye(3)[labels]):
        for p in (P, P.argmax(axis=1), Tensor(P)):
            assert metrics.confusion_matrix(y, p, 3).tolist() == expected
    assert metrics.confusion_matrix([0, 1, 1], [[0.2], [0.7], [0.4]]).tolist() == [[1, 0], [1, 1]]
    assert metrics.confusion_matrix([0, 1], [1, 1], sample_weight=[0.5, 2]).tolist() == [[0, 0.5], [0, 2]]
    with pytest.raises(UsageError, match="classes run from 0 to 2, but must lie in 0 to 1"):
        metrics.confusion_matrix([0, 2], [1, 1], 2)
    with pytest.raises(ShapeError, match="do not fit"):
        metrics.confusion_matrix([0, 1], [1, 1, 1])


def test_metrics_of_several_numbers_are_arrays_in_the_logs() -> None:
    from gpudl import Sequential, layers

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40)
    model = Sequential([layers.Dense(3, activation="softmax")])
    matrix = metrics.ConfusionMatrix(3)
    each = metrics.Precision(thresholds=[0.2, 0.8], class_id=1)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", matrix])
    history = model.fit(x, y, verbose=0, validation_split=0.2, epochs=2).history
    assert [m.sum() for m in history["confusion_matrix"]] == [32, 32] and history["val_confusion_matrix"][1].sum() == 8
    values = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_array_equal(values["confusion_matrix"], matrix.values)
    assert matrix.values.sum() == 40 and np.trace(matrix.values) / 40 == pytest.approx(values["accuracy"])
    assert matrix.values.dtype == np.int64 and not each.scalar and each.result().shape == (2,)
    assert [metrics.F1Score().scalar, metrics.F1Score("macro").scalar, metrics.R2Score(None).scalar] == [0, 1, 0]


@pytest.mark.parametrize(
    ("metric", "y_true", "about"),
    [
        (metrics.CategoricalAccuracy(), np.zeros(3), 'integer labels need "sparse_categorical_accuracy"'),
        (metrics.SparseCategoricalAccuracy(), np.zeros((3, 3)), 'one-hot targets need "categorical_accuracy"'),
        (metrics.F1Score(), np.zeros(3), "to_categorical"),
        (metrics.AUC(), np.zeros(3), "to_categorical"),
        (metrics.MeanSquaredError(), np.array(["a", "b", "c"]), "targets must be numbers"),
        (metrics.Precision(class_id=1), np.zeros((3, 3)), None),
        (metrics.R2Score(), np.zeros((3, 2)), "give the last layer 2 units"),
        (metrics.MeanIoU(3), np.zeros(3), "do not fit"),
    ],
)
def test_targets_that_do_not_fit(metric: metrics.Metric, y_true: np.ndarray, about: str | None) -> None:
    if about is None:
        metric.update_state(y_true, P)
    else:
        with pytest.raises(UsageError, match=about):
            metric.update_state(y_true, P)


def test_a_saved_model_keeps_its_metrics(tmp_path: Path) -> None:
    from gpudl import Sequential, layers, load_model

    model = Sequential([layers.Input((2,)), layers.Dense(1, activation="sigmoid")])
    chosen = [metrics.AUC(curve="PR", name="area"), metrics.Precision(0.7), "accuracy", metrics.Accuracy(name="exact")]
    model.compile("sgd", "bce", metrics=chosen)
    model.save(tmp_path / "m.safetensors")
    found = load_model(tmp_path / "m.safetensors").metrics[1:]
    assert [m.name for m in found] == ["area", "precision", "accuracy", "exact"]
    assert [type(m).__name__ for m in found] == ["AUC", "Precision", "ChosenAccuracy", "Accuracy"]
    assert (found[0].curve, found[1].thresholds) == ("PR", [0.7])
