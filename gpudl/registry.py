"""Names of building blocks: `Dense(activation="relu")` and `type = "dense"` are looked up here.

A kind ("layers", "optimizers", ...) is empty until its first look-up; then the plugin manager fills it through the
hook `register_<kind>`. The manager sits floors above and is called by its dotted name: the one upward edge of the
house, so that layers find plugins without importing them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from gpudl.errors import PluginError, UnknownNameError, UsageError, did_you_mean
from gpudl.hookspecs import KINDS

FUNCTIONS = ("activations", "commands", "losses", "metrics")
"""The kinds of which a plain function may be one."""

_tables: dict[str, dict[str, Any]] = {}
_owners: dict[tuple[str, str], str] = {}


def table(kind: str) -> dict[str, Any]:
    """Return every registered name of a kind with its class or function."""
    if kind not in _tables:
        if kind not in KINDS:
            raise UnknownNameError(f'"{kind}" is not a kind of building block; known: {", ".join(KINDS)}')
        manager = importlib.import_module("gpudl.plugins.manager")
        names: dict[str, Any] = {}
        for owner, name, item in manager.registrations(kind):
            if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise PluginError(f'{owner} registers {kind} "{name}"; use lower case letters, digits and underscores')
            _check_item(owner, kind, name, item)
            if name in names:
                raise PluginError(
                    f'{kind}: the name "{name}" is registered by {owner}, but {_owners[kind, name]} has it already; '
                    "rename one of them"
                )
            names[name] = item
            _owners[kind, name] = owner
        _tables[kind] = names
    return _tables[kind]


def _check_item(owner: str, kind: str, name: str, item: Any) -> None:
    """Raises: PluginError where a thing is registered among those of another kind."""
    if inspect.isclass(item):
        fits, expected = getattr(item, "kind", None) == kind, f"a class of kind {kind}"
    else:
        fits, expected = callable(item) and kind in FUNCTIONS, "a function" if kind in FUNCTIONS else "a class"
    if not fits:
        raise PluginError(
            f'{owner} registers {kind} "{name}" as {item!r}, expected {expected}; '
            f"see register_{kind} in gpudl.hookspecs"
        )


def forget() -> None:
    """Empty every table, so that plugins registered since are seen at the next look-up."""
    _tables.clear()
    _owners.clear()


def owner(kind: str, name: str) -> str:
    """Return which plugin registered a name."""
    table(kind)
    return _owners[kind, name]


def singular(kind: str) -> str:
    """Return what one of a kind is called: "layers" are each a "layer"."""
    return {"losses": "loss"}.get(kind, kind.removesuffix("s"))


def snake_case(name: str) -> str:
    """Turn Keras's class names into registry names: `GlorotUniform` to `glorot_uniform`, `Conv2D` to `conv2d`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return spaced.lower()


def lookup(kind: str, name: str) -> Any:
    """Return the class or function of a name. Raises: UnknownNameError, with the nearest known name."""
    names = table(kind)
    for candidate in (name, snake_case(name), name.lower()):
        if candidate in names:
            return names[candidate]
    for item in names.values():  # a class name that snake case does not lead to: TerminateOnNaN, InputLayer
        if getattr(item, "__name__", None) == name:
            return item
    hint = did_you_mean(snake_case(name), names) or "; known: " + ", ".join(sorted(names))
    raise UnknownNameError(f'unknown {singular(kind)} "{name}"{hint}')


def name_of(kind: str, item: Any) -> str:
    """Return the name a class or function is registered under. Raises: UsageError where it has none."""
    for name, registered in table(kind).items():
        if registered is item:
            return name
    raise UsageError(
        f"{getattr(item, '__name__', item)} is not registered among the {kind}; "
        f"a plugin's register_{kind} hook gives it a name, which saved models and experiment files need"
    )


def resolve(kind: str, spec: Any) -> Any:
    """Turn what a constructor accepts into an object: a name, `{"type": name, ...}`, a class, or the object itself."""
    if isinstance(spec, str):
        item = lookup(kind, spec)
        return item() if inspect.isclass(item) else item
    if isinstance(spec, dict):
        settings = dict(spec)
        if "type" not in settings:
            raise UsageError(f'{kind}: {spec!r} has no "type"')
        item = lookup(kind, settings.pop("type"))
        return getattr(item, "from_config")(settings) if inspect.isclass(item) else item  # noqa: B009  any registered class
    return spec() if inspect.isclass(spec) else spec


def describe(kind: str, item: Any) -> Any:
    """The inverse of `resolve`: a name, or a dict with `type` and the settings, ready for JSON or TOML."""
    if item is None or isinstance(item, (str, dict)):
        return item
    if not hasattr(item, "get_config"):
        return name_of(kind, item)
    return {"type": name_of(kind, type(item)), **item.get_config()}
