"""`gpudl describe`: every name is described, with the settings its constructor takes."""

from __future__ import annotations

import inspect

import pytest

from gpudl import registry
from gpudl.cli import main
from gpudl.hookspecs import KINDS

NAMES = [(kind, name) for kind in KINDS if kind != "commands" for name in registry.table(kind)]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_name(capsys: pytest.CaptureFixture[str], kind: str, name: str) -> None:
    assert main(["describe", name]) == 0
    shown = capsys.readouterr().out
    item = registry.lookup(kind, name)
    assert (inspect.getdoc(item) or "?").split()[0] in shown
    if inspect.isclass(item):
        for parameter in list(inspect.signature(item.__init__).parameters.values())[1:]:
            assert parameter.kind is parameter.VAR_KEYWORD or parameter.name in shown


@pytest.mark.parametrize("section", ["run", "data", "model", "training"])
def test_every_section(capsys: pytest.CaptureFixture[str], section: str) -> None:
    assert main(["describe", section]) == 0
    assert f"[{section}]" in capsys.readouterr().out


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "conv2"]) == 2
    assert 'nothing is called "conv2"; did you mean "conv2d"?' in capsys.readouterr().err
