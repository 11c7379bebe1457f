"""Metrics beside Keras's: all arguments, several batches, sample weights, a reset, and sums taken over by another."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import metrics
from gpudl.autograd import Tensor
from gpudl.testing import check_close

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*adjusted R2|.*Adjusted R2|R2Score")]

EXAMPLES = 40
Score = Callable[[str, str], AbstractContextManager[None]]
Batch = tuple[np.ndarray, np.ndarray]
Make = Callable[[np.random.Generator, int], Batch]
THRESHOLDS = st.sampled_from([None, 0.3, [0.5], [0.2, 0.7], [0.0, 0.5, 1.0], [0.9, 0.1, 0.4]])


def eye(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    return np.eye(k, dtype=np.float32)[rng.integers(0, k, n)]


def shares(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers in [0, 1], the ends and round ones among them."""
    p = rng.uniform(0, 1, shape)
    return np.where(rng.random(shape) < 0.3, p.round(1), p).astype(np.float32)


@st.composite
def yes_no(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    rest = draw(st.sampled_from([(), (1,), (3,)]))
    dtype = draw(st.sampled_from(["float32", "int64", "bool"]))
    return {}, lambda rng, n: (rng.integers(0, 2, (n, *rest)).astype(dtype), shares(rng, n, *rest))


@st.composite
def binary_accuracy(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    rest, short = draw(st.sampled_from([((), False), ((1,), True), ((1,), False), ((3,), False), ((2, 3), False)]))

    def make(rng: np.random.Generator, n: int) -> Batch:
        y = rng.integers(0, 2, (n, *rest)).astype("float32")
        return (y[..., 0] if short else y), shares(rng, n, *rest)

    return {"threshold": draw(st.sampled_from([0.5, 0.2]))}, make


@st.composite
def counted(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    _, make = draw(yes_no())
    return {"thresholds": draw(THRESHOLDS)}, make


@st.composite
def found(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    arguments: dict[str, Any] = {"thresholds": draw(THRESHOLDS)}
    columns = draw(st.booleans())
    if not columns:
        return arguments, draw(yes_no())[1]
    arguments["top_k"] = draw(st.sampled_from([None, None, 1, 2]))
    arguments["class_id"] = draw(st.sampled_from([None, 0, 2]))

    def make(rng: np.random.Generator, n: int) -> Batch:
        # No two equal: which of equals is among the first k, Keras leaves open.
        spread = np.stack([rng.permutation(np.linspace(0.01, 0.99, 4)) for _ in range(n)])
        return rng.integers(0, 2, (n, 4)).astype("float32"), spread.astype("float32")

    return arguments, make


@st.composite
def area(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    arguments: dict[str, Any] = {
        "curve": draw(st.sampled_from(["ROC", "PR", "PRGAIN", "roc", "pr"])),
        "summation_method": draw(st.sampled_from(["interpolation", "majoring", "minoring"])),
        "from_logits": draw(st.booleans()),
    }
    if draw(st.booleans()):
        arguments["num_thresholds"] = draw(st.sampled_from([2, 3, 11, 200]))
    else:
        arguments["thresholds"] = draw(st.sampled_from([[0.5], [0.2, 0.9, 0.35], [0.25, 0.5, 0.75]]))
    columns = draw(st.sampled_from([(), (1,), (3,)]))
    if columns == (3,):
        arguments["multi_label"] = draw(st.booleans())
        arguments["label_weights"] = draw(st.sampled_from([None, [0.2, 1.0, 2.0]]))
        if arguments["multi_label"]:
            arguments["num_labels"] = draw(st.sampled_from([None, 3]))

    def make(rng: np.random.Generator, n: int) -> Batch:
        p = rng.normal(0, 2, (n, *columns)).astype("float32") if arguments["from_logits"] else shares(rng, n, *columns)
        return rng.integers(0, 2, (n, *columns)).astype("float32"), p

    return arguments, make


@st.composite
def point(draw: st.DrawFn, asked: str) -> tuple[dict[str, Any], Make]:
    arguments = {asked: draw(st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))}
    arguments["num_thresholds"] = draw(st.sampled_from([1, 2, 3, 10, 200]))
    rest = draw(st.sampled_from([(), (3,)]))
    if rest:
        arguments["class_id"] = draw(st.sampled_from([None, 1]))
    return arguments, lambda rng, n: (rng.integers(0, 2, (n, *rest)).astype("float32"), shares(rng, n, *rest))


@st.composite
def one_hot(draw: st.DrawFn, **arguments: Any) -> tuple[dict[str, Any], Make]:
    middle, k = draw(st.sampled_from([(), (2,)])), draw(st.integers(2, 7))

    def make(rng: np.random.Generator, n: int) -> Batch:
        y = eye(rng, n * (2 if middle else 1), k).reshape(n, *middle, k)
        p = rng.dirichlet(np.ones(k), (n, *middle)).astype("float32")
        return y, np.where(rng.random((n, *middle, 1)) < 0.2, p.round(1) + 0.01, p).astype("float32")

    return {name: draw(values) for name, values in arguments.items()}, make


@st.composite
def labels(draw: st.DrawFn, **arguments: Any) -> tuple[dict[str, Any], Make]:
    given, make = draw(one_hot(**arguments))
    column, dtype = draw(st.booleans()), draw(st.sampled_from(["int64", "uint8", "float32"]))

    def make_labels(rng: np.random.Generator, n: int) -> Batch:
        y, p = make(rng, n)
        y = y.argmax(axis=-1).astype(dtype)
        return (y[..., None] if column and y.ndim == 1 else y), p

    return given, make_labels


@st.composite
def top_k(draw: st.DrawFn, sparse: bool) -> tuple[dict[str, Any], Make]:
    given, make = draw(one_hot())
    classes = make(np.random.default_rng(0), 1)[1].shape[-1]
    given["k"] = draw(st.integers(1, classes))
    if not sparse:
        return given, make
    given["from_sorted_ids"] = draw(st.booleans())

    def make_labels(rng: np.random.Generator, n: int) -> Batch:
        y, p = make(rng, n)
        y, p = y.reshape(-1, classes), p.reshape(-1, classes)
        return y.argmax(axis=-1), np.argsort(-p, axis=-1).astype("float32") if given["from_sorted_ids"] else p

    return given, make_labels


@st.composite
def crossentropy(draw: st.DrawFn, kind: str) -> tuple[dict[str, Any], Make]:
    given, make = draw({"labels": labels(), "one-hot": one_hot(), "yes-no": yes_no()}[kind])
    given["from_logits"] = draw(st.booleans())
    if kind != "labels":
        given["label_smoothing"] = draw(st.sampled_from([0, 0.1, 0.4]))
    if kind != "yes-no":
        given["axis"] = draw(st.sampled_from([-1, -1, make(np.random.default_rng(0), 1)[1].ndim - 1]))

    def no_scalars(rng: np.random.Generator, n: int) -> Batch:
        y, p = make(rng, n)
        return (y[:, None], p[:, None]) if p.ndim == 1 else (y, p)

    return given, no_scalars


@st.composite
def numbers(draw: st.DrawFn, sign: int = 0, axis: bool = False, strict: bool = False) -> tuple[dict[str, Any], Make]:
    """Targets and predictions of any size; `sign` 1 for those that must not be below 0.

    `strict` keeps (N,) targets from (N, 1) predictions: Keras's Poisson pairs each with all there.
    """
    rest = draw(st.sampled_from([(1,), (3,), (2, 4)]))
    short = not strict and rest == (1,) and draw(st.booleans())
    scale = draw(st.sampled_from([0.3, 1.0, 5.0]))

    def make(rng: np.random.Generator, n: int) -> Batch:
        y, p = (rng.normal(0, scale, (n, *rest)).astype("float32") for _ in range(2))
        y, p = (abs(y), abs(p)) if sign else (y, p)
        return (y[..., 0] if short else y), p

    return ({"axis": draw(st.sampled_from([-1, len(rest)]))} if axis else {}), make


@st.composite
def wide(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    """Rows of several numbers, for correlations."""
    axis = draw(st.sampled_from([-1, 1]))
    return {"axis": axis}, lambda rng, n: tuple(rng.normal(1, 2, (n, 4)).astype("float32") for _ in range(2))  # pyright: ignore


@st.composite
def explained(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    k = draw(st.integers(1, 3))
    arguments = {
        "class_aggregation": draw(st.sampled_from([None, "uniform_average", "variance_weighted_average"])),
        "num_regressors": draw(st.sampled_from([0, 0, 1, 5, 30])),
    }
    # Of one sample the variance is 0, and Keras's score what float32 rounds it to.
    return arguments, lambda rng, n: tuple(rng.normal(1, 2, (n + 20, k)).astype("float32") for _ in range(2))  # pyright: ignore


@st.composite
def margins(draw: st.DrawFn) -> tuple[dict[str, Any], Make]:
    low = draw(st.sampled_from([0, -1]))
    k = draw(st.integers(1, 3))
    return {}, lambda rng, n: (
        rng.choice([low, 1], (n, k)).astype("float32"),
        rng.normal(0, 1, (n, k)).astype("float32"),
    )


@st.composite
def f_score(draw: st.DrawFn, beta: bool) -> tuple[dict[str, Any], Make]:
    arguments: dict[str, Any] = {"average": draw(st.sampled_from([None, "micro", "macro", "weighted"]))}
    arguments["threshold"] = draw(st.sampled_from([None, 0.5, 0.2, 1.0]))
    if beta:
        arguments["beta"] = draw(st.sampled_from([0.5, 1.0, 2.0]))
    k = draw(st.integers(1, 4))
    return arguments, lambda rng, n: (rng.integers(0, 2, (n, k)).astype("float32"), shares(rng, n, k))


@st.composite
def regions(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], Make]:
    arguments: dict[str, Any] = {}
    k = 2 if name == "BinaryIoU" else 3
    if name != "BinaryIoU":
        arguments |= {"num_classes": k, "ignore_class": draw(st.sampled_from([None, 0, 7, -1]))}
    if "Mean" not in name:
        arguments["target_class_ids"] = draw(st.sampled_from([[0], [0, 1], [1]]))
    one_hot_y = name.startswith("OneHot")
    if name in ("IoU", "MeanIoU"):
        one_hot_y = not draw(st.booleans())
        arguments["sparse_y_true"] = not one_hot_y
    scores = name != "BinaryIoU" and draw(st.booleans())
    if name == "BinaryIoU":
        arguments["threshold"] = draw(st.sampled_from([0.5, 0.2]))
    else:
        arguments["sparse_y_pred"] = not scores

    def make(rng: np.random.Generator, n: int) -> Batch:
        y = rng.integers(0, k, n)
        if name != "BinaryIoU" and not one_hot_y:
            y = np.where(rng.random(n) < 0.2, rng.choice([7, -1], n), y)
        p = rng.random((n, k)).astype("float32") if scores else rng.integers(0, k, n)
        p = shares(rng, n) if name == "BinaryIoU" else p
        return np.eye(k, dtype="float32")[y] if one_hot_y else y, p

    return arguments, make


PROBLEMS: dict[str, Any] = {
    "Accuracy": labels(),
    "BinaryAccuracy": binary_accuracy(),
    "CategoricalAccuracy": one_hot(),
    "SparseCategoricalAccuracy": labels(),
    "TopKCategoricalAccuracy": top_k(False),
    "SparseTopKCategoricalAccuracy": top_k(True),
    "BinaryCrossentropy": crossentropy("yes-no"),
    "CategoricalCrossentropy": crossentropy("one-hot"),
    "SparseCategoricalCrossentropy": crossentropy("labels"),
    "MeanSquaredError": numbers(),
    "RootMeanSquaredError": numbers(),
    "MeanAbsoluteError": numbers(),
    "MeanAbsolutePercentageError": numbers(1),
    "MeanSquaredLogarithmicError": numbers(1),
    "LogCoshError": numbers(),
    "CosineSimilarity": numbers(axis=True),
    "PearsonCorrelation": wide(),
    "ConcordanceCorrelation": wide(),
    "R2Score": explained(),
    "Poisson": numbers(1, strict=True),
    "KLDivergence": one_hot(),
    "Hinge": margins(),
    "SquaredHinge": margins(),
    "CategoricalHinge": one_hot(),
    "TruePositives": counted(),
    "TrueNegatives": counted(),
    "FalsePositives": counted(),
    "FalseNegatives": counted(),
    "Precision": found(),
    "Recall": found(),
    "AUC": area(),
    "SensitivityAtSpecificity": point("specificity"),
    "SpecificityAtSensitivity": point("sensitivity"),
    "PrecisionAtRecall": point("recall"),
    "RecallAtPrecision": point("precision"),
    "F1Score": f_score(False),
    "FBetaScore": f_score(True),
    "IoU": regions("IoU"),
    "BinaryIoU": regions("BinaryIoU"),
    "MeanIoU": regions("MeanIoU"),
    "OneHotIoU": regions("OneHotIoU"),
    "OneHotMeanIoU": regions("OneHotMeanIoU"),
}


def same(what: str, ours: Any, theirs: Any, least: float = 0.1) -> None:
    """Compare results; what cancels to less than `least` was made of numbers as large as that."""
    theirs = np.asarray(theirs.detach().cpu().numpy(), dtype="float64")
    assert isinstance(ours, float) == (theirs.ndim == 0)
    check_close(what, np.asarray(ours), theirs, scale=max(least, float(np.nan_to_num(abs(theirs)).max(initial=0))))


def batches(data: st.DataObject, make: Make, weighted: str) -> list[tuple[np.ndarray, np.ndarray, Any]]:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    drawn = []
    for n in data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)):
        y, p = make(rng, n)
        weight = rng.choice([0.0, 0.5, 1.0, 3.0], len(y)).astype("float32")
        whole = np.ceil(weight).astype("int64")
        drawn.append((y, p, {"none": None, "each": weight, "whole": whole}[weighted]))
    return drawn


@pytest.mark.parametrize("name", PROBLEMS)
@given(data=st.data())
@settings(max_examples=EXAMPLES)
def test_results(keras: Any, score: Score, name: str, data: st.DataObject) -> None:
    """After every batch, after a reset, and continued from sums that went through JSON."""
    arguments, make = data.draw(PROBLEMS[name])
    weighted = data.draw(st.sampled_from(["none", "each"]))
    if "IoU" in name:  # Keras cuts weights to integers there
        weighted = {"each": "whole"}.get(weighted, weighted)
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    assert ours.name == theirs.name.rstrip("0123456789").rstrip("_") or ours.name == theirs.name
    if arguments.get("class_aggregation", "") is not None:
        assert ours.scalar or name in ("Precision", "Recall", "F1Score", "FBetaScore") or "thresholds" in arguments
    for phase in range(2):
        for y, p, weight in batches(data, make, weighted):
            p = p.argmax(axis=-1).reshape(y.shape) if name == "Accuracy" else p
            given_p = Tensor(p, requires_grad=p.dtype == np.float32) if data.draw(st.booleans()) else p
            with score("metric", name):
                ours.update_state(y, given_p, weight)
                theirs.update_state(y, p, weight)
                value = ours.result()
                same(f"{name}{arguments}", value, theirs.result())
        again = getattr(metrics, name)(**arguments)
        again.load_totals(json.loads(json.dumps(ours.totals())))
        np.testing.assert_array_equal(again.result(), value)
        ours.reset_state()
        theirs.reset_state()
        if phase == 0 and name != "R2Score":  # 0 / 0
            same("after a reset", ours.result(), theirs.result())


@given(data=st.data(), total=st.booleans())
@settings(max_examples=2 * EXAMPLES)
def test_means_and_sums(keras: Any, score: Score, total: bool, data: st.DataObject) -> None:
    """Values and weights of several shapes; weights of fewer axes belong to the first."""
    name = "Sum" if total else "Mean"
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    for n in data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)):
        shape = (n, *data.draw(st.sampled_from([(), (1,), (3,), (3, 2)])))
        values = rng.normal(size=shape).astype("float32")
        weights = [None, (n,), (), shape] + ([(n, 1)] if len(shape) < 3 else [(n, 3)])
        chosen = data.draw(st.sampled_from(weights))
        weight = None if chosen is None else np.asarray(rng.choice([0.5, 1.0, 2.0], chosen), "float32")
        if data.draw(st.booleans()) and chosen is None:
            values = data.draw(st.sampled_from([values.tolist(), float(values.reshape(-1)[0])]))
        with score("metric", name):
            same(name, ours(values, sample_weight=weight), theirs(values, sample_weight=weight), least=1)


@given(data=st.data())
@settings(max_examples=EXAMPLES)
def test_the_name_accuracy(keras: Any, score: Score, data: st.DataObject) -> None:
    """`metrics=["accuracy"]` picks the accuracy that fits the shapes, as in Keras's compile."""
    from keras.src.trainers.compile_utils import get_metric

    _, make = data.draw(st.one_of(one_hot(), labels(), binary_accuracy()))
    y, p = make(np.random.default_rng(data.draw(st.integers(0, 999))), 5)
    if p.ndim == 1:
        return
    name = data.draw(st.sampled_from(["accuracy", "acc"]))
    ours, theirs = metrics.get(name), get_metric(name, y, p)
    with score("metric", "accuracy by name"):
        same(name, ours(y, p), theirs(y, p))
        assert ours.name == theirs.name == name and ours.direction == theirs._direction == "up"


@pytest.mark.parametrize("name", [*PROBLEMS, "Mean", "Sum", "MeanMetricWrapper", "Metric"])
def test_arguments(keras: Any, name: str) -> None:
    """Names, order and defaults of all constructor arguments."""
    ours = list(inspect.signature(getattr(metrics, name).__init__).parameters.values())[1:]
    theirs = list(inspect.signature(getattr(keras.metrics, name).__init__).parameters.values())[1:]
    ours, theirs = ([p for p in ps if p.kind is not p.VAR_KEYWORD] for ps in (ours, theirs))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("name", [*PROBLEMS, "Mean", "Sum"])
def test_directions(keras: Any, name: str) -> None:
    """Which way is better, for callbacks that are left to find out."""
    needed = {
        "num_classes": 2, "target_class_ids": [0], "specificity": 0.5, "sensitivity": 0.5, "recall": 0.5,
        "precision": 0.5,
    }  # fmt: skip
    parameters = inspect.signature(getattr(metrics, name).__init__).parameters
    arguments = {
        k: v for k, v in needed.items() if k in parameters and parameters[k].default is inspect.Parameter.empty
    }
    theirs = getattr(getattr(keras.metrics, name)(**arguments), "_direction", None)
    assert getattr(metrics, name)(**arguments).direction == theirs


def test_names(keras: Any) -> None:
    """What `compile(metrics=["..."])` takes in Keras, it takes here, and finds the same metric."""
    from keras.src.metrics import ALL_OBJECTS_DICT

    from gpudl import registry

    for name, item in ALL_OBJECTS_DICT.items():
        if item.__name__ not in ("Metric", "MeanMetricWrapper", "Accuracy"):
            assert registry.lookup("metrics", name).__name__ == item.__name__


@pytest.mark.parametrize(
    "function",
    ["binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "top_k_categorical_accuracy",
     "sparse_top_k_categorical_accuracy", "pearson_correlation", "concordance_correlation"],
)  # fmt: skip
def test_functions(keras: Any, score: Score, function: str, rng: np.random.Generator) -> None:
    p = rng.normal(size=(6, 7)).astype("float32")
    y = rng.integers(0, 7, 6) if "sparse" in function else rng.normal(size=(6, 7)).astype("float32")
    y = (y > 0).astype("float32") if function == "binary_accuracy" else y
    with score("metric", function):
        check_close(function, getattr(metrics, function)(y, p), getattr(keras.metrics, function)(y, p).numpy())
    ours, theirs = (inspect.signature(getattr(m, function)).parameters for m in (metrics, keras.metrics))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]


def test_what_is_ignored_does_not_count(keras: Any) -> None:
    """Keras leaves ignored labels out of a weighted mean only; here they are out of every mean, as in the loss."""
    y, p = np.array([0, 1, 2, 1]), np.random.default_rng(0).dirichlet(np.ones(3), 4).astype("float32")
    ours = metrics.SparseCategoricalCrossentropy(ignore_class=1)
    theirs = keras.metrics.SparseCategoricalCrossentropy(ignore_class=1)
    assert ours(y, p) == pytest.approx(float(theirs(y, p, sample_weight=np.ones(4))), rel=1e-5)
    weight = np.array([1, 2, 3, 4], "float32")
    assert ours(y, p, weight) == pytest.approx(float(theirs(y, p, sample_weight=weight)), rel=1e-5)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("AUC", {"num_thresholds": 1}),
    ("AUC", {"curve": "DET"}),
    ("AUC", {"summation_method": "trapezoid"}),
    ("AUC", {"num_labels": 3}),
    ("Precision", {"thresholds": 1.5}),
    ("Recall", {"thresholds": [0.5, -0.1]}),
    ("TruePositives", {"thresholds": 2}),
    ("F1Score", {"average": "mean"}),
    ("F1Score", {"threshold": 1.5}),
    ("FBetaScore", {"beta": -1.0}),
    ("FBetaScore", {"beta": "2"}),
    ("R2Score", {"class_aggregation": "sum"}),
    ("R2Score", {"num_regressors": -1}),
    ("IoU", {"num_classes": 2, "target_class_ids": [2]}),
    ("SensitivityAtSpecificity", {"specificity": 1.5}),
    ("PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 0}),
]


@pytest.mark.parametrize(("name", "arguments"), REFUSED)
def test_arguments_that_keras_refuses_are_refused(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        getattr(keras.metrics, name)(**arguments)
    with pytest.raises(ValueError, match=name):
        getattr(metrics, name)(**arguments)
