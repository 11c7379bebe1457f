"""The line of a key, also in files whose lines are hard to tell apart."""

from __future__ import annotations

import tomllib
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl.experiment.positions import Path, dotted, line_numbers, nearest_line

TEXT = '''\
# [not.a.table]
top = """
[model]
units = 1
"""
list = [
    { units = 2 },  # ]
    "]", "#",
]
[model]
"quoted key" = 1 # = [
name.first = 2
[[model.layers]]
units = 3
  [ model . deep ]
  units = 4 # {
[[model.layers]]
text = \'\'\'one [ line\'\'\'
units = 5
[model.layers.inner]
units = 6
[[model.layers.parts]]
[[model.layers.parts]]
units = 7
'''


def test_lines() -> None:
    tomllib.loads(TEXT)
    lines = line_numbers(TEXT)
    assert lines == {
        ("top",): 2,
        ("list",): 6,
        ("model",): 10,
        ("model", "quoted key"): 11,
        ("model", "name"): 12,
        ("model", "name", "first"): 12,
        ("model", "layers"): 13,
        ("model", "layers", 0): 13,
        ("model", "layers", 0, "units"): 14,
        ("model", "deep"): 15,
        ("model", "deep", "units"): 16,
        ("model", "layers", 1): 17,
        ("model", "layers", 1, "text"): 18,
        ("model", "layers", 1, "units"): 19,
        ("model", "layers", 1, "inner"): 20,
        ("model", "layers", 1, "inner", "units"): 21,
        ("model", "layers", 1, "parts"): 22,
        ("model", "layers", 1, "parts", 0): 22,
        ("model", "layers", 1, "parts", 1): 23,
        ("model", "layers", 1, "parts", 1, "units"): 24,
    }


def test_the_line_of_what_the_file_does_not_have() -> None:
    lines = line_numbers(TEXT)
    assert nearest_line(lines, ("model", "layers", 1, "filters")) == 17
    assert nearest_line(lines, ("model", "layers", 1, "parts", 1, "a", 3, "b")) == 23
    assert nearest_line(lines, ("list", 0, "units")) == 6
    assert nearest_line(lines, ("training", "epochs")) is None
    assert nearest_line({}, ()) is None


def test_signs_that_end_a_line_elsewhere_only() -> None:
    """Unicode has line ends that TOML has not."""
    assert line_numbers('a = "\u2028"\nb = "\x85"\n# \x0b \x0c\nc = 1')[("c",)] == 4


def test_dotted() -> None:
    assert dotted(("model", "layers", 0, "units")) == "model.layers[0].units"
    assert dotted(("run",)) == "run"


NAMES = st.text(st.sampled_from("ab_-9 .#[='"), min_size=1, max_size=4)
VALUES = st.one_of(st.integers(), st.booleans(), st.text(st.sampled_from("a[]{}#'= \n"), max_size=8))
TABLES: Any = st.recursive(
    st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=3), max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | VALUES | st.lists(inner, min_size=1, max_size=3), max_size=4),
    max_leaves=6,
)


def plain_keys(table: dict[str, Any], above: Path = ()) -> list[Path]:
    found: list[Path] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += plain_keys(value, (*above, name))
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for i, item in enumerate(value):
                found += plain_keys(item, (*above, name, i))
        else:
            found.append((*above, name))
    return found


@given(table=TABLES)
@settings(max_examples=300)
def test_every_key_stands_on_its_line(table: dict[str, Any]) -> None:
    """Taken away from its line on, a key is gone from the file; up to its line, it is there or begins there."""
    text = tomli_w.dumps(table)
    lines = text.split("\n")
    numbers = line_numbers(text)
    for path in plain_keys(table):
        number = nearest_line(numbers, path)
        assert number is not None
        name = str(path[-1])
        line = lines[number - 1]
        written = tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
        # A table in an array may be written in one line; then that line has it somewhere.
        assert line.startswith(f"{written} = ") or path not in numbers


def test_strings_of_several_lines() -> None:
    text = '''\
a = "\'\'\'"
b = [ """x ]
[not.a.table]
""", "[",
]
c = \'\'\' \\
d = 1
\'\'\' # "
e = "\\"[" # \'\'\'
f = """ \\""" [
"""
g = """"quoted\"\""""
h = 1
'''
    tomllib.loads(text)
    numbers = {"a": 1, "b": 2, "c": 6, "e": 9, "f": 10, "g": 12, "h": 13}
    assert line_numbers(text) == {(name,): number for name, number in numbers.items()}
