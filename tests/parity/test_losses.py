"""Losses and accuracies beside Keras's, on probabilities with exact 0 and 1, on scores, with sample weights."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import losses, metrics, ops
from gpudl.autograd import Tensor
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

EXAMPLES = 300
Case = tuple[np.ndarray, np.ndarray, "np.ndarray | None"]


@st.composite
def cases(draw: st.DrawFn, kind: str, flat: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Targets, predictions and sample weights. `kind`: what the targets are; predictions are shares or scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    middle = () if flat else draw(st.sampled_from([(), (3,)]))
    shape = (n, *middle, classes)
    scores = rng.normal(0, draw(st.sampled_from([0.1, 1.0, 4.0])), shape)
    what = draw(st.sampled_from(["scores", "shares", "corners", "free"]))
    if what == "scores":
        y_pred = scores
    elif what == "free":  # in [0, 1], but not summing to 1
        y_pred = rng.uniform(0.02, 0.98, shape)
    else:
        y_pred = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        if what == "corners":
            corner = rng.random(shape[:-1]) < 0.5
            y_pred[corner] = np.eye(classes)[rng.integers(0, classes, corner.sum())]
    if kind == "labels":
        y_true = rng.integers(0, classes, shape[:-1])
        y_true = y_true[..., None] if draw(st.booleans()) else y_true
    elif kind == "one-hot":
        y_true = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, shape[:-1])]
        if draw(st.booleans()):  # soft targets
            y_true = (0.9 * y_true + 0.1 / classes).astype(np.float32)
    else:
        y_true = rng.integers(0, 2, shape).astype(np.float32)
        if draw(st.booleans()):
            y_true = rng.uniform(0, 1, shape).astype(np.float32)
    weight = draw(st.sampled_from([None, "some"]))
    # One weight a sample has an axis of 1 for each position: without it Keras's arrays meet at the wrong end.
    of_each = (n, *(1 for _ in middle))
    weights = None if weight is None else rng.choice([0.0, 0.5, 1.0, 3.0], of_each).astype(np.float32)
    return y_true, y_pred.astype(np.float32), weights


def is_scores(y_pred: np.ndarray) -> bool:
    return bool((y_pred < 0).any() or (y_pred > 1).any())


def largest_weight(weight: np.ndarray | None) -> float:
    return 1.0 if weight is None else float(weight.max())


def same_loss(keras: Any, torch: Any, name: str, case: Case, arguments: dict[str, Any]) -> None:
    y_true, y_pred, weight = case
    ours, theirs = getattr(losses, name)(**arguments), getattr(keras.losses, name)(**arguments)
    p_ours, p_theirs = Tensor(y_pred.copy(), requires_grad=True), torch.tensor(y_pred, requires_grad=True)
    loss, expected = ours(y_true, p_ours, weight), theirs(y_true, p_theirs, weight)
    each = Tensor(y_pred.copy())
    check_close(f"{name}: of each", ours.call(y_true, each).data, theirs.call(torch.tensor(y_true), p_theirs).detach())
    check_close(f"{name}: reduced", loss.data, expected.detach().numpy())
    loss.backward()
    (gradient,) = torch.autograd.grad(expected, [p_theirs])
    assert p_ours.grad is not None
    scale = max(float(abs(gradient).max()), largest_weight(weight) / len(y_pred) / 10)
    check_close(f"{name}: gradient", p_ours.grad, gradient.numpy(), scale=scale)


@given(case=cases("labels"))
@settings(max_examples=EXAMPLES)
def test_sparse_categorical(keras: Any, torch: Any, case: Case) -> None:
    same_loss(keras, torch, "SparseCategoricalCrossentropy", case, {"from_logits": is_scores(case[1])})


@given(case=cases("one-hot"))
@settings(max_examples=EXAMPLES)
def test_categorical(keras: Any, torch: Any, case: Case) -> None:
    same_loss(keras, torch, "CategoricalCrossentropy", case, {"from_logits": is_scores(case[1])})


@given(case=cases("yes-no"))
@settings(max_examples=EXAMPLES)
def test_binary(keras: Any, torch: Any, case: Case) -> None:
    same_loss(keras, torch, "BinaryCrossentropy", case, {"from_logits": is_scores(case[1])})


@given(case=cases("yes-no"))
@settings(max_examples=EXAMPLES // 3)
def test_mean_squared_error(keras: Any, torch: Any, case: Case) -> None:
    same_loss(keras, torch, "MeanSquaredError", case, {})


@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy"])
def test_targets_without_the_last_axis(keras: Any, torch: Any, name: str, rng: np.random.Generator) -> None:
    y_true = rng.integers(0, 2, 7).astype(np.float32)
    for case in (
        (y_true, rng.uniform(0.1, 0.9, (7, 1)).astype(np.float32), None),
        (y_true[:, None], rng.uniform(0.1, 0.9, (7, 1)).astype(np.float32), np.arange(7, dtype=np.float32)),
        (y_true.astype(np.int64), rng.uniform(0.1, 0.9, (7, 1)).astype(np.float32), None),
    ):
        expected = getattr(keras.losses, name)()(*case)
        check_close(name, getattr(losses, name)()(*case).data, expected.numpy())


@given(kind=st.sampled_from(["labels", "one-hot", "yes-no"]), data=st.data())
@settings(max_examples=EXAMPLES)
def test_the_short_way_through_softmax_and_sigmoid(keras: Any, torch: Any, kind: str, data: st.DataObject) -> None:
    """A loss right behind its activation gives the value and the gradient that Keras gets through both."""
    y_true, scores, weight = data.draw(cases(kind))
    scores = np.clip(scores, -6, 6)
    name = {
        "labels": "SparseCategoricalCrossentropy",
        "one-hot": "CategoricalCrossentropy",
        "yes-no": "BinaryCrossentropy",
    }[kind]
    activation, torch_activation = (
        (ops.sigmoid, torch.sigmoid) if kind == "yes-no" else (ops.softmax, lambda x: torch.softmax(x, -1))
    )
    x_ours, x_theirs = Tensor(scores.copy(), requires_grad=True), torch.tensor(scores, requires_grad=True)
    loss = getattr(losses, name)()(y_true, activation(x_ours), weight)
    expected = getattr(keras.losses, name)()(y_true, torch_activation(x_theirs), weight)
    check_close("loss", loss.data, expected.detach().numpy())
    loss.backward()
    (gradient,) = torch.autograd.grad(expected, [x_theirs])
    assert x_ours.grad is not None
    scale = max(float(abs(gradient).max()), largest_weight(weight) / len(scores) / 10)
    check_close("gradient", x_ours.grad, gradient.numpy(), scale=scale)


METRICS = {
    "BinaryAccuracy": "yes-no",
    "CategoricalAccuracy": "one-hot",
    "SparseCategoricalAccuracy": "labels",
    "MeanSquaredError": "yes-no",
}


@pytest.mark.parametrize("name", list(METRICS))
@given(data=st.data())
@settings(max_examples=EXAMPLES // 3)
def test_metrics(keras: Any, name: str, data: st.DataObject) -> None:
    """Over several batches of different sizes, weighted or not; after a reset nothing is left."""
    arguments = {"threshold": data.draw(st.sampled_from([0.2, 0.5]))} if name == "BinaryAccuracy" else {}
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    for _ in range(2):
        for y_true, y_pred, weight in data.draw(st.lists(cases(METRICS[name], flat=True), min_size=1, max_size=3)):
            if name == "BinaryAccuracy":
                y_true = np.round(y_true)
            ours.update_state(y_true, y_pred, weight)
            theirs.update_state(y_true, y_pred, weight)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)
        ours.reset_state()
        theirs.reset_state()
        assert ours.result() == 0


def test_a_weight_for_each_sample_counts_at_all_its_positions() -> None:
    """(N,) weights of (N, T) losses belong to the samples, also where N equals T; Keras lays them along T there."""
    y_true, y_pred = np.zeros((3, 3), int), np.full((3, 3, 2), 0.5, np.float32)
    y_pred[1] = [0.25, 0.75]
    weight = np.array([0.0, 1.0, 0.0])
    loss = losses.SparseCategoricalCrossentropy()(y_true, y_pred, weight)
    assert loss.item() == pytest.approx(3 * -np.log(0.25) / 9, rel=1e-6)
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(y_true, y_pred, weight)
    assert metric.result() == 0
    metric.update_state(y_true, y_pred, 1 - weight)
    assert metric.result() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "name",
    ["SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy", "MeanSquaredError"],
)
def test_arguments_of_losses_have_keras_names_and_defaults(keras: Any, name: str) -> None:
    ours = list(inspect.signature(getattr(losses, name).__init__).parameters.values())[1:]
    theirs = list(inspect.signature(getattr(keras.losses, name).__init__).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred"),
    [
        ("SparseCategoricalCrossentropy", np.zeros((3, 4), int), np.full((3, 4), 0.25)),
        ("SparseCategoricalCrossentropy", np.zeros(4, int), np.full((3, 4), 0.25)),
        ("CategoricalCrossentropy", np.zeros(3, int), np.full((3, 4), 0.25)),
        ("CategoricalCrossentropy", np.zeros((3, 5)), np.full((3, 4), 0.25)),
        ("BinaryCrossentropy", np.zeros((3, 2)), np.full((3, 4), 0.25)),
        ("BinaryCrossentropy", np.zeros((2, 4)), np.full((3, 4), 0.25)),
    ],
)
def test_shapes_that_keras_refuses_are_refused(keras: Any, name: str, y_true: Any, y_pred: Any) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        getattr(keras.losses, name)()(y_true, y_pred.astype(np.float32))
    with pytest.raises(ValueError, match="crossentropy"):
        getattr(losses, name)()(y_true, y_pred.astype(np.float32))
