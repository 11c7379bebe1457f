"""All that is wrong in an experiment file, at once: each problem with its key, line, what was expected, and a hint."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

from pydantic import ValidationError

from gpudl import registry
from gpudl.errors import GpudlError, UsageError, did_you_mean
from gpudl.experiment.positions import Path, dotted, nearest_line
from gpudl.experiment.schema import Setting, article, describe, model_of, settings_of
from gpudl.registry import singular


def shown(value: Any) -> str:
    """Write a value of the file for a message, with its type in words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value}"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(str(item).lower() if isinstance(item, bool) else repr(item) for item in value)}]"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (date, time)):
        return f"the date or time {value.isoformat()}"
    return repr(value)


def is_number(value: Any, *types: type) -> bool:
    """Whether a value is of these number types; true and false are no numbers."""
    return isinstance(value, types) and not isinstance(value, bool)


@dataclass
class Problems:
    """What was found wrong so far, and where keys stand."""

    file: str
    lines: dict[Path, int]
    overridden: dict[Path, str] = field(default_factory=dict)
    found: list[tuple[Path, str]] = field(default_factory=list)

    def add(self, path: Path, message: str) -> None:
        if (path, message) not in self.found:
            self.found.append((path, message))

    def where(self, path: Path) -> str:
        """`file:line: key`, or the --set option the value came from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overridden:
                return _origin(self.overridden[path[:length]], path)
        if path not in self.lines:
            for key, origin in self.overridden.items():
                if key[: len(path)] == path:
                    return _origin(origin, path)
        line = nearest_line(self.lines, path)
        return f"{self.file}{f':{line}' if line else ''}: {dotted(path)}"

    @contextmanager
    def catching(self, path: Path) -> Iterator[None]:
        """Raise what is refused within as a problem of this key, along with all that was found before."""
        try:
            yield
        except UsageError as error:
            self.add(path, str(error))
        except (ValueError, OverflowError) as error:  # NumPy's, of a size beyond all bounds
            self.add(path, f"cannot be built: {error}")
        self.raise_any()

    def raise_any(self) -> None:
        """Raises: UsageError with all problems, in the order of the file."""
        if self.found:
            ordered = sorted(self.found, key=lambda item: nearest_line(self.lines, item[0]) or 0)
            raise UsageError("\n".join(f"{self.where(path)}: {message}" for path, message in ordered))


_NAME = Setting("name", str, ..., None)
"""A layer's, which need not say so itself."""


def _origin(option: str, path: Path) -> str:
    """Name the option a value came from, and the key unless the option says it."""
    return option if option.endswith(f" {dotted(path)}") else f"{option}: {dotted(path)}"


def check_settings(
    owner: str,
    settings: tuple[Setting, ...],
    table: Mapping[str, Any],
    path: Path,
    problems: Problems,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Check a table against settings; return it with every default filled in, nested building blocks included.

    `also` names keys that are checked elsewhere, for hints only.
    """
    by_name = {setting.name: setting for setting in settings}
    try:
        checked = model_of(owner, settings).model_validate(dict(table))
        values = checked.model_dump(by_alias=True)
    except ValidationError as error:
        values = {s.name: None if s.required else s.default for s in settings} | dict(table)
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0])
            if detail["type"] == "extra_forbidden":
                known = sorted((*by_name, *also))
                hint = did_you_mean(name, known) or f"; {owner} takes {', '.join(known) or 'no settings'}"
                problems.add((*path, name), f"{owner} has no setting of that name{hint}")
            elif detail["type"] == "missing" and len(detail["loc"]) == 1:  # not the missing entry of a list
                problems.add(path, f'{owner} needs "{name}": {by_name[name].expected}')
            elif name in by_name:
                problems.add((*path, name), f"expected {by_name[name].expected}, but got {shown(table[name])}")
    for setting in settings:
        if setting.kind is not None and setting.name in table:
            values[setting.name] = _check_nested(setting, table[setting.name], (*path, setting.name), problems)
    unsaid = {s.name for s in settings if s.default is ... and s.name not in table}
    return {name: value for name, value in values.items() if name not in unsaid}


def _check_nested(setting: Setting, value: Any, path: Path, problems: Problems) -> Any:
    kind = setting.kind or ""
    if isinstance(value, str) and "a number" in describe(setting.annotation) and _reads_as_number(value):
        problems.add(path, f"expected a number, but got {shown(value)}; write it without quotes")
        return value
    if isinstance(value, (str, dict)):
        return check_block(kind, value, path, problems)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and "a number" in describe(setting.annotation):
        return value
    problems.add(path, f"expected {setting.expected}, but got {shown(value)}")
    return value


def _reads_as_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def check_block(kind: str, value: Any, path: Path, problems: Problems) -> Any:
    """Check a name or a table with `type`; return the name, or the table with every default filled in."""
    one = singular(kind)
    a_name = f"the name of {article(one)}"
    if isinstance(value, str):
        item = _find(kind, value, path, problems)
        needed = [s for s in settings_of(item) if s.required] if inspect.isclass(item) else []
        if needed:
            written = f'{{ type = "{value}", {needed[0].name} = ... }}'
            problems.add(path, f'{one} "{value}" needs "{needed[0].name}": {needed[0].expected}; write {written}')
        return value
    if not isinstance(value, Mapping):
        problems.add(path, f'expected {a_name}, or a table with "type", but got {shown(value)}')
        return value
    if "type" not in value:
        near = next((key for key in value if did_you_mean(key, ["type"])), None)
        hint = "" if near is None else f'; did you mean "type" by "{near}"?'
        problems.add(path, f'needs "type", {a_name}{hint}')
        return dict(value)
    if not isinstance(value["type"], str):
        problems.add((*path, "type"), f"expected {a_name}, but got {shown(value['type'])}")
        return dict(value)
    item = _find(kind, value["type"], (*path, "type"), problems)
    if item is None:
        return dict(value)
    rest = {name: v for name, v in value.items() if name != "type"}
    settings = settings_of(item)
    if kind == "layers" and not any(s.name == "name" for s in settings):
        settings = (*settings, _NAME)
    return {"type": value["type"], **check_settings(value["type"], settings, rest, path, problems)}


def _find(kind: str, name: str, path: Path, problems: Problems) -> Any:
    try:
        return registry.lookup(kind, name)
    except GpudlError as error:
        if kind == "layers" and name in registry.table("activations"):
            problems.add(path, f'"{name}" is an activation; write type = "activation" and activation = "{name}"')
        else:
            problems.add(path, str(error))
        return None


def build_block(kind: str, value: Any, path: Path, problems: Problems) -> Any:
    """Make the object of a checked block; what its constructor refuses becomes a problem, and None is returned."""
    try:
        return registry.resolve(kind, value if isinstance(value, str) else {k: _tuples(v) for k, v in value.items()})
    except GpudlError as error:
        problems.add(_blamed(value, str(error), path), str(error))
    except (TypeError, ValueError, OverflowError) as error:
        problems.add(path, f"{type(error).__name__}: {error}")
    return None


def _blamed(value: Any, message: str, path: Path) -> Path:
    """Return the path of the setting that a constructor's message shows as `name=value`, else that of the block."""
    names = [name for name in value if re.search(rf"\b{re.escape(name)}=", message)] if isinstance(value, dict) else []
    return (*path, names[0]) if len(names) == 1 else path


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
