"""The kernels of both libraries are twins: the same functions with the same parameters; read, not imported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

BACKEND = Path(__file__).parents[2] / "gpudl" / "backend"
STEMS = sorted({p.stem for p in (BACKEND / "numpy").glob("*.py")} & {p.stem for p in (BACKEND / "cupy").glob("*.py")})


def functions(path: Path) -> dict[str, list[str]]:
    """The public functions of a file, with the names of their parameters."""
    body = ast.parse(path.read_text()).body
    return {
        f.name: [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
        for f in body
        if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")
    }


@pytest.mark.parametrize("stem", [stem for stem in STEMS if stem != "__init__"])
def test_twins_have_the_same_functions(stem: str) -> None:
    numpy, cupy = (functions(BACKEND / library / f"{stem}.py") for library in ("numpy", "cupy"))
    assert numpy == {name: parameters for name, parameters in cupy.items() if name in numpy}
    assert set(cupy) == set(numpy)


def test_every_family_of_kernels_is_there_twice() -> None:
    called = {
        stem
        for path in (BACKEND.parent / "ops").glob("*.py")
        for stem in re.findall(r'kernels\("(\w+)"', path.read_text())
    }
    assert called and called <= set(STEMS)


def test_every_kernel_has_a_launcher() -> None:
    launchers = "".join(path.read_text() for path in (BACKEND / "cupy").glob("*.py"))
    for source in (BACKEND / "cupy").glob("*.cu"):
        kernels = re.findall(
            r'extern "C" __global__ void (?:__launch_bounds__\([\w, *]+\)\s+)?(\w+)\(', source.read_text()
        )
        assert kernels, source.name
        for kernel in kernels:
            assert f'"{kernel}"' in launchers, f"{source.name}: {kernel}"
