"""From a constructor's annotations to settings, words and checks."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, Unpack

import pytest

from gpudl.activations import Activation
from gpudl.errors import PluginError
from gpudl.experiment.checking import Problems, check_settings, shown
from gpudl.experiment.schema import article, describe, settings_of, singular
from gpudl.initializers import Initializer
from gpudl.losses import Loss


class More(TypedDict, total=False):
    extra: str | None
    flag: bool


class Everything:
    def __init__(
        self,
        count: int,
        share: float = 0.5,
        size: int | tuple[int, int] = 3,
        mode: Literal["min", "max"] = "min",
        weights: list[float] | None = None,
        start: str | Initializer = "zeros",
        wrong: Loss | None = None,
        act: str | Activation | None = None,
        table: dict[str, int] | None = None,
        model_config: str = "a name that pydantic keeps for itself",
        anything=None,
        **more: Unpack[More],
    ) -> None: ...


def check(table: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    problems = Problems("f.toml", {})
    values = check_settings("thing", settings_of(Everything), table, ("a",), problems)
    return values, [f"{'.'.join(map(str, path))}: {message}" for path, message in problems.found]


def test_settings() -> None:
    settings = {s.name: s for s in settings_of(Everything)}
    assert list(settings) == [
        "count",
        "share",
        "size",
        "mode",
        "weights",
        "start",
        "wrong",
        "act",
        "table",
        "model_config",
        "anything",
        "extra",
        "flag",
    ]
    assert [name for name, s in settings.items() if s.required] == ["count"]
    assert {name: s.kind for name, s in settings.items() if s.kind} == {
        "start": "initializers",
        "wrong": "losses",
        "act": "activations",
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("count", "an integer"),
        ("share", "a number"),
        ("size", "an integer or two integers"),
        ("mode", '"min" or "max"'),
        ("weights", "a list of numbers"),
        ("start", 'the name of an initializer, or a table with "type"'),
        ("wrong", 'the name of a loss, or a table with "type"'),
        ("act", 'the name of an activation, or a table with "type"'),
        ("table", "a table"),
        ("anything", "a value"),
        ("extra", "text"),
        ("flag", "true or false"),
    ],
)
def test_words(name: str, words: str) -> None:
    assert {s.name: s for s in settings_of(Everything)}[name].expected == words


def test_defaults_are_filled_in_and_what_is_unsaid_stays_so() -> None:
    assert check({"count": 3}) == (
        {
            "count": 3,
            "share": 0.5,
            "size": 3,
            "mode": "min",
            "weights": None,
            "start": "zeros",
            "wrong": None,
            "act": None,
            "table": None,
            "model_config": "a name that pydantic keeps for itself",
            "anything": None,
            "extra": None,
        },
        [],
    )


@pytest.mark.parametrize(
    "table",
    [
        {"share": 1},
        {"size": [3, 5]},
        {"mode": "max"},
        {"weights": [1, 2.5]},
        {"weights": []},
        {"start": {"type": "random_normal", "stddev": 1}},
        {"act": "relu"},
        {"table": {"a": 1}},
        {"anything": [1, "a"]},
        {"flag": True},
    ],
)
def test_what_is_accepted(table: dict[str, Any]) -> None:
    values, problems = check({"count": 3, **table})
    assert problems == []
    [name] = table
    if name != "start":
        assert values[name] == table[name] or tuple(table[name]) == values[name]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"count": True}, "a.count: expected an integer, but got true"),
        ({"count": 1.0}, "a.count: expected an integer, but got 1.0"),
        ({"count": "1"}, 'a.count: expected an integer, but got the text "1"'),
        ({"share": True}, "a.share: expected a number, but got true"),
        ({"share": "1"}, 'a.share: expected a number, but got the text "1"'),
        ({"size": [3]}, "a.size: expected an integer or two integers, but got [3]"),
        ({"size": [3, True]}, "a.size: expected an integer or two integers, but got [3, true]"),
        ({"size": [3, 3.0]}, "a.size: expected an integer or two integers, but got [3, 3.0]"),
        ({"mode": "mean"}, 'a.mode: expected "min" or "max", but got the text "mean"'),
        ({"weights": [1, "a"]}, "a.weights: expected a list of numbers, but got [1, 'a']"),
        ({"weights": 1}, "a.weights: expected a list of numbers, but got 1"),
        ({"start": 3}, 'a.start: expected the name of an initializer, or a table with "type", but got 3'),
        ({"wrong": []}, 'a.wrong: expected the name of a loss, or a table with "type", but got []'),
        ({"start": "zeroes"}, 'a.start: unknown initializer "zeroes"; did you mean "zeros"?'),
        (
            {"start": {"typ": "zeros"}},
            'a.start: needs "type", the name of an initializer; did you mean "type" by "typ"?',
        ),
        ({"start": {"type": 3}}, "a.start.type: expected the name of an initializer, but got 3"),
        ({"start": "constant", "wieghts": 1}, 'a.wieghts: thing has no setting of that name; did you mean "weights"?'),
        ({"table": {"a": "b"}}, "a.table: expected a table, but got a table"),
        ({"flag": 1}, "a.flag: expected true or false, but got 1"),
    ],
)
def test_what_is_refused(table: dict[str, Any], problem: str) -> None:
    assert check({"count": 3, **table})[1] == [problem]


def test_missing_setting_and_unknown_one_together() -> None:
    assert check({"zzz": 1})[1] == [
        'a: thing needs "count": an integer',
        "a.zzz: thing has no setting of that name; thing takes act, anything, count, extra, flag, mode, model_config, "
        "share, size, start, table, weights, wrong",
    ]


def test_functions_have_no_settings() -> None:
    assert settings_of(len) == ()


def test_annotations_that_cannot_be_read() -> None:
    class Broken:
        def __init__(self, x: NotImportedAnywhere) -> None: ...  # noqa: F821  # pyright: ignore

    with pytest.raises(PluginError, match=r"Broken.__init__: its annotations cannot be read \(NameError: "):
        settings_of(Broken)


def test_small_words() -> None:
    assert [singular(kind) for kind in ("layers", "losses", "metrics")] == ["layer", "loss", "metric"]
    assert [article(word) for word in ("layer", "optimizer", "activation")] == [
        "a layer",
        "an optimizer",
        "an activation",
    ]
    assert describe(tuple[int, ...]) == "a list of integers"
    assert shown([True, "a", 1]) == "[true, 'a', 1]"
