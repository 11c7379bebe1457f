"""A valid experiment file with one thing in it changed at random: never a traceback, and the key is in the message."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

Run = Callable[..., Any]
Key = tuple[str | int, ...]

RICH = """\
callbacks = [{ type = "progress", verbose = 2 }, { type = "terminate_on_nan" }]

[run]
name = "rich"
seed = 3
device = "cpu"

[data]
dataset = "digits"
batch_size = 64
validation_split = 0.1
shuffle = true
test_fraction = 0.25

[model]
name = "net"

[[model.layers]]
type = "conv2d"
name = "first"
filters = 2
kernel_size = [3, 3]
strides = 2
padding = "same"
activation = "relu"
use_bias = false
kernel_initializer = { type = "random_normal", mean = 0.0, stddev = 0.1 }
kernel_regularizer = { type = "l2", l2 = 0.001 }

[[model.layers]]
type = "batch_normalization"
momentum = 0.9

[[model.layers]]
type = "flatten"

[[model.layers]]
type = "dense"
units = 10
activation = "softmax"

[training]
epochs = 1
loss = { type = "sparse_categorical_crossentropy", from_logits = false }
metrics = ["accuracy"]

[optimizer]
type = "adam"
learning_rate = { type = "exponential_decay", initial_learning_rate = 0.01, decay_steps = 10, decay_rate = 0.5 }
epsilon = 1e-6
"""
VALID = tomllib.loads(RICH)


def paths(value: Any, above: Key = ()) -> list[Key]:
    """Every key of the file and every entry of its lists."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    found: list[Key] = []
    for name, child in children:
        found += [(*above, name), *paths(child, (*above, name))]
    return found


PATHS = paths(VALID)
NAMED = [path for path in PATHS if isinstance(path[-1], str)]


@pytest.fixture(scope="session")
def check(gpudl: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Check an experiment as `gpudl train --dry-run` does."""
    file = tmp_path_factory.mktemp("corrupted") / "x.toml"

    def run(text: str) -> Any:
        file.write_text(text)
        return gpudl("train", file, "--dry-run")

    return run


def at(values: Any, path: Key) -> Any:
    for part in path:
        values = values[part]
    return values


LEAVES = [path for path in NAMED if not isinstance(at(VALID, path), (dict, list))]


def changed(path: Key) -> tuple[dict[str, Any], Any, Any]:
    """Return a copy of the valid file, and the table or list of it that holds a key, and the key's value."""
    values = tomllib.loads(RICH)
    return values, at(values, path[:-1]), at(values, path)


def test_the_file_is_valid(check: Callable[[str], Any]) -> None:
    assert check(RICH).code == 0
    assert check(tomli_w.dumps(VALID)).code == 0
    assert len(LEAVES) > 30


@given(path=st.sampled_from(PATHS))
@settings(max_examples=len(PATHS))
@pytest.mark.filterwarnings("ignore:.*takes probabilities:UserWarning")
def test_a_key_less(check: Callable[[str], Any], path: Key) -> None:
    values, holder, _ = changed(path)
    del holder[path[-1]]
    outcome = check(tomli_w.dumps(values))
    needed = {
        ("data",),
        ("model",),
        ("training",),
        ("data", "dataset"),
        ("model", "layers"),
        ("training", "loss"),
    }
    if path in needed:
        assert outcome.code == 2
        assert str(path[-1]) in outcome.err
    elif path[-2:-1] == ("kernel_size",):
        assert outcome.code == 2
        assert outcome.messages[0].endswith("kernel_size: expected an integer or two integers, but got [3]")
        assert len(outcome.messages) == 1
    elif path[-1] in ("type", "units", "filters", "kernel_size", "initial_learning_rate", "decay_steps", "decay_rate"):
        assert outcome.code == 2
        assert f'needs "{path[-1]}"' in outcome.err
    elif path == ("model", "layers", 2):
        assert outcome.code == 2  # without flatten the dense layer works on each pixel
        assert "end the model with a flatten" in outcome.err
    else:
        assert outcome.code == 0, outcome.err


LETTERS = "abcdefghijklmnopqrstuvwxyz_0123456789"


@given(path=st.sampled_from(NAMED), data=st.data())
@settings(max_examples=300)
def test_a_key_misspelt_by_a_letter(check: Callable[[str], Any], path: Key, data: st.DataObject) -> None:
    values, holder, value = changed(path)
    name = str(path[-1])
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from(LETTERS))
    how = data.draw(st.sampled_from(["replace", "insert", "drop"]))
    misspelt = name[:place] + {"replace": letter, "insert": letter + name[place], "drop": ""}[how] + name[place + 1 :]
    if misspelt in holder or misspelt in ("l1", ""):  # l1 is a setting of the regularizer l1_l2 and no slip
        return
    del holder[name]
    holder[misspelt] = value
    outcome = check(tomli_w.dumps(values))
    assert outcome.code == 2
    assert misspelt in outcome.err
    assert "no setting of that name" in outcome.err or "unknown section" in outcome.err or "needs" in outcome.err
    if len(name) > 4 and path[-2:-1] != ("kernel_initializer",):
        assert f'"{name}"' in outcome.err


OTHER_VALUES = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-3, 3),
    st.sampled_from(
        [float("nan"), float("inf"), 10**30, -(10**30), "", "x", "3", [], [1], {}, {"type": "relu"}, [[3]]]
    ),
    st.sampled_from(["dense", "relu", "adam", "mse", "csv", "cosine_decay", "he_normal", "l1", "\0", "é" * 99]),
)


@given(path=st.sampled_from(PATHS), value=OTHER_VALUES)
@settings(max_examples=500)
@example(("training", "metrics", 0), {})
@example(("optimizer",), [])
@example(("training", "loss"), "mse")
@example(("callbacks",), {"type": "progress"})
@example(("model", "layers", 0, "kernel_size"), [True, 3])
@example(("model", "layers", 0, "kernel_size"), [3, 10**30])
@example(("model", "layers", 3, "units"), 10**15)
@pytest.mark.filterwarnings("ignore:.*takes (probabilities|scores):UserWarning")
def test_a_value_of_another_type(check: Callable[[str], Any], path: Key, value: Any) -> None:
    values, holder, before = changed(path)
    holder[path[-1]] = value
    outcome = check(tomli_w.dumps(values))
    if outcome.code == 0:
        # What is accepted is of the right type: a number may be an integer, a block or a pair may be a plain value.
        if isinstance(before, str):
            assert isinstance(value, str) or (path[-1] == "activation" and value == {"type": "relu"})
        if isinstance(before, bool):
            assert isinstance(value, bool)
        if type(before) is int and path[-1] not in ("strides",):
            assert type(value) is int
        if isinstance(before, float):
            assert type(value) in (int, float)
        return
    assert outcome.code == (5 if value == 10**15 else 2), outcome.err
    name = next(part for part in reversed(path) if isinstance(part, str))
    if outcome.code == 2:
        # Where another loss does not fit the labels, the message is about the last layer.
        assert name in outcome.err or "layers" in path or (path == ("training", "loss") and "layers" in outcome.err)
        assert "model.layers[" in outcome.err or "layers" not in path or path == ("model", "layers")


@given(path=st.sampled_from(LEAVES), junk=st.text(st.characters(codec="utf-8"), max_size=6), data=st.data())
@settings(max_examples=200)
def test_text_put_anywhere_into_the_file(
    check: Callable[[str], Any], path: Key, junk: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(RICH)))
    outcome = check(RICH[:place] + junk + RICH[place:])
    assert outcome.code in (0, 2)
    if outcome.code == 2:
        assert "x.toml" in outcome.err


@given(override=st.text(st.sampled_from('.[]=0123-x"{}run seed name model layers'), max_size=20))
@settings(max_examples=300)
def test_any_text_to_set(gpudl: Run, check: Callable[[str], Any], tmp_path_factory: Any, override: str) -> None:
    file = tmp_path_factory.getbasetemp() / "set.toml"
    file.write_text(RICH)
    outcome = gpudl("train", file, "--dry-run", f"--set={override}")
    assert outcome.code in (0, 2)
    if outcome.code == 2:
        assert "--set" in outcome.err
    assert Path(file).read_text() == RICH
