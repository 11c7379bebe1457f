"""The helpers: labels, norms, parts of data, data by number, pictures of models."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import Tensor, layers, utils
from gpudl.errors import UsageError
from gpudl.utils import plotting
from gpudl.utils.drawing import GAP, Box, svg

# Arrays


def test_to_categorical() -> None:
    np.testing.assert_array_equal(utils.to_categorical([2, 0]), [[0, 0, 1], [1, 0, 0]])
    assert utils.to_categorical([[1], [2]], 4).shape == (2, 4)
    assert utils.to_categorical([], 3).shape == (0, 3)
    for labels, classes, message in (
        ([-1, 0], None, "labels run from -1 to 0, but must lie in 0 to 0"),
        ([0, 3], 3, "labels run from 0 to 3, but must lie in 0 to 2"),
        ([], None, "say how many classes"),
        ([0.0, 1.5], None, "whole numbers"),
    ):
        with pytest.raises(UsageError, match=message):
            utils.to_categorical(labels, classes)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    axis=st.integers(-3, 2),
    order=st.sampled_from([1, 2, 3, np.inf]),
    seed=st.integers(0, 100),
)
def test_normalize_gives_norms_of_1(shape: tuple[int, ...], axis: int, order: float, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(shape)
    axis %= len(shape)
    y = utils.normalize(x, axis, order)
    assert y.shape == (shape if len(shape) > 1 else (1, *shape))
    y = y.reshape(shape)
    np.testing.assert_allclose(np.linalg.norm(y, order, axis), 1)
    np.testing.assert_allclose(np.abs(y) * np.linalg.norm(x, order, axis, keepdims=True), np.abs(x))
    np.testing.assert_array_equal(utils.normalize(Tensor(x), axis, order).reshape(shape), y)


def test_normalize_leaves_zeros() -> None:
    np.testing.assert_array_equal(utils.normalize(np.array([[0, 0], [3, 4]])), [[0, 0], [0.6, 0.8]])
    np.testing.assert_array_equal(utils.normalize(np.array([3, 4]), axis=None), [[0.6, 0.8]])


def test_split_dataset_keeps_the_structure() -> None:
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    left, right = utils.split_dataset(x, left_size=0.75)
    np.testing.assert_array_equal(left, x[:8])
    np.testing.assert_array_equal(right, x[8:])
    (left_x, left_y), (right_x, right_y) = utils.split_dataset((x, y), right_size=3)
    assert len(left_x) == 7 and len(right_x) == 3
    np.testing.assert_array_equal(left_y, y[:7])
    np.testing.assert_array_equal(right_y, y[7:])
    first, last = utils.split_dataset({"x": [x], "y": y}, left_size=2, right_size=3)
    np.testing.assert_array_equal(first["x"][0], x[:2])
    np.testing.assert_array_equal(last["y"], y[7:])


def test_split_dataset_shuffles_by_seed() -> None:
    x = np.arange(50)
    left, right = utils.split_dataset((x, x + 100), 0.5, shuffle=True, seed=1)
    np.testing.assert_array_equal(left[0] + 100, left[1])
    np.testing.assert_array_equal(np.sort(np.concatenate([left[0], right[0]])), x)
    assert (left[0] != x[:25]).any()
    for seed, same in ((1, True), (2, False)):
        assert (utils.split_dataset(x, 0.5, shuffle=True, seed=seed)[0] == left[0]).all() == same
    utils.set_random_seed(5)
    once = utils.split_dataset(x, 0.5, shuffle=True)[0]
    utils.set_random_seed(5)
    np.testing.assert_array_equal(utils.split_dataset(x, 0.5, shuffle=True)[0], once)


@pytest.mark.parametrize(
    ("dataset", "sizes", "message"),
    [
        (np.zeros(4), {}, "give left_size or right_size"),
        (np.zeros(4), {"left_size": 4}, "left_size=4 must be a number of samples below 4, or a share"),
        (np.zeros(4), {"right_size": 1.0}, "right_size=1.0 must be a number of samples below 4"),
        (np.zeros(4), {"left_size": "half"}, "left_size='half' must be"),
        (np.zeros(4), {"left_size": 3, "right_size": 2}, "exceed the 4 samples"),
        (np.zeros(4), {"left_size": 0.5, "right_size": 0.6}, "exceed the 4 samples"),
        (np.zeros(4), {"left_size": 0.1}, "leave one part of the 4 samples empty"),
        ((np.zeros(4), np.zeros(3)), {"left_size": 1}, r"theirs are \[3, 4\]"),
        ([], {"left_size": 1}, r"theirs are \[\]"),
        ([1, 2, 3], {"left_size": 1}, "but was given a int"),
    ],
)
def test_split_dataset_refuses(dataset: Any, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"split_dataset.*{message}"):
        utils.split_dataset(dataset, **sizes)


# Data by number


def test_py_dataset() -> None:
    class Squares(utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> tuple[int, int]:
            return index, index**2

    data = Squares(workers=2)
    assert list(data) == [(0, 0), (1, 1), (2, 4)]
    assert (data.num_batches, data.workers, data.max_queue_size) == (3, 2, 10)
    data.on_epoch_begin()
    data.on_epoch_end()
    assert utils.Sequence is utils.PyDataset
    with pytest.raises(UsageError, match="must define __len__"):
        len(utils.PyDataset())
    with pytest.raises(UsageError, match="must define __getitem__"):
        utils.PyDataset()[0]


# Pictures


@dataclass
class Node:
    """What a model says of a step of its graph."""

    name: str
    kind: str
    inputs: list[Node] = field(default_factory=list)
    output_shapes: list[tuple[int | None, ...]] = field(default_factory=lambda: [(None, 4)])


def branching() -> Any:
    """A model with two inputs, a skip connection and two outputs."""
    image, meta = Node("image", "InputLayer"), Node("meta", "InputLayer")
    first = Node("dense", "Dense", [image], [(None, 7)])
    second = Node("dense_1", "Dense", [first], [(None, 7)])
    third = Node("dense_2", "Dense", [second], [(None, 7)])
    added = Node("add", "Add", [first, third], [(None, 7)])
    joined = Node("join <a&b>", "Concatenate", [added, meta], [(None, 11)])
    outputs = [Node("kind", "Dense", [joined], [(None, 3)]), Node("size", "Dense", [joined], [(None, 1)])]
    dense = layers.Dense(7, "relu", name="dense")
    frozen = layers.Dense(7, name="dense_1", trainable=False)
    for layer in (dense, frozen):
        layer(np.zeros((1, 4)))
    nodes = [image, meta, first, second, third, added, joined, *outputs]
    return SimpleNamespace(nodes=nodes, layers=[dense, frozen])


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting.shutil, "which", lambda name: None)


def texts(file: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(file).iter() if element.tag.endswith("text")]


@pytest.mark.usefixtures("no_dot")
def test_a_picture_without_graphviz(tmp_path: Path) -> None:
    file = tmp_path / "new" / "model.svg"
    assert utils.plot_model(branching(), file) is None
    assert sorted(texts(file)) == sorted(node.kind for node in branching().nodes)
    utils.plot_model(
        branching(),
        file,
        show_shapes=True,
        show_dtype=True,
        show_layer_names=True,
        show_layer_activations=True,
        show_trainable=True,
    )
    found = texts(file)
    assert {"dense (Dense)", "Activation: relu", "Input: (N, 7), (N, 4)", "Output: (N, 11)"} <= set(found)
    assert {"join <a&b> (Concatenate)", "Dtype: float32", "Dtype: ?", "Trainable", "Not trainable"} <= set(found)


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@given(data=st.data())
def test_boxes_are_clear_of_each_other_and_arrows_go_forward(rankdir: str, data: st.DataObject) -> None:
    boxes: list[Box] = []
    for number in range(data.draw(st.integers(1, 12))):
        sources = data.draw(st.lists(st.integers(0, max(number - 1, 0)), max_size=3)) if number else []
        rows = ["Output: (N, 5)"] * data.draw(st.integers(0, 3))
        boxes.append(Box("x" * data.draw(st.integers(1, 20)), rows, sources))
    picture = ET.fromstring(svg(boxes, rankdir))
    size = [float(picture.attrib[side]) for side in ("width", "height")]
    groups = [element for element in picture if element.tag.endswith("}g")]
    frames = [e for e in groups[1] if e.tag.endswith("rect") and e.attrib["fill"] == "white"]
    places = [tuple(float(e.attrib[key]) for key in ("x", "y", "width", "height")) for e in frames]
    assert len(places) == len(boxes)
    for i, (x, y, w, h) in enumerate(places):
        assert x >= 0 and x + w <= size[0] + 0.5 and y >= 0 and y + h <= size[1] + 0.5
        for x2, y2, w2, h2 in places[:i]:
            apart = max(x2 - x - w, x - x2 - w2, y2 - y - h, y - y2 - h2)
            assert apart > GAP - 1, "boxes of one rank, or of two, keep their distance"
    along = 1 if rankdir == "TB" else 0
    for box, place in zip(boxes, places, strict=True):
        for source in box.inputs:
            assert places[source][along] + places[source][along + 2] < place[along]
    assert len(groups[0]) == sum(len(set(box.inputs)) for box in boxes)


def test_graphviz_draws_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(command: list[str], input: bytes, **_: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append((command, input.decode()))
        failed = b"red" in input
        return subprocess.CompletedProcess(command, int(failed), b"picture", b"syntax error")

    monkeypatch.setattr(plotting.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(plotting.subprocess, "run", run)
    utils.plot_model(branching(), tmp_path / "model.png", show_layer_names=True, rankdir="LR", dpi=96)
    assert (tmp_path / "model.png").read_bytes() == b"picture"
    [(command, text)] = asked
    assert command == ["/bin/dot", "-Tpng"]
    assert "rankdir=LR, dpi=96" in text and "join &lt;a&amp;b&gt; (Concatenate)" in text
    assert text.count(" -> ") == 9 and "2 -> 5;" in text
    with pytest.raises(UsageError, match="dot failed: syntax error"):
        utils.plot_model(branching(), tmp_path / "model.png", splines="red")


def test_graphviz_itself_understands_the_text(tmp_path: Path) -> None:
    if plotting.shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    utils.plot_model(branching(), tmp_path / "model.svg", show_shapes=True, show_layer_names=True)
    assert {"join <a&b> (Concatenate)", "Output: (N, 11)"} <= set(texts(tmp_path / "model.svg"))
    utils.plot_model(branching(), tmp_path / "model.png")
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_dot")
def test_a_notebook_gets_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    display = SimpleNamespace(SVG=lambda filename: f"shown {Path(filename).name}")
    monkeypatch.setitem(sys.modules, "IPython.display", display)  # pyright: ignore[reportArgumentType]
    assert utils.plot_model(branching(), tmp_path / "model.svg") == "shown model.svg"


@pytest.mark.usefixtures("no_dot")
def test_plot_model_refuses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'needs Graphviz.*or write ".*model.svg", which needs nothing'):
        utils.plot_model(branching(), tmp_path / "model.png")
    with pytest.raises(UsageError, match="is not built"):
        utils.plot_model(SimpleNamespace(nodes=[]))
    with pytest.raises(UsageError, match="rankdir='UP' is unknown"):
        utils.plot_model(branching(), rankdir="UP")
    model = branching()
    model.layers.append(SimpleNamespace(name="kind", nodes=[Node("inner", "Dense")]))
    with pytest.raises(UsageError, match="expand_nested=True is not done in this version"):
        utils.plot_model(model, expand_nested=True)
    assert list(tmp_path.iterdir()) == []
