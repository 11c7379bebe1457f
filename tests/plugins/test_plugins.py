"""Plugins of strangers: what they add, and what they can do wrong."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpudl import hookspecs
from gpudl.errors import PluginError
from gpudl.plugins import builtins
from gpudl.plugins.manager import Manager

Run = Callable[..., Any]
Put = Callable[..., str]

GOOD = '''
from gpudl import ops
from gpudl.hookspecs import hookimpl
from gpudl.layers import Layer


class Amplify(Layer):
    """Multiply all elements by a factor. Shapes: output as input."""

    def __init__(self, factor: float, times: int = 1, mode: str | None = None) -> None:
        super().__init__()
        self.factor, self.times, self.mode = factor, times, mode

    def call(self, x):
        return x * (self.factor**self.times)


def square_relu(x):
    """max(x, 0)^2."""
    return ops.square(ops.relu(x))


def shout(word: str, loud: bool = False) -> None:
    """Say a word."""
    print(word.upper() if loud else word)


@hookimpl
def register_layers(register):
    register("amplify", Amplify)


@hookimpl
def register_activations(register):
    register("square_relu", square_relu)


@hookimpl
def register_commands(register):
    register("shout_it", shout)
'''

EXPERIMENT = """\
[data]
dataset = "digits"
batch_size = 256
[[model.layers]]
type = "flatten"
[[model.layers]]
type = "amplify"
factor = 0.0625
[[model.layers]]
type = "dense"
units = 10
activation = "square_relu"
[training]
loss = { type = "sparse_categorical_crossentropy", from_logits = true }
"""


def registering(kind: str, name: str, item: str, before: str = "") -> str:
    """A plugin module that registers one thing."""
    return (
        f"from gpudl.hookspecs import hookimpl\n{before}\n@hookimpl\n"
        f"def register_{kind}(register):\n    register({name!r}, {item})\n"
    )


@pytest.fixture
def file(here: Path) -> str:
    (here / "x.toml").write_text(EXPERIMENT)
    return "x.toml"


def test_a_distribution_is_usable_everywhere(gpudl: Run, distribution: Put, here: Path, file: str) -> None:
    module = distribution("gpudl-good", GOOD)
    outcome = gpudl("train", file, "--run-dir", "out")
    assert (outcome.code, outcome.err) == (0, "")
    resolved = tomllib.loads((here / "out" / "experiment.toml").read_text())
    assert resolved["model"]["layers"][1] == {"type": "amplify", "factor": 0.0625, "times": 1}
    assert gpudl("evaluate", "out").code == 0
    assert "amplify Amplify" in gpudl("summary", "out").out
    listed = gpudl("plugins", "list").out
    for part in ("gpudl-good 1.2.3", module, "amplify", "square_relu", "shout_it"):
        assert part in listed
    assert "shout-it" in gpudl("--help").out
    assert gpudl("shout-it", "hello", "--loud").out == "HELLO\n"
    assert gpudl("shout-it").code == 2


def test_a_distribution_in_a_process_of_its_own(gpudl_process: Run, distribution: Put) -> None:
    distribution("gpudl-good", GOOD)
    outcome = gpudl_process("shout-it", "hello")
    assert (outcome.code, outcome.out, outcome.err) == (0, "hello\n", "")


def test_a_file_is_usable_where_it_is_named(gpudl: Run, here: Path, file: str) -> None:
    (here / "good.py").write_text(GOOD)
    assert gpudl("train", file, "--run-dir", "out", "--plugin", "good.py").code == 0
    assert gpudl("evaluate", "out", "--plugin", "good.py").code == 0
    assert gpudl("summary", "out", "--plugin", "good.py").code == 0
    assert "amplify" in gpudl("plugins", "list", "--plugin", "good.py").out
    outcome = gpudl("train", file)
    assert outcome.code == 2
    assert 'x.toml:7: model.layers[1].type: unknown layer "amplify"' in outcome.err
    assert 'x.toml:12: model.layers[2].activation: unknown activation "square_relu"' in outcome.err
    outcome = gpudl("evaluate", "out")
    assert outcome.code == 4
    assert 'unknown layer "amplify"' in outcome.err
    assert "(saved with the plugins good.py)" in outcome.err


def test_a_plugins_settings_are_checked_from_its_annotations(gpudl: Run, distribution: Put, here: Path) -> None:
    distribution("gpudl-good", GOOD)
    (here / "x.toml").write_text(EXPERIMENT.replace("factor = 0.0625", "facto = 1\ntimes = 1.5\nmode = true"))
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        'error: x.toml:6: model.layers[1]: amplify needs "factor": a number',
        'x.toml:8: model.layers[1].facto: amplify has no setting of that name; did you mean "factor"?',
        "x.toml:9: model.layers[1].times: expected an integer, but got 1.5",
        "x.toml:10: model.layers[1].mode: expected text, but got true",
    ]


TAKEN = [
    ("layers", "dense", "Mine", "from gpudl.layers import Layer\nclass Mine(Layer): pass\n"),
    ("activations", "relu", "abs", ""),
    ("datasets", "digits", "Mine", "from gpudl.datasets import Dataset\nclass Mine(Dataset): pass\n"),
]


@pytest.mark.parametrize(("kind", "name", "item", "before"), TAKEN)
def test_a_taken_name(gpudl: Run, distribution: Put, file: str, kind: str, name: str, item: str, before: str) -> None:
    distribution("gpudl-greedy", registering(kind, name, item, before))
    outcome = gpudl("train", file)
    assert outcome.code == 2
    expected = f'{kind}: the name "{name}" is registered by gpudl-greedy, but gpudl has it already; rename one of them'
    assert expected in outcome.err


def test_a_name_two_plugins_want(gpudl: Run, distribution: Put, file: str) -> None:
    distribution("gpudl-one", registering("activations", "gloss", "abs"))
    distribution("gpudl-two", registering("activations", "gloss", "abs"))
    outcome = gpudl("train", file)
    assert outcome.code == 2
    assert 'activations: the name "gloss" is registered by ' in outcome.err
    assert "gpudl-one" in outcome.err
    assert "gpudl-two" in outcome.err


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "summary", "plugins", "data"])
def test_a_command_that_gpudl_has(gpudl: Run, distribution: Put, name: str) -> None:
    distribution("gpudl-greedy", registering("commands", name, "mine", "def mine() -> None: pass"))
    outcome = gpudl("--version")
    assert outcome.code == 2
    assert f'commands: the name "{name}" is registered by gpudl-greedy, but gpudl has it already' in outcome.err


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("raise RuntimeError('[red] and [/red]')", "RuntimeError: [red] and [/red]"),
    ],
)
def test_a_plugin_that_cannot_be_imported(gpudl: Run, distribution: Put, source: str, expected: str) -> None:
    module = distribution("gpudl-broken", source)
    distribution("gpudl-good", GOOD)
    outcome = gpudl("plugins", "list")
    assert outcome.code == 0
    start = f'gpudl: plugin "gpudl-broken" ({module}) cannot be imported and is skipped: {expected}'
    assert outcome.err.startswith(start)
    assert "skipped: " in outcome.out
    assert "amplify" in outcome.out
    for arguments in (["--strict-plugins", "plugins", "list"], ["plugins", "list", "--strict-plugins"]):
        outcome = gpudl(*arguments)
        assert outcome.code == 2
        assert f'plugin "gpudl-broken" ({module}) cannot be imported: {expected}' in outcome.err
        assert outcome.out == ""


def test_strict_without_broken_plugins(gpudl: Run, distribution: Put) -> None:
    distribution("gpudl-good", GOOD)
    assert gpudl("--strict-plugins", "plugins", "list").code == 0


def test_an_entry_point_that_leads_nowhere(gpudl: Run, distribution: Put) -> None:
    distribution("gpudl-lost", "", "main = nowhere_at_all.module")
    outcome = gpudl("data", "list")
    assert outcome.code == 0
    assert 'plugin "gpudl-lost" (nowhere_at_all.module) cannot be imported and is skipped' in outcome.err


def test_two_entry_points_of_a_distribution(gpudl: Run, distribution: Put, site: Path) -> None:
    (site / "plugin_module_second.py").write_text(registering("activations", "second_one", "abs"))
    distribution("gpudl-double", GOOD, "first = {module}\nsecond = plugin_module_second")
    listed = gpudl("plugins", "list").out
    assert "square_relu" in listed
    assert "second_one" in listed


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            registering("layer", "a", "3"),
            'implements register_layer, which is no hook; did you mean "register_layers"?',
        ),
        (registering("zebras", "a", "3"), "implements register_zebras, which is no hook"),
        ("from gpudl.hookspecs import hookimpl\n@hookimpl\ndef register_layers(register, more): pass\n", "more"),
    ],
)
@pytest.mark.parametrize("way", ["distribution", "file"])
def test_a_hook_that_is_wrong(
    gpudl: Run, distribution: Put, here: Path, file: str, source: str, expected: str, way: str
) -> None:
    if way == "file":
        (here / "wrong.py").write_text(source)
        outcome = gpudl("train", file, "--plugin", "wrong.py")
    else:
        distribution("gpudl-wrong", source)
        outcome = gpudl("train", file)
    assert outcome.code == 2
    assert f'plugin "{"wrong.py" if way == "file" else "gpudl-wrong"}"' in outcome.err
    assert expected in outcome.err


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@hookimpl\ndef register_layers(register):\n    raise ValueError('no')\n", "ValueError: no"),
        ("@hookimpl\ndef register_layers(register):\n    register('a')\n", "TypeError: "),
        ("@hookimpl\ndef register_layers(register):\n    import nowhere_at_all\n", "ModuleNotFoundError: "),
    ],
)
def test_a_hook_that_raises(gpudl: Run, distribution: Put, file: str, source: str, expected: str) -> None:
    distribution("gpudl-raising", f"from gpudl.hookspecs import hookimpl\n{source}")
    outcome = gpudl("train", file)
    assert outcome.code == 2
    assert f'plugin "gpudl-raising": register_layers failed: {expected}' in outcome.err


@pytest.mark.parametrize(
    ("kind", "name", "item", "expected"),
    [
        ("layers", "thing", "3", "expected a class"),
        ("layers", "thing", "len", "expected a class"),
        ("layers", "thing", "dict", "expected a class of kind layers"),
        ("optimizers", "thing", "__import__('gpudl').layers.Dense", "expected a class of kind optimizers"),
        ("activations", "thing", "3", "expected a function"),
        ("activations", "Thing", "abs", "use lower case letters, digits and underscores"),
        ("activations", "my thing", "abs", "use lower case letters, digits and underscores"),
        ("activations", "", "abs", "use lower case letters, digits and underscores"),
        ("activations", 3, "abs", "use lower case letters, digits and underscores"),
    ],
)
def test_a_thing_that_cannot_be_registered(
    gpudl: Run, distribution: Put, file: str, kind: str, name: Any, item: str, expected: str
) -> None:
    distribution("gpudl-odd", registering(kind, name, item))
    outcome = gpudl("train", file)
    assert outcome.code == 2
    assert f'gpudl-odd registers {kind} "{name}"' in outcome.err
    assert expected in outcome.err


def test_annotations_that_cannot_be_read(gpudl: Run, distribution: Put, here: Path) -> None:
    layer = (
        "from gpudl.layers import Layer\nclass Mine(Layer):\n    def __init__(self, units: 'Unknown') -> None: pass\n"
    )
    distribution("gpudl-annotated", registering("layers", "mine", "Mine", layer))
    (here / "x.toml").write_text(EXPERIMENT.replace('"amplify"\nfactor = 0.0625', '"mine"\nunits = 3'))
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    assert "Mine.__init__: its annotations cannot be read (NameError: name 'Unknown' is not defined)" in outcome.err


def test_a_layer_without_annotations(gpudl: Run, distribution: Put, here: Path) -> None:
    layer = (
        "from gpudl.layers import Layer\nclass Mine(Layer):\n"
        "    def __init__(self, a, b=2):\n        self.a, self.b = a, b\n"
        "    def call(self, x):\n        return x * self.b\n"
    )
    distribution("gpudl-plain", registering("layers", "mine", "Mine", layer))
    text = EXPERIMENT.replace('"square_relu"', '"relu"')
    (here / "x.toml").write_text(text.replace('"amplify"\nfactor = 0.0625', '"mine"\na = "any"'))
    assert gpudl("train", "x.toml").code == 0
    (here / "x.toml").write_text(text.replace('"amplify"\nfactor = 0.0625', '"mine"\nc = 3'))
    outcome = gpudl("train", "x.toml")
    assert outcome.code == 2
    assert 'x.toml:6: model.layers[1]: mine needs "a": a value\n' in outcome.err
    assert "x.toml:8: model.layers[1].c: mine has no setting of that name" in outcome.err


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("bad.py", "1 / 0", "--plugin bad.py: ZeroDivisionError: division by zero"),
        ("bad.py", "def", "--plugin bad.py: SyntaxError: "),
        ("bad.py", "import sys; sys.exit(3)", "--plugin bad.py: SystemExit: 3"),
        ("bad.txt", "", "--plugin bad.txt: not a Python file; its name must end in .py"),
    ],
)
def test_a_file_that_cannot_be_loaded(gpudl: Run, here: Path, file: str, name: str, source: str, expected: str) -> None:
    """One that is asked for by name is never skipped."""
    (here / name).write_text(source)
    outcome = gpudl("train", file, "--plugin", name)
    assert outcome.code == 2
    assert expected in outcome.err


def test_a_file_that_is_missing(gpudl: Run, here: Path, file: str) -> None:
    (here / "good.py").write_text(GOOD)
    outcome = gpudl("train", file, "--plugin", "god.py")
    assert (outcome.code, outcome.err) == (
        2,
        'error: --plugin god.py: there is no such file; did you mean "good.py"?\n',
    )
    outcome = gpudl("train", file, "--plugin", ".")
    assert (outcome.code, "--plugin .: is a folder" in outcome.err) == (2, True)


def test_a_file_named_twice_counts_once(gpudl: Run, here: Path, file: str) -> None:
    (here / "good.py").write_text(GOOD)
    assert gpudl("train", file, "--dry-run", "--plugin", "good.py", "--plugin", "good.py").code == 0


# The hooks themselves


@pytest.mark.parametrize("kind", hookspecs.KINDS)
def test_every_hook_is_documented_and_used_by_gpudl_itself(kind: str) -> None:
    hook = getattr(hookspecs, f"register_{kind}")
    assert inspect.getdoc(hook)
    assert hasattr(hook, "gpudl_spec")
    assert hasattr(getattr(builtins, f"register_{kind}"), "gpudl_impl")
    owners = {owner for owner, _, _ in Manager().registrations(kind)}
    assert "gpudl" in owners or kind == "commands"


def test_built_ins_come_first(distribution: Put) -> None:
    distribution("a-plugin", GOOD)
    owners = [owner for owner, _, _ in Manager().registrations("layers")]
    assert owners == sorted(owners, key=lambda owner: owner != "gpudl")
    assert "a-plugin" in owners


def test_strict_manager(distribution: Put) -> None:
    distribution("gpudl-broken", "1 / 0")
    with pytest.raises(PluginError, match="gpudl-broken"):
        Manager(strict=True)
