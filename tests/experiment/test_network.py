"""[[model.layers]] as a graph: which layers take what, several inputs and outputs, and files that cannot be one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpudl import Model, Sequential, load_model
from gpudl.cli import main
from gpudl.errors import ShapeError, UsageError
from gpudl.experiment import experiment

TWO_TOWERS = """\
[run]
name = "towers"
seed = 3

[data]
dataset = "npz"
path = "towers.npz"
batch_size = 8

[model]
outputs = ["label", "size"]

[[model.layers]]
type = "input"
name = "left"
shape = [4]

[[model.layers]]
type = "input"
name = "right"
shape = [6, 6, 1]

[[model.layers]]
type = "conv2d"
inputs = ["right"]
filters = 2
kernel_size = 3

[[model.layers]]
type = "flatten"
name = "flat"

[[model.layers]]
type = "dense"
name = "label"
inputs = ["both"]
units = 3
activation = "softmax"

[[model.layers]]
type = "concatenate"
name = "both"
inputs = ["left", "flat"]

[[model.layers]]
type = "dense"
name = "size"
units = 1

[training]
epochs = 2
loss = { label = "sparse_categorical_crossentropy", size = "mse" }
loss_weights = { label = 1.0, size = 0.5 }
metrics = { label = ["accuracy"] }
"""

RESIDUAL = """\
[data]
dataset = "digits"

[[model.layers]]
type = "conv2d"
name = "stem"
filters = 3
kernel_size = 3
padding = "same"

[[model.layers]]
type = "conv2d"
name = "more"
filters = 3
kernel_size = 3
padding = "same"

[[model.layers]]
type = "add"
inputs = ["stem", "more"]

[[model.layers]]
type = "flatten"

[[model.layers]]
type = "dense"
units = 10
activation = "softmax"

[training]
loss = "sparse_categorical_crossentropy"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(here: Path) -> Callable[..., experiment.Experiment]:
    """Read an experiment, some passages replaced."""

    def with_changes(text: str, *changes: tuple[str, str]) -> experiment.Experiment:
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (here / "x.toml").write_text(text)
        return experiment.read("x.toml")

    return with_changes


SHAPES = {"left": (4,), "right": (6, 6, 1)}


def test_layers_in_any_order(read: Callable[..., experiment.Experiment]) -> None:
    model = read(TWO_TOWERS).model(SHAPES)
    assert isinstance(model, Model) and not isinstance(model, Sequential)
    assert model.input_names == ["left", "right"]
    assert model.output_names == ["label", "size"]
    assert model.get_layer("both").input[1] is model.get_layer("flat").output
    assert model.get_layer("label").output.shape == (None, 3)
    assert model.get_layer("size").input is model.get_layer("both").output, "without inputs it follows the one above"
    assert [x.shape for x in model.inputs] == [(None, 4), (None, 6, 6, 1)]
    assert model.metrics_names == ["loss", "label_loss", "size_loss", "label_accuracy"]


def test_a_residual_connection(read: Callable[..., experiment.Experiment]) -> None:
    model = read(RESIDUAL).model((8, 8, 1))
    added = next(layer for layer in model.layers if type(layer).__name__ == "Add")
    assert [x is model.get_layer(name).output for x, name in zip(added.input, ("stem", "more"), strict=True)] == [
        True,
        True,
    ]
    assert model.output_shape == (None, 10)


def test_the_samples_have_a_name(read: Callable[..., experiment.Experiment]) -> None:
    """Where no layer of type input names them they are "input"."""
    changed = ('inputs = ["stem", "more"]', 'inputs = ["input", "more"]')
    model = read(RESIDUAL, changed, ("filters = 3", "filters = 1")).model((8, 8, 1))
    assert model.layers[0].name == "input"
    assert model.predict(np.zeros((2, 8, 8, 1), np.float32), verbose=0).shape == (2, 10)


def test_a_chain_is_a_sequential(read: Callable[..., experiment.Experiment]) -> None:
    text = RESIDUAL.replace('[[model.layers]]\ntype = "add"\ninputs = ["stem", "more"]\n\n', "")
    assert isinstance(read(text).model((8, 8, 1)), Sequential)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"left", "flat"]', '"left", "flt"]'), r'there is no layer named "flt"; did you mean "flat"'),
        (
            ('outputs = ["label", "size"]', 'outputs = ["labl"]'),
            r'there is no layer named "labl"; did you mean "label"',
        ),
        (('"left", "flat"]', '"left", "label"]'), r"wait for one another in a circle: label -> both -> label"),
        (('inputs = ["both"]', 'inputs = ["label"]'), r"wait for one another in a circle: label -> label"),
        (('inputs = ["both"]', 'inputs = "both"'), r"expected a list of names of layers, but got the text .both"),
        (('inputs = ["both"]', "inputs = []"), r"expected a list of names of layers"),
        (('inputs = ["both"]', "inputs = [3]"), r"expected a list of names of layers"),
        (('name = "flat"', 'name = "left"'), r'"left" is the name of layer 0 already'),
        (("shape = [4]", 'shape = [4]\ninputs = ["flat"]'), r"an input takes its samples from the data set"),
        (('["accuracy"] }', '["acuracy"] }'), r'unknown metric "acuracy"|did you mean "accuracy"'),
        (('size = "mse" }', 'size = "mze" }'), r'training.loss.size: unknown loss "mze"'),
    ],
)
def test_files_that_cannot_be_a_graph(
    read: Callable[..., experiment.Experiment], change: tuple[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        read(TWO_TOWERS, change)
    assert str(refused.value).startswith("x.toml:"), "each problem has its line"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("loss = { label", "loss = { lable"), r'no output "lable"; did you mean "label"'),
        (("loss_weights = { label", "loss_weights = { lable"), r'no output "lable"; did you mean "label"'),
        (("metrics = { label", "metrics = { lable"), r'no output "lable"; did you mean "label"'),
        (("shape = [4]", "shape = [5]"), r'"left" is for samples of shape \(5\)?,?\)?.* but those .* \(4'),
        (('"left", "flat"]', '"left", "right"]'), r'Concatenate "both": inputs of shapes .* must agree'),
    ],
)
def test_graphs_that_do_not_fit(read: Callable[..., experiment.Experiment], change: tuple[str, str], says: str) -> None:
    with pytest.raises((UsageError, ShapeError), match=says):
        read(TWO_TOWERS, change).model(SHAPES)


def test_samples_of_several_parts_need_inputs(read: Callable[..., experiment.Experiment]) -> None:
    with pytest.raises(UsageError, match=r"the shape of the samples is not one \(left, right\); list a layer of type"):
        read(RESIDUAL).model(SHAPES)


def arrays(here: Path) -> None:
    rng = np.random.default_rng(0)
    content = {}
    for part, n in (("train", 40), ("test", 16)):
        content[f"x_{part}.left"] = rng.standard_normal((n, 4)).astype(np.float32)
        content[f"x_{part}.right"] = rng.standard_normal((n, 6, 6, 1)).astype(np.float32)
        content[f"y_{part}.label"] = np.arange(n) % 3
        content[f"y_{part}.size"] = rng.standard_normal((n, 1)).astype(np.float32)
    np.savez(here / "towers.npz", **content)


def test_a_run_from_file_to_file(read: Callable[..., experiment.Experiment], here: Path) -> None:
    arrays(here)
    read(TWO_TOWERS)
    assert main(["train", "x.toml", "--run-dir", "run"]) == 0
    measured = json.loads((here / "run" / "metrics.json").read_text())
    names = {"loss", "label_loss", "size_loss", "label_accuracy"}
    assert names <= set(measured["train"]) and names <= set(measured["test"])
    for part in ("train", "test"):
        each = measured[part]
        assert each["loss"] == pytest.approx(each["label_loss"] + 0.5 * each["size_loss"], rel=1e-4)
    model = load_model(here / "run" / "model.safetensors")
    assert model.output_names == ["label", "size"]
    again = experiment.read(str(here / "run" / "experiment.toml"))
    assert [layer.name for layer in again.model(SHAPES).layers] == [layer.name for layer in model.layers]


def test_parts_that_the_model_does_not_take(
    read: Callable[..., experiment.Experiment], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays(here)
    read(TWO_TOWERS, ('name = "left"', 'name = "lft"'), ('["left"', '["lft"'))
    assert main(["train", "x.toml", "--run-dir", "run"]) in (2, 3)
    said = capsys.readouterr().err
    assert "Traceback" not in said and "This is a bug" not in said
    assert "lft" in said and "left" in said


SHARED = """\
[data]
dataset = "npz"
path = "towers.npz"

[[model.layers]]
type = "input"
name = "left"
shape = [4]

[[model.layers]]
type = "input"
name = "right"
shape = [4]

[[model.layers]]
type = "dense"
name = "see"
inputs = ["left"]
units = 3

[[model.layers]]
shares = "see"
name = "see_right"
inputs = ["right"]

[[model.layers]]
type = "subtract"
inputs = ["see", "see_right"]

[training]
loss = "mse"
"""


def test_a_layer_that_is_shared(read: Callable[..., experiment.Experiment]) -> None:
    model = read(SHARED).model({"left": (4,), "right": (4,)})
    assert [layer.name for layer in model.layers] == ["left", "right", "see", "subtract"]
    assert model.count_params() == 4 * 3 + 3
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(model.predict([x, x], verbose=0), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('shares = "see"', 'shares = "sea"'), r'there is no layer named "sea"; layers with a name are see'),
        (('shares = "see"', 'shares = "left"'), r'there is no layer named "left"'),
        (('shares = "see"', 'shares = "see"\nunits = 3'), r'beside "shares" there can be "name" and "inputs"'),
    ],
)
def test_what_cannot_be_shared(read: Callable[..., experiment.Experiment], change: tuple[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(SHARED, change)


def test_a_layer_that_leads_to_no_output_is_named(read: Callable[..., experiment.Experiment]) -> None:
    dead = '[[model.layers]]\ntype = "dense"\nunits = 2\ninputs = ["left"]\n\n[training]'
    with pytest.raises(UsageError, match=r'Subtract "subtract" leads to no output'):
        read(SHARED, ("[training]", dead)).model({"left": (4,), "right": (4,)})


def test_predictions_of_several_outputs(
    read: Callable[..., experiment.Experiment], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays(here)
    read(TWO_TOWERS)
    assert main(["train", "x.toml", "--run-dir", "run"]) == 0
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((3, 4)), rng.standard_normal((3, 6, 6, 1))
    np.savez(here / "samples.npz", **{"left": left, "x.right": right})
    capsys.readouterr()
    assert main(["predict", "run", "samples.npz"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "output label" and lines[1] == "sample\tclass\tprobability" and lines[5] == "output size"
    assert len(lines) == 10
    assert main(["predict", "run", "samples.npz", "--out", "y.npz"]) == 0
    found = np.load(here / "y.npz")
    assert found["label"].shape == (3, 3) and found["size"].shape == (3, 1)
    np.savez(here / "half.npz", left=left)
    assert main(["predict", "run", "half.npz"]) == 3
    assert "holds left, but the model takes left, right" in capsys.readouterr().err
