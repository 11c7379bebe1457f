"""Graphs of layers beside Keras: the same construction code, drawn by hypothesis, run with gpudl and with Keras."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gpudl
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

Shape = tuple[int, ...]
N = 12  # samples


@dataclass
class Call:
    """One call of a plan: of a layer, an op or an inner model, on the tensors with these numbers."""

    kind: str
    what: Any
    sources: list[int]
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    """Of the layer or inner model; a second call of the same name is one more call of the same layer."""


@dataclass
class Plan:
    """A graph as data. Tensors are numbered: inputs first, then what each call gives."""

    name: str
    inputs: list[tuple[str, Shape]]
    calls: list[Call]
    outputs: list[int]
    shapes: list[Shape]
    structures: tuple[str, str]
    """How inputs and outputs are given: "single", "list" or "dict"."""


# The same construction code for both


OPS: dict[str, Any] = {
    "x + y": lambda of, x, y: x + y,
    "x - y": lambda of, x, y: x - y,
    "x * y": lambda of, x, y: x * y,
    "x + 0.5": lambda of, x: x + 0.5,
    "1 - x": lambda of, x: 1 - x,
    "x * 0.7": lambda of, x: x * 0.7,
    "2 * x": lambda of, x: 2 * x,
    "x / 2": lambda of, x: x / 2,
    "-x": lambda of, x: -x,
    "x ** 2": lambda of, x: x**2,
    "x + array": lambda of, x: x + np.linspace(-1, 1, x.shape[-1], dtype=np.float32),
    "x[:, :1]": lambda of, x: x[:, :1],
    "x[..., ::2]": lambda of, x: x[..., ::2],
    "tanh": lambda of, x: of.ops.tanh(x),
    "relu": lambda of, x: of.ops.relu(x),
    "mean": lambda of, x: of.ops.mean(x, axis=-1, keepdims=True),
    "sum": lambda of, x: of.ops.sum(x, axis=1, keepdims=True),
    "maximum": lambda of, x, y: of.ops.maximum(x, y),
    "concatenate": lambda of, x, y: of.ops.concatenate([x, y], axis=-1),
    "reshape": lambda of, x: of.ops.reshape(x, (-1, math.prod(x.shape[1:]))),
}


def build(of: Any, plan: Plan) -> Any:
    """Make the model of a plan with `of`: gpudl, or Keras."""
    tensors = [of.Input(shape=shape, name=name) for name, shape in plan.inputs]
    made: dict[str, Any] = {}
    inputs = list(tensors)
    for call in plan.calls:
        sources = [tensors[i] for i in call.sources]
        if call.kind == "op":
            result = OPS[call.what](of, *sources)
        else:
            if call.name not in made:
                made[call.name] = {"layer": _layer, "model": lambda of, call: build(of, call.what)}[call.kind](of, call)
            inner = made[call.name]
            if call.kind == "model" and call.what.structures[0] == "dict":
                argument: Any = {name: x for (name, _), x in zip(call.what.inputs, sources, strict=True)}
            else:
                many = len(sources) > 1 or (call.kind == "model" and call.what.structures[0] == "list")
                argument = sources if many else sources[0]
            result = inner(argument)
        if isinstance(result, dict):
            result = [result[name] for name in sorted(result)]
        tensors.extend(result if isinstance(result, (list, tuple)) else [result])
    outputs = [tensors[i] for i in plan.outputs]
    given = {name: x for (name, _), x in zip(plan.inputs, inputs, strict=True)}
    return of.Model(
        _structured(plan.structures[0], inputs, list(given)),
        _structured(plan.structures[1], outputs, [f"out{i}" for i in range(len(outputs))]),
        name=plan.name,
    )


def _layer(of: Any, call: Call) -> Any:
    if call.what == "Sequential":
        return of.Sequential(
            [of.layers.Dense(call.settings["units"], name=f"{call.name}_dense"), of.layers.ReLU(name=f"{call.name}_r")],
            name=call.name,
        )
    return getattr(of.layers, call.what)(**call.settings, name=call.name)


def _structured(structure: str, items: list[Any], names: list[str]) -> Any:
    if structure == "dict":
        return dict(zip(names, items, strict=True))
    return items[0] if structure == "single" else items


# Drawing plans


VECTOR = ("Dense", "Dense", "Dense", "BatchNormalization", "Activation", "Sequential", "Reshape")
IMAGE = ("Conv2D", "Conv2D", "Conv2D", "Dense", "BatchNormalization", "MaxPooling2D", "AveragePooling2D", "Flatten",
         "GlobalAveragePooling2D", "GlobalMaxPooling2D")  # fmt: skip
MERGES = ("Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract", "Concatenate", "Dot")
ONE = [name for name in OPS if "y" not in name.replace("array", "") and name not in ("maximum", "concatenate")]


class _Drawing:
    """What has been drawn of a plan."""

    def __init__(self, draw: Any, prefix: str, inputs: list[Shape]) -> None:
        self.draw, self.prefix = draw, prefix
        self.shapes = list(inputs)
        self.calls: list[Call] = []
        self.names = itertools.count()
        self.shareable: list[tuple[Call, list[Shape], list[Shape]]] = []

    def pick(self, options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def add(self, call: Call, *shapes: Shape) -> None:
        if call.kind != "op":
            self.shareable.append((call, [self.shapes[i] for i in call.sources], list(shapes)))
        self.calls.append(call)
        self.shapes.extend(shapes)

    def name(self, of: str) -> str:
        return f"{self.prefix}{of}{next(self.names)}"

    def layer(self) -> None:
        source = self.pick(range(len(self.shapes)))
        shape = self.shapes[source]
        what = self.pick(VECTOR if len(shape) == 1 else IMAGE)
        given, shape = self.settings_of(what, shape)
        self.add(Call("layer", what, [source], given, self.name(what.lower())), shape)

    def settings_of(self, what: str, shape: Shape) -> tuple[dict[str, Any], Shape]:
        activation = self.pick([None, "relu", "tanh", "sigmoid"])
        units = self.pick([1, 2, 3, 4])
        if what == "Dense":
            return {
                "units": units,
                "activation": activation,
                "use_bias": self.pick([True, True, False]),
                "kernel_regularizer": self.pick([None, None, "l2"]),
            }, (*shape[:-1], units)
        if what == "Sequential":
            return {"units": units}, (*shape[:-1], units)
        if what == "Conv2D":
            strides = self.pick([1, 1, 2])
            given = {
                "filters": units,
                "kernel_size": self.pick([1, 2, 3]),
                "padding": "same",
                "strides": strides,
                "activation": activation,
            }
            return given, (-(-shape[0] // strides), -(-shape[1] // strides), units)
        if what in ("MaxPooling2D", "AveragePooling2D"):
            return {"pool_size": 2, "padding": "same"}, (-(-shape[0] // 2), -(-shape[1] // 2), shape[2])
        if what == "Flatten":
            return {}, (math.prod(shape),)
        if what.startswith("Global"):
            return {}, shape[-1:]
        if what == "Reshape":
            return {"target_shape": (1, 1, *shape)}, (1, 1, *shape)
        if what == "Activation":
            return {"activation": activation or "linear"}, shape
        return {"momentum": 0.8}, shape

    def again(self) -> None:
        """Call a layer or an inner model a second time, on other tensors or on the same."""
        if not self.shareable:
            return self.layer()
        call, wanted, shapes = self.pick(self.shareable)
        sources = [self.pick([i for i, s in enumerate(self.shapes) if s == shape]) for shape in wanted]
        self.calls.append(Call(call.kind, call.what, sources, call.settings, call.name))
        self.shapes.extend(shapes)

    def merge(self) -> None:
        what = self.pick(MERGES)
        first = self.pick(range(len(self.shapes)))
        shape = self.shapes[first]
        if what == "Concatenate":
            axis = self.pick(range(len(shape)))
            fits = [i for i, s in enumerate(self.shapes) if _but(s, axis) == _but(shape, axis)]
        elif what == "Dot":
            fits = [i for i, s in enumerate(self.shapes) if len(shape) == len(s) == 1 and s == shape]
        else:
            fits = [i for i, s in enumerate(self.shapes) if s == shape or s == shape[-1:]]
        if not fits:
            return
        two = what in ("Subtract", "Dot")
        sources = [first, *(self.pick(fits) for _ in range(1 if two else self.pick([1, 2])))]
        given: dict[str, Any] = {}
        if what == "Concatenate":
            given = {"axis": self.pick([axis + 1, axis - len(shape)])}
            shape = tuple(sum(self.shapes[i][axis] for i in sources) if k == axis else n for k, n in enumerate(shape))
        elif what == "Dot":
            given, shape = {"axes": self.pick([1, -1]), "normalize": self.pick([False, True])}, (1,)
        self.add(Call("layer", what, sources, given, self.name(what.lower())), shape)

    def op(self) -> None:
        what = self.pick(list(OPS))
        first = self.pick(range(len(self.shapes)))
        shape = self.shapes[first]
        sources = [first] if what in ONE else [first, self.pick([i for i, s in enumerate(self.shapes) if s == shape])]
        if what == "concatenate":
            shape = (*shape[:-1], 2 * shape[-1])
        elif what == "x[:, :1]" or what == "sum":
            shape = (1, *shape[1:])
        elif what == "x[..., ::2]":
            shape = (*shape[:-1], -(-shape[-1] // 2))
        elif what == "mean":
            shape = (*shape[:-1], 1)
        elif what == "reshape":
            shape = (math.prod(shape),)
        self.add(Call("op", what, sources), shape)

    def inner(self) -> None:
        """Put a model into the model."""
        sources = [self.pick(range(len(self.shapes))) for _ in range(self.pick([1, 1, 2]))]
        name = self.name("model")
        plan = self.draw(plans([self.shapes[i] for i in sources], f"{name}_", 3))
        self.add(Call("model", plan, sources, {}, plan.name), *(plan.shapes[i] for i in plan.outputs))


def _but(shape: Shape, axis: int) -> Any:
    """A shape with one length left out; what no other shape equals, where there is no such axis."""
    return (len(shape), *shape[:axis], *shape[axis + 1 :]) if axis < len(shape) else object()


@st.composite
def plans(draw: Any, inputs: list[Shape] | None = None, prefix: str = "", most: int = 8) -> Plan:
    """Draw a graph; with a prefix, one that is to be part of another."""
    inner = inputs is not None
    if inputs is None:
        inputs = draw(st.lists(st.sampled_from([(3,), (4,), (4, 4, 2), (3, 5, 1)]), min_size=1, max_size=3))
    assert inputs is not None
    drawing = _Drawing(draw, prefix, inputs)
    kinds = ["layer", "layer", "layer", "again", "merge", "merge", "op", *(["inner"] if not inner else [])]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=most)):
        getattr(drawing, kind)()
    count = len(inputs)
    if inner:
        last = len(drawing.shapes) - 1
        outputs = [last] if last < count + 1 or draw(st.booleans()) else [count, last]
        assume(last >= count)
    else:
        used = {i for call in drawing.calls for i in call.sources}
        ends = [i for i in range(len(drawing.shapes)) if i not in used]
        outputs = []
        for end in ends[-3:]:
            units = draw(st.sampled_from([1, 2, 3]))
            shape = drawing.shapes[end]
            kinds = [None, "sigmoid", *(["softmax"] if len(shape) == 1 else [])]  # on images PyTorch itself fails
            activation = draw(st.sampled_from(kinds)) if units > 1 else None
            given = {"units": units, "activation": activation}
            drawing.add(Call("layer", "Dense", [end], given, drawing.name("head")), (*shape[:-1], units))
            outputs.append(len(drawing.shapes) - 1)
    named = [(f"{prefix}in{i}", shape) for i, shape in enumerate(inputs)]
    structures = tuple(
        draw(st.sampled_from(["single", "list", "dict"] if many == 1 else ["list", "dict"]))
        for many in (len(inputs), len(outputs))
    )
    return Plan(prefix + "net", named, drawing.calls, outputs, drawing.shapes, (structures[0], structures[1]))


# Comparing


def pair(keras: Any, plan: Plan, seed: int = 0) -> tuple[Any, Any]:
    """The model of a plan in both, with the same weights."""
    ours, theirs = build(gpudl, plan), build(keras, plan)
    rng = np.random.default_rng(seed)
    given = [w.shape for w in theirs.weights]
    assert [w.shape for w in ours.weights] == [tuple(s) for s in given]
    values = [rng.uniform(0.1, 0.6, s) if len(s) < 2 else rng.normal(0, 0.4, s) for s in given]
    values = [value.astype(np.float32) for value in values]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


def samples(plan: Plan, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((N, *shape)).astype(np.float32) for _, shape in plan.inputs]
    return _structured(plan.structures[0], arrays, [name for name, _ in plan.inputs])


def flat(y: Any) -> list[Any]:
    if isinstance(y, dict):
        return [y[name] for name in sorted(y)]
    return list(y) if isinstance(y, (list, tuple)) else [y]


def same_outputs(mine: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    assert type(mine) is type(theirs)
    if isinstance(theirs, dict):
        assert list(mine) == list(theirs)
    for a, b in zip(flat(mine), flat(theirs), strict=True):
        assert a.shape == b.shape
        check_close("outputs", a, b, tolerance, scale=max(float(np.abs(b).max(initial=0)), 1e-3))


def same_logs(mine: dict[str, Any], theirs: dict[str, Any], tolerance: float = 1e-5) -> None:
    assert sorted(mine) == sorted(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name], value, rtol=tolerance, atol=tolerance / 10, err_msg=name)


def same_weights(ours: Any, theirs: Any, tolerance: float) -> None:
    for weight, value in zip(ours.weights, theirs.get_weights(), strict=True):
        check_close(weight.name, weight.numpy(), value, tolerance, scale=max(1.0, float(np.abs(value).max(initial=0))))


@settings(max_examples=60)
@given(plan=plans())
def test_construction_and_outputs(keras: Any, score: Any, plan: Plan) -> None:
    with score("model", "functional"):
        ours, theirs = pair(keras, plan)
        assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
        assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
        for mine, other in zip(ours.layers, theirs.layers, strict=True):
            assert mine.count_params() == other.count_params()
        assert ours.count_params() == theirs.count_params()
        assert len(ours.trainable_weights) == len(theirs.trainable_weights)
        assert len(ours.non_trainable_weights) == len(theirs.non_trainable_weights)
        assert [x.shape for x in ours.inputs] == [x.shape for x in theirs.inputs]
        assert [x.shape for x in ours.outputs] == [x.shape for x in theirs.outputs]
        assert ours.output_names == theirs.output_names
        x = samples(plan)
        with np.errstate(all="ignore"):
            expected = theirs.predict(x, verbose=0, batch_size=5)
        assume(all(np.isfinite(y).all() for y in flat(expected)))
        same_outputs(ours.predict(x, verbose=0, batch_size=5), expected)
        same_outputs(ours.predict_on_batch(x), theirs.predict_on_batch(x))


@st.composite
def training(draw: Any) -> tuple[Plan, dict[str, Any], Any, Any]:
    """Draw a plan, how it is compiled, targets, and sample weights."""
    plan = draw(plans())
    heads = {call.name: call for call in plan.calls if call.name.startswith("head")}
    by_number = list(heads.values())[-len(plan.outputs) :]
    names = [f"out{i}" for i in range(len(by_number))] if plan.structures[1] == "dict" else [c.name for c in by_number]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    losses, metrics, targets = [], [], []
    for call, number in zip(by_number, plan.outputs, strict=True):
        shape, units = (N, *plan.shapes[number]), call.settings["units"]
        kind = call.settings["activation"]
        if kind == "softmax":
            sparse = draw(st.booleans())
            labels = rng.integers(0, units, shape[:-1])
            losses.append("sparse_categorical_crossentropy" if sparse else "categorical_crossentropy")
            targets.append(labels if sparse else np.eye(units, dtype=np.float32)[labels])
        elif kind == "sigmoid":
            losses.append("binary_crossentropy")
            targets.append(rng.integers(0, 2, shape).astype(np.float32))
        else:
            losses.append("mse")
            targets.append(rng.uniform(-1, 1, shape).astype(np.float32))
        wanted = ["accuracy"] if kind else ["mse"]
        metrics.append(wanted if draw(st.booleans()) else [])
    count = len(names)
    weights = [draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in range(count)]
    images = any(len(plan.shapes[i]) > 1 for i in plan.outputs)
    weighted = draw(st.booleans()) and not images
    each = [rng.choice([0.5, 1.0, 3.0], N).astype(np.float32) for _ in range(count)]
    how: dict[str, Any] = {}
    as_dict = draw(st.booleans()) and plan.structures[1] != "single"
    if plan.structures[1] == "dict" or as_dict:
        how["loss"] = dict(zip(names, losses, strict=True))
        if draw(st.booleans()):
            how["loss_weights"] = dict(zip(names, weights, strict=True))
        if any(metrics):
            how["metrics"] = {name: some for name, some in zip(names, metrics, strict=True) if some}
    else:
        how["loss"] = losses[0] if len(set(losses)) == 1 and draw(st.booleans()) else list(losses)
        if draw(st.booleans()) and isinstance(how["loss"], list):
            how["loss_weights"] = weights
        if any(metrics):
            how["metrics"] = metrics if count > 1 else metrics[0]
        if plan.structures[1] == "single":
            how["loss"] = losses[0]
            how.pop("loss_weights", None)
    if as_dict and plan.structures[1] == "list" and not weighted:  # with weights Keras wants one structure for both
        return plan, how, dict(zip(names, targets, strict=True)), None
    y = _structured(plan.structures[1], targets, names)
    return plan, how, y, _structured(plan.structures[1], each, names) if weighted else None


@settings(max_examples=40)
@given(drawn=training())
def test_twenty_steps(keras: Any, score: Any, drawn: Any) -> None:
    plan, how, y, weight = drawn
    with score("model", "functional, 20 steps"):
        ours, theirs = pair(keras, plan)
        x = samples(plan)
        if not ours.trainable_weights:
            return
        expected = flat(theirs.predict(x, verbose=0))
        assume(all(np.isfinite(y).all() and np.abs(y).max() < 20 for y in expected))
        for model, of in ((ours, gpudl), (theirs, keras)):
            model.compile(of.optimizers.SGD(0.005), **how)
        same_logs(
            ours.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True, batch_size=5),
            theirs.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True, batch_size=5),
        )
        mine, other = (m.train_on_batch(x, y, sample_weight=weight) for m in (ours, theirs))
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
        mine, other = (m.test_on_batch(x, y, sample_weight=weight, return_dict=True) for m in (ours, theirs))
        same_logs(mine, other, 1e-4)
        fit: dict[str, Any] = {"verbose": 0, "shuffle": False, "batch_size": 6, "epochs": 10, "sample_weight": weight}
        mine, other = (m.fit(x, y, **fit).history for m in (ours, theirs))
        assume(np.isfinite(other["loss"]).all() and max(other["loss"]) < 1e3)
        assert sorted(mine) == sorted(other)
        same_logs(mine, other, 1e-4)
        same_weights(ours, theirs, 1e-4)
        mine, other = (m.evaluate(x, y, sample_weight=weight, verbose=0) for m in (ours, theirs))
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


# Batches from elsewhere


@st.composite
def epochs(draw: Any) -> dict[str, Any]:
    """Draw how fit is called: data of six batches, the last not full, never asked for more than there is."""
    kind = draw(st.sampled_from(["arrays", "sequence", "generator"]))
    steps = draw(st.sampled_from([1, 2, 3, 6] if kind != "generator" else [1, 2, 4, 7]))
    given: dict[str, Any] = {"kind": kind, "epochs": draw(st.integers(1, 4)), "weighted": draw(st.booleans())}
    given["steps"] = None if kind != "generator" and draw(st.booleans()) else steps
    given["validation"] = draw(st.sampled_from([None, "arrays", "sequence"]))
    given["class_weight"] = kind != "generator" and not given["weighted"] and draw(st.booleans())
    return given


@settings(max_examples=40)
@given(how=epochs())
def test_batches_from_elsewhere(keras: Any, score: Any, how: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((43, 4)).astype(np.float32), rng.integers(0, 3, 43)
    parts = (x, y, rng.choice([0.5, 2.0], 43).astype(np.float32)) if how["weighted"] else (x, y)

    def batch(i: int) -> tuple[np.ndarray, ...]:
        return tuple(part[8 * i : 8 * i + 8] for part in parts)

    def run(of: Any, events: list[Any]) -> Any:
        class Sequence(of.utils.PyDataset):
            def __len__(self) -> int:
                return 6

            def __getitem__(self, i: int) -> Any:
                return batch(i)

            def on_epoch_begin(self) -> None:
                events.append("begin")

            def on_epoch_end(self) -> None:
                events.append("end")

        dense = of.layers.Dense(3, activation="softmax", kernel_initializer="zeros")
        model = of.Sequential([of.Input(shape=(4,)), dense])
        model.compile(of.optimizers.SGD(0.5), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
        given: dict[str, Any] = {"epochs": how["epochs"], "steps_per_epoch": how["steps"], "verbose": 0}
        if how["class_weight"]:
            given["class_weight"] = {0: 0.5, 1: 2.0, 2: 1.0}
        if how["validation"] is not None:
            given["validation_data"] = Sequence() if how["validation"] == "sequence" else (x[:9], y[:9])
        if how["kind"] == "arrays":
            given.update(x=x, y=y, batch_size=8, shuffle=False)
            if how["weighted"]:
                given["sample_weight"] = parts[2]
        elif how["kind"] == "sequence":
            given.update(x=Sequence(), shuffle=False)
        else:
            given.update(x=(batch(i % 6) for i in itertools.count()), shuffle=False)
        history = model.fit(**given).history
        return history, model.get_weights()

    with score("model", "batches from elsewhere"):
        mine_events: list[Any] = []
        their_events: list[Any] = []
        mine, theirs = run(gpudl, mine_events), run(keras, their_events)
        same_logs(mine[0], theirs[0], 1e-4)
        for a, b in zip(mine[1], theirs[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        if how["validation"] != "sequence":
            # What comes before the first epoch depends on whether Keras has built its metrics by then.
            epochs_seen = 2 * len(mine[0]["loss"])
            assert mine_events[-epochs_seen:] == their_events[-epochs_seen:]
