"""Losses beside Keras's: all arguments, shapes, kinds of predictions, reductions and sample weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import losses, ops
from gpudl.autograd import Tensor
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

EXAMPLES = 60
Score = Callable[[str, str], AbstractContextManager[None]]
REDUCTIONS = ["sum_over_batch_size", "sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]
SMOOTHING = st.sampled_from([0.0, 0.1, 0.5])
SCALES = st.sampled_from([0.1, 1.0, 4.0])


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> np.ndarray:
    rest = [n for i, n in enumerate(shape) if i != axis % len(shape)]
    return np.moveaxis(np.eye(shape[axis], dtype=np.float32)[rng.integers(0, shape[axis], rest)], -1, axis)


def probabilities(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Shares that sum to 1, with exact 0 and 1 among them, or any numbers between."""
    kind = draw(st.sampled_from(["shares", "corners", "free"]))
    if kind == "free":
        return rng.uniform(0.02, 0.98, shape).astype(np.float32)
    p = softmax(rng.normal(0, draw(SCALES), shape), axis)
    if kind == "corners":
        p = np.where(rng.random((shape[0],) + (1,) * (len(shape) - 1)) < 0.5, one_hot(rng, shape, axis), p)
    return p.astype(np.float32)


@st.composite
def classes(draw: st.DrawFn, kind: str, focal: bool = False) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Arguments, targets and predictions of a cross-entropy; `kind` says what the targets are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = (draw(st.integers(1, 6)), *draw(st.sampled_from([(), (3,)])), draw(st.integers(2, 5)))
    axis = draw(st.sampled_from([-1, -1, len(shape) - 1, 1]))
    arguments: dict[str, Any] = {"from_logits": draw(st.booleans()), "axis": axis}
    if arguments["from_logits"]:
        y_pred = rng.normal(0, draw(SCALES), shape).astype(np.float32)
    else:
        y_pred = probabilities(draw, rng, shape, axis)
    if kind == "labels":
        rest = [n for i, n in enumerate(shape) if i != axis % len(shape)]
        y_true = rng.integers(0, shape[axis], rest)
        ignored = draw(st.sampled_from([None, None, -1, 0, 255]))
        if ignored is not None:
            arguments["ignore_class"] = ignored
            y_true = np.where(rng.random(rest) < 0.3, ignored, y_true)
        y_true = y_true.astype(draw(st.sampled_from(["int64", "int32", "float32"])))
        return arguments, np.expand_dims(y_true, axis) if draw(st.booleans()) else y_true, y_pred
    arguments["label_smoothing"] = draw(SMOOTHING)
    if focal:
        arguments["gamma"] = draw(st.sampled_from([1.0, 2.0, 3.5]))
        arguments["alpha"] = draw(st.sampled_from([0.25, 0.9]))
        if kind == "yes-no":
            arguments["apply_class_balancing"] = draw(st.booleans())
        elif axis in (-1, len(shape) - 1) and draw(st.booleans()):
            arguments["alpha"] = rng.uniform(0.1, 0.9, shape[-1]).astype(np.float32).tolist()
    if kind == "yes-no":
        y_true = rng.integers(0, 2, shape).astype(draw(st.sampled_from(["float32", "int64", "bool"])))
    else:
        y_true = one_hot(rng, shape, axis)
    return arguments, rng.uniform(0, 1, shape).astype(np.float32) if draw(st.booleans()) else y_true, y_pred


@st.composite
def numbers(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Arguments, targets and predictions of the other losses; shapes may differ by a last axis of 1."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = (draw(st.integers(1, 6)), *draw(st.sampled_from([(), (3,), (1,), (4, 2), (3, 1)])))
    scale = draw(SCALES)
    y_true, y_pred = rng.normal(0, scale, shape), rng.normal(0, scale, shape)
    arguments: dict[str, Any] = {}
    if name in ("Poisson", "MeanSquaredLogarithmicError"):
        y_true = abs(y_true)
        y_pred = abs(y_pred) if name == "Poisson" else y_pred
    elif name in ("KLDivergence", "Dice", "Tversky"):
        y_true, y_pred = rng.uniform(0, 1, shape).round(1), rng.uniform(0, 1, shape)
    elif name == "CategoricalHinge":
        shape = (*shape, 3)
        y_true, y_pred = one_hot(rng, shape, -1), rng.normal(0, scale, shape)
    elif name in ("Hinge", "SquaredHinge"):
        y_true = rng.integers(0, 2, shape) * draw(st.sampled_from([1, 2])) - draw(st.sampled_from([0, 1]))
    if name == "Huber":
        arguments["delta"] = draw(st.sampled_from([0.3, 1.0, 2.5]))
    if name == "Tversky":
        arguments |= {"alpha": draw(st.sampled_from([0.2, 0.5])), "beta": draw(st.sampled_from([0.5, 0.8]))}
    if name in ("Dice", "Tversky") and len(shape) > 1 and shape[-1] > 1:
        arguments["axis"] = draw(st.sampled_from([None, 1, [1], list(range(1, len(shape)))]))
    if name == "CosineSimilarity":
        arguments["axis"] = draw(st.integers(-len(shape), len(shape) - 1))
        same = draw(st.booleans())
        return arguments, (y_pred if same else y_true).astype(np.float32), y_pred.astype(np.float32)
    y_true = y_true.astype(np.float32 if y_true.dtype.kind == "f" else draw(st.sampled_from(["int64", "float32"])))
    if len(shape) > 1 and shape[-1] == 1 and draw(st.booleans()):
        y_true = y_true[..., 0]
    elif len(shape) == 1 and draw(st.booleans()):
        y_true = y_true[:, None]
    return arguments, y_true, y_pred.astype(np.float32)


def draw_weight(data: st.DataObject, shape: tuple[int, ...], ignoring: bool) -> np.ndarray | None:
    """Draw weights that Keras lays beside losses of this shape; see the test of (N,) weights for what it does not."""
    choices: list[tuple[int, ...] | None] = [None, shape]
    if not ignoring:
        choices += [()]
        if len(shape) == 1:
            choices += [(*shape, 1), (1,)]
        elif len(shape) == 2:
            choices += [(shape[0], 1), (1, shape[1]), (*shape, 1)]
            choices += [shape[1:]] if shape[0] != shape[1] else []
    chosen = data.draw(st.sampled_from(choices))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    return None if chosen is None else np.asarray(rng.choice([0.0, 0.5, 1.0, 3.0], chosen), np.float32)


PROBLEMS: dict[str, Any] = {
    "BinaryCrossentropy": classes("yes-no"),
    "BinaryFocalCrossentropy": classes("yes-no", focal=True),
    "CategoricalCrossentropy": classes("one-hot"),
    "CategoricalFocalCrossentropy": classes("one-hot", focal=True),
    "SparseCategoricalCrossentropy": classes("labels"),
} | {
    name: numbers(name)
    for name in (
        "MeanSquaredError",
        "MeanAbsoluteError",
        "MeanAbsolutePercentageError",
        "MeanSquaredLogarithmicError",
        "Huber",
        "LogCosh",
        "CosineSimilarity",
        "Hinge",
        "SquaredHinge",
        "CategoricalHinge",
        "KLDivergence",
        "Poisson",
        "Dice",
        "Tversky",
    )
}


def size_of(*arrays: np.ndarray) -> float:
    """How large numbers are, or what they are made of where that cancels: not less than 0.05."""
    return max(0.05, *(float(abs(a).max(initial=0)) for a in arrays))


@pytest.mark.parametrize("name", PROBLEMS)
@given(data=st.data())
@settings(max_examples=EXAMPLES)
def test_values_and_gradients(keras: Any, torch: Any, score: Score, name: str, data: st.DataObject) -> None:
    arguments, y_true, y_pred = data.draw(PROBLEMS[name])
    arguments["reduction"] = data.draw(st.sampled_from(REDUCTIONS))
    arguments["dtype"] = data.draw(st.sampled_from([None, None, "float32"]))
    ours, theirs = getattr(losses, name)(**arguments), getattr(keras.losses, name)(**arguments)
    p_ours, p_theirs = Tensor(y_pred.copy(), requires_grad=True), torch.tensor(y_pred, requires_grad=True)
    each = theirs.call(torch.tensor(y_true.astype(np.float32)), p_theirs).detach().numpy()
    weight = draw_weight(data, each.shape, arguments.get("ignore_class") is not None)
    with score("loss", name):
        check_close("of each", ours.call(y_true, Tensor(y_pred.copy())).data, each, scale=size_of(each))
        loss, expected = ours(y_true, p_ours, weight), theirs(y_true, p_theirs, weight)
        assert loss.dtype == np.float32
        found = expected.detach().numpy()
        check_close("reduced", loss.data, found, scale=size_of(found))
        loss.backward(np.ones(loss.shape, np.float32))
        (gradient,) = torch.autograd.grad(expected.sum(), [p_theirs])
        assert p_ours.grad is not None
        largest = 1.0 if weight is None else float(weight.max(initial=0))
        scale = max(float(abs(gradient).max()), largest / len(y_pred) / 10)
        if name == "CosineSimilarity":  # what cancels is as large as the inverse of the vectors' lengths
            scale = max(scale, largest / np.sqrt((y_pred**2).sum(axis=arguments["axis"])).min() / len(y_pred))
        check_close("gradient", p_ours.grad, gradient.numpy(), scale=scale)


@pytest.mark.parametrize("name", PROBLEMS)
@given(data=st.data())
@settings(max_examples=EXAMPLES // 3)
def test_functions(keras: Any, score: Score, name: str, data: st.DataObject) -> None:
    """`huber(y_true, y_pred, delta=...)` on plain arrays gives a plain array: the loss of each sample."""
    arguments, y_true, y_pred = data.draw(PROBLEMS[name])
    function = {"KLDivergence": "kl_divergence"}.get(name) or losses.Loss.__new__(getattr(losses, name)).name
    rank = max(y_true.ndim, y_pred.ndim)
    if "Sparse" not in name:
        y_true, y_pred = (a.reshape(*a.shape, 1) if a.ndim < rank else a for a in (y_true, y_pred))
    y_true = y_true.astype(np.float32)
    with score("loss", name):
        expected = getattr(keras.losses, function)(y_true, y_pred, **arguments)
        values = getattr(losses, function)(y_true, y_pred, **arguments)
        assert not isinstance(values, Tensor)
        each = expected.detach().numpy()
        check_close(function, values, each, scale=size_of(each))
    own = getattr(losses, function)
    assert isinstance(losses.get(own), getattr(losses, name))
    theirs = inspect.signature(getattr(keras.losses, function)).parameters.values()
    assert [(p.name, p.default) for p in inspect.signature(own).parameters.values()] == [
        (p.name, p.default) for p in theirs
    ]


@pytest.mark.parametrize("kind", ["labels", "one-hot", "yes-no"])
@given(data=st.data())
@settings(max_examples=EXAMPLES)
def test_the_short_way_through_softmax_and_sigmoid(
    keras: Any, torch: Any, score: Score, kind: str, data: st.DataObject
) -> None:
    """A loss right behind its activation gives the value and the gradient that Keras gets through both, where the
    classes are another axis, too; a softmax over an axis that is not the loss's has no short way.
    """
    arguments, y_true, _ = data.draw(classes(kind))
    del arguments["from_logits"]
    names = {"labels": "SparseCategoricalCrossentropy", "one-hot": "CategoricalCrossentropy"}
    name = names.get(kind, "BinaryCrossentropy")
    axis = arguments["axis"]
    shape = _.shape
    over = data.draw(st.sampled_from([axis, axis, -1]))
    scores = np.random.default_rng(data.draw(st.integers(0, 999))).normal(0, 2, shape).clip(-6, 6).astype(np.float32)
    x_ours, x_theirs = Tensor(scores.copy(), requires_grad=True), torch.tensor(scores, requires_grad=True)
    p_ours = ops.sigmoid(x_ours) if kind == "yes-no" else ops.softmax(x_ours, axis=over)
    p_theirs = torch.sigmoid(x_theirs) if kind == "yes-no" else torch.softmax(x_theirs, over)
    with score("loss", name):
        loss = getattr(losses, name)(**arguments)(y_true, p_ours)
        expected = getattr(keras.losses, name)(**arguments)(y_true, p_theirs)
        check_close("loss", loss.data, expected.detach().numpy())
        loss.backward()
        (gradient,) = torch.autograd.grad(expected, [x_theirs])
        assert x_ours.grad is not None
        scale = max(float(abs(gradient).max()), 0.1 / len(scores))
        check_close("gradient", x_ours.grad, gradient.numpy(), scale=scale)


@pytest.mark.parametrize("name", PROBLEMS)
def test_arguments(keras: Any, name: str) -> None:
    """Names, order and defaults of all constructor arguments."""
    ours = list(inspect.signature(getattr(losses, name).__init__).parameters.values())[1:]
    theirs = list(inspect.signature(getattr(keras.losses, name).__init__).parameters.values())[1:]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    assert getattr(losses, name)().name == getattr(keras.losses, name)().name


def test_names(keras: Any) -> None:
    """What `compile(loss="...")` takes in Keras, it takes here, and finds the same loss."""
    from keras.src.losses import ALL_OBJECTS_DICT

    missing = {"circle", "Circle", "ctc", "CTC", "Loss", "LossFunctionWrapper"}
    for name, item in ALL_OBJECTS_DICT.items():
        if name not in missing:
            found = losses.get(name)
            function = item.__name__ if inspect.isfunction(item) else None
            assert type(found).__name__ == item.__name__ or type(found) is type(losses.get(getattr(losses, function)))


@given(data=st.data(), squeezed=st.booleans())
@settings(max_examples=EXAMPLES // 3)
def test_a_function_of_ones_own(keras: Any, torch: Any, score: Score, squeezed: bool, data: st.DataObject) -> None:
    """(N,) targets meet (N, 1) predictions as (N, 1); unsigned targets may be subtracted from."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    y_true = rng.integers(0, 2, 5).astype(data.draw(st.sampled_from(["uint8", "bool", "float32"])))
    y_pred = rng.normal(size=(5, 1)).astype(np.float32)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Activation("linear")])
    model.compile("sgd", lambda y, p: (1 - y) * (p - y) ** 2)
    with score("loss", "a function"):
        expected = model.evaluate(y_pred, y_true, verbose=0)
        ours = losses.get(lambda y, p: (1 - y) * (p - y) ** 2)
        assert float(ours(y_true, y_pred)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reduction", ["average", "auto", 3])
def test_unknown_reductions(keras: Any, reduction: Any) -> None:
    with pytest.raises(ValueError, match="reduction"):
        keras.losses.MeanSquaredError(reduction=reduction)
    with pytest.raises(ValueError, match="reduction"):
        losses.MeanSquaredError(reduction=reduction)


def test_a_weight_for_each_sample_counts_at_all_its_positions() -> None:
    """(N,) weights of (N, T) losses belong to the samples, also where N equals T; Keras lays them along T there."""
    y_true, y_pred = np.zeros((3, 3), int), np.full((3, 3, 2), 0.5, np.float32)
    y_pred[1] = [0.25, 0.75]
    weight = np.array([0.0, 1.0, 0.0])
    loss = losses.SparseCategoricalCrossentropy()(y_true, y_pred, weight)
    assert loss.item() == pytest.approx(3 * -np.log(0.25) / 9, rel=1e-6)


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


@pytest.mark.parametrize(
    "name", ["mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "cosine_similarity", "poisson"]
)
@given(seed=st.integers(0, 2**16), shape=st.tuples(st.integers(1, 4), st.integers(1, 5)), alone=st.booleans())
@settings(max_examples=25)
def test_gradients_of_targets(
    keras: Any, torch: Any, score: Any, name: str, seed: int, shape: tuple[int, ...], alone: bool
) -> None:
    """Both arrays may come out of a network, or the first alone, as where a lesson has exchanged them."""
    rng = np.random.default_rng(seed)
    y, p = (rng.uniform(0.1, 2, shape).astype(np.float32) for _ in range(2))
    with score("loss", f"{name}, targets"):
        mine = [Tensor(y.copy(), requires_grad=True), p if alone else Tensor(p.copy(), requires_grad=True)]
        other = [torch.tensor(y, requires_grad=True), torch.tensor(p, requires_grad=not alone)]
        ours, theirs = getattr(losses, name)(*mine), getattr(keras.losses, name)(*other)
        check_close("value", ours.data, theirs.detach().numpy())
        ours.sum().backward()
        theirs.sum().backward()
        for found, expected in zip(mine, other, strict=True):
            if expected.grad is not None:
                check_close("gradient", found.grad, expected.grad.numpy(), scale=1)
