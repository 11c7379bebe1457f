"""What holds for the whole of the package: floors, names, light imports, exports, and what is in the wheel."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import gpudl
from gpudl import registry
from gpudl.configurable import Configurable
from gpudl.experiment.checking import Problems, check_settings
from gpudl.experiment.schema import settings_of
from gpudl.hookspecs import KINDS
from gpudl.plugins import builtins
from gpudl.schedules import ExponentialDecay

ROOT = Path(__file__).parents[2]
PACKAGE = Path(gpudl.__file__).parent


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def named(kind: str) -> Iterator[tuple[str, Any]]:
    """What gpudl itself registers of a kind."""
    found: list[tuple[str, Any]] = []
    getattr(builtins, f"register_{kind}")(lambda name, item: found.append((name, item)))
    return iter(found)


REGISTERED = [pytest.param(kind, name, item, id=f"{kind}-{name}") for kind in KINDS for name, item in named(kind)]

# A value for every setting that has no default, by its name.
NEEDED: dict[str, Any] = {
    "backup_dir": "backup",
    "function": "relu",
    "activation": "relu",
    "axes": 1,
    "boundaries": [10, 20],
    "decay_rate": 0.5,
    "decay_steps": 10,
    "factor": 0.25,
    "filepath": "{epoch}.safetensors",
    "filename": "log.csv",
    "dims": (2, 1),
    "filters": 2,
    "height": 8,
    "height_factor": 0.25,
    "first_decay_steps": 10,
    "initial_learning_rate": 0.1,
    "input_dim": 5,
    "kernel_size": 3,
    "num_classes": 2,
    "n": 3,
    "output_dim": 2,
    "path": "table.csv",
    "precision": 0.5,
    "rate": 0.5,
    "recall": 0.5,
    "scale": 0.5,
    "sensitivity": 0.5,
    "schedule": registry.describe("schedules", ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)),
    "shape": (4,),
    "specificity": 0.5,
    "stddev": 0.5,
    "target": "kind",
    "target_class_ids": [0],
    "target_shape": (4,),
    "units": 3,
    "value": 0.5,
    "width": 8,
    "width_factor": 0.25,
    "values": [0.1, 0.05, 0.01],
}


def test_floors() -> None:
    """The contract of import-linter: a file imports only from floors below its own."""
    lint = shutil.which("lint-imports") or shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if lint is None:
        pytest.skip("import-linter, of the dev extra, is not installed")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the contract is in pyproject.toml, which is not beside the tests")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


# Names


@pytest.mark.parametrize(("kind", "name", "item"), REGISTERED)
def test_what_is_registered_is_documented(kind: str, name: str, item: Any) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    documentation = item.__doc__
    assert documentation, f"{item} has no docstring of its own"
    assert documentation.strip().splitlines()[0].strip()[-1] in ".:;" or len(documentation) > 40
    assert registry.lookup(kind, name) is item


@pytest.mark.parametrize(("kind", "name", "item"), REGISTERED)
def test_what_is_registered_comes_back_from_its_settings(kind: str, name: str, item: Any) -> None:
    if not inspect.isclass(item):
        assert kind in registry.FUNCTIONS
        assert settings_of(item) == ()
        return
    assert issubclass(item, Configurable)
    assert item.kind == kind
    required = ["shape"] if name == "input" else [s.name for s in settings_of(item) if s.required]
    unknown = sorted(set(required) - set(NEEDED))
    assert not unknown, f"put a value for {unknown} into NEEDED"
    given = {setting: NEEDED[setting] for setting in required}
    one = item(**given)
    config = json.loads(json.dumps(one.get_config()))
    again = item.from_config(dict(config))
    assert type(again) is item
    assert again.get_config() == one.get_config()
    assert registry.resolve(kind, {"type": name, **config}).get_config() == one.get_config()

    # The same through the schema of the experiment file, which fills in the same defaults.
    problems = Problems("x.toml", {})
    checked = check_settings(name, settings_of(item), json.loads(json.dumps(given)), (kind,), problems)
    assert problems.found == []
    assert {s.name for s in settings_of(item) if s.default is not ...} <= set(checked)
    if name != "sequential":  # its configuration also says for which samples it was built
        for setting, value in checked.items():
            if setting in config and value is not None and setting != "name":
                assert json.loads(json.dumps(value)) == config[setting], setting


def test_all_settings_of_built_ins_have_words() -> None:
    """What a setting expects can be said, so that no message ends in nothing."""
    silent = [
        f"{kind} {name}: {setting.name}"
        for kind in KINDS
        for name, item in named(kind)
        for setting in settings_of(item)
        if "cannot be written in TOML" in setting.expected and (kind, name) != ("layers", "sequential")
    ]
    assert silent == []


# Light imports


def imported_by(code: str) -> set[str]:
    """The top-level modules a fresh interpreter has imported after some code, no plugin being installed."""
    code = f"import importlib.metadata\nimportlib.metadata.entry_points = lambda **which: ()\n{code}"
    code += "\nimport sys\nsys.stderr.write('MODULES ' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("MODULES ")[2].split())


HEAVY = {"cupy", "h5py", "jinja2", "keras", "matplotlib", "numpy", "PIL", "pooch", "pydantic", "safetensors", "torch"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    modules = imported_by(f"from gpudl.cli import main\nassert main({arguments!r}) == 0")
    by_typer = {"pydantic"} if len(arguments) > 1 else set()  # newer versions check a command's arguments with it
    assert modules & (HEAVY - by_typer) == set()
    assert {"gpudl", "typer"} <= modules


def test_import_gpudl_is_light() -> None:
    modules = imported_by("import gpudl\nassert gpudl.__version__")
    assert modules & (HEAVY | {"rich", "typer"}) == set()


def test_a_network_needs_no_extra() -> None:
    modules = imported_by(
        "import gpudl\n"
        "model = gpudl.Sequential([gpudl.Input((3,)), gpudl.layers.Dense(2, 'relu')])\n"
        "model.compile('adam', 'mse')\n"
        "model.fit([[1.0, 2.0, 3.0]], [[1.0, 2.0]], verbose=0)"
    )
    assert modules & (HEAVY - {"numpy"}) == set()
    assert "numpy" in modules


# The package


def test_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert gpudl.__version__ == version("gpudl") == project["version"]


def test_every_public_name_is_there() -> None:
    for name in gpudl.__all__:
        assert getattr(gpudl, name) is not None
    assert set(gpudl.__all__) <= set(dir(gpudl))
    with pytest.raises(AttributeError, match="module 'gpudl' has no attribute 'nothing'"):
        gpudl.nothing  # noqa: B018


def test_no_paths_of_a_persons_machine() -> None:
    home = re.compile(r"/(home|Users|root)/|[A-Z]:\\\\")
    files = [p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".cu", ".cuh", ".toml", ".txt", ".md")]
    assert len(files) > 50
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not home.search(line), f"{file}:{number}: {line}"


def differentiable(file: Path) -> list[str]:
    """The names of the functions of a file that are decorated with @differentiable or @without_gradient."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            names = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
            if any(isinstance(n, ast.Name) and n.id in ("differentiable", "without_gradient") for n in names):
                found.append(node.name)
    return found


def test_every_op_is_exported() -> None:
    from gpudl import ops

    files = [p for p in (PACKAGE / "ops").glob("*.py") if p.name != "__init__.py"]
    names = [name for file in files for name in differentiable(file)]
    assert {"conv2d", "max_pool2d", "softmax"} <= set(names)
    for name in names:
        if not name.startswith("_") and not name.endswith(("_of_softmax", "_of_sigmoid")):
            assert hasattr(ops, name), f"gpudl.ops does not export {name}"
            assert inspect.getdoc(getattr(ops, name)), f"gpudl.ops.{name} has no docstring"


def test_every_module_is_documented() -> None:
    """A file of one class or function may leave it to that."""
    for file in sources():
        tree = ast.parse(file.read_text())
        public = [
            node
            for node in tree.body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
        ]
        documented = ast.get_docstring(tree) or any(ast.get_docstring(node) for node in public)
        assert documented or not tree.body, f"{file} says nowhere what it is"


def test_the_wheel_has_every_file(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        ".",
    ]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {
        f"gpudl/{p.relative_to(PACKAGE).as_posix()}"
        for p in PACKAGE.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and not p.name.startswith(".")
    }
    assert "gpudl/datasets/data/digits.npz" in expected
    assert expected <= inside, f"missing in the wheel: {sorted(expected - inside)}"
