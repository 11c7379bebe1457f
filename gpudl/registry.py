"""Names of building blocks: `Dense(activation="relu")` and `type = "dense"` are looked up here.

A kind ("layers", "optimizers", ...) is empty until its first look-up; then the plugin manager fills it through the
hook `register_<kind>`. The manager sits floors above and is called by its dotted name: the one upward edge of the
house, so that layers find plugins without importing them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from gpudl.errors import NotLentError, PluginError, UnknownNameError, UsageError, did_you_mean
from gpudl.hookspecs import KINDS

FUNCTIONS = ("activations", "commands", "losses", "metrics")
"""The kinds of which a plain function may be one."""

PLAIN_FUNCTIONS = (*FUNCTIONS, "constraints", "initializers", "regularizers")
"""The kinds of which a program's own function may be one, registered by plugins or not."""

OWN = ">"
"""Begins what a description calls a class or function that no registry knows: `>Scaled` is a program's own `Scaled`."""

_tables: dict[str, dict[str, Any]] = {}
_owners: dict[tuple[str, str], str] = {}
_entered: dict[tuple[str, str], tuple[str, Any]] = {}
"""By kind and name: what the program itself registered, after its owner, such as `Custom>Scaled`."""

custom_objects: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects", default=MappingProxyType({}))
"""What the program lends for a while under names of its own: `custom_object_scope` sets it."""


def table(kind: str) -> dict[str, Any]:
    """Return every registered name of a kind with its class or function."""
    if kind not in _tables:
        if kind not in KINDS:
            raise UnknownNameError(f'"{kind}" is not a kind of building block; known: {", ".join(KINDS)}')
        manager = importlib.import_module("gpudl.plugins.manager")
        names: dict[str, Any] = {}
        entered = [(owner, name, item) for (of, name), (owner, item) in _entered.items() if of == kind]
        for owner, name, item in [*manager.registrations(kind), *entered]:
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


def enter(kind: str, name: str, owner: str, item: Any) -> None:
    """Register what a program defines. Defined anew, as when a cell runs again, it takes the place of the older one.

    Raises: PluginError, naming both, where the name is another's.
    """
    names = table(kind)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PluginError(f'{owner}: "{name}" is no name for a file; use letters, digits and underscores')
    _check_item(owner, kind, name, item)
    if name in names and not ((kind, name) in _entered and _same(names[name], item)):
        raise PluginError(
            f'{kind}: the name "{name}", of {_place(item)}, is taken by {_place(names[name])} of '
            f'{_owners[kind, name]}; give another, as in register_keras_serializable(name="My{item.__name__}")'
        )
    _entered[kind, name] = owner, item
    names[name] = item
    _owners[kind, name] = owner


def entered() -> dict[str, Any]:
    """Return what the program itself registered, by package and name: `Custom>Scaled`."""
    return dict(_entered.values())


def entered_as(item: Any) -> str | None:
    """Return the package and name under which the program registered a class or function."""
    return next((owner for owner, entered in _entered.values() if _same(entered, item)), None)


def _place(item: Any) -> str:
    return f"{item.__module__}.{item.__qualname__}"


def _same(one: Any, other: Any) -> bool:
    """Whether two are one definition, which may have run twice."""
    return one is other or _place(one) == _place(other)


def forget() -> None:
    """Empty every table, so that plugins registered since are seen at the next look-up.

    What the program itself entered stays.
    """
    _tables.clear()
    _owners.clear()


def owner(kind: str, name: str) -> str:
    """Return which plugin registered a name; for what a program registered, its package and name: `Custom>Scaled`."""
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
    if name.startswith(OWN):
        return _lent(kind, name.removeprefix(OWN))
    for candidate in (name, snake_case(name), name.lower()):
        if candidate in names:
            return names[candidate]
    for item in names.values():  # a class name that snake case does not lead to: TerminateOnNaN, InputLayer
        if getattr(item, "__name__", None) == name:
            return item
    for (_, entered), (owner, item) in _entered.items():  # a function may be of a kind that is not in its table
        if not inspect.isclass(item) and name in (entered, owner):
            return item
    if name in custom_objects.get():
        return _lent(kind, name)
    hint = did_you_mean(snake_case(name), names) or "; known: " + ", ".join(sorted(names))
    raise UnknownNameError(f'unknown {singular(kind)} "{name}"{hint}')


def _lent(kind: str, name: str) -> Any:
    """Return what the program lends under this name. Raises: NotLentError; UsageError for one of another kind."""
    if name not in custom_objects.get():
        own = name.rpartition(">")[2]
        raise NotLentError(
            f'the {singular(kind)} "{name}" is a program\'s own; '
            f'lend it, as in load_model(path, custom_objects={{"{own}": {own}}})'
        )
    item = custom_objects.get()[name]
    fits = getattr(item, "kind", None) == kind if inspect.isclass(item) else callable(item) and kind in PLAIN_FUNCTIONS
    if not fits:
        raise UsageError(f'custom_objects: "{name}" is {item!r}, but the file has a {singular(kind)} of that name')
    return item


def own_name(kind: str, written: str) -> str | None:
    """Return the name here of what Keras's files call `Custom>Scaled`, or `Scaled`; None where nobody has it."""
    for (of, name), (owner, item) in _entered.items():
        if owner == written and (of == kind or not inspect.isclass(item)):
            return name
    for name in (written, written.rpartition(">")[2]):
        if name in custom_objects.get():
            return OWN + name
    return None


def name_of(kind: str, item: Any) -> str:
    """Return the name a class or function is registered under; `>Scaled` for a program's own that is not registered.

    Raises: UsageError where it has no name at all, as a lambda.
    """
    for name, registered in table(kind).items():
        if registered is item:
            return name
    for (of, name), (_, entered) in _entered.items():
        if (of == kind or not inspect.isclass(entered)) and _same(entered, item):
            return name
    called = getattr(item, "__name__", "")
    if called.isidentifier() and not (inspect.isclass(item) and item.__module__.startswith("gpudl.")):
        return OWN + called
    raise UsageError(
        f"{called or item} is not registered among the {kind}, so a file cannot name it; define it with def or class "
        "after @saving.register_keras_serializable(), "
        f"or give it a name by the hook register_{kind} of a plugin"
    )


def resolve(kind: str, spec: Any) -> Any:
    """Turn what a constructor accepts into an object: a name, `{"type": name, ...}`, a class, or the object itself.

    What Keras writes, `{"class_name": name, "config": {...}}`, will do as well.
    """
    if isinstance(spec, str):
        item = lookup(kind, spec)
        return item() if inspect.isclass(item) else item
    if isinstance(spec, dict):
        settings = dict(spec)
        if "class_name" in settings:
            settings = {"type": settings["class_name"], **settings.get("config", {})}
        if "type" not in settings:
            raise UsageError(f'{kind}: {spec!r} has no "type"')
        item = lookup(kind, settings.pop("type"))
        return getattr(item, "from_config")(settings) if inspect.isclass(item) else item  # noqa: B009  any registered class
    return spec() if inspect.isclass(spec) else spec


def describe(kind: str, item: Any) -> Any:
    """The inverse of `resolve`: a name, or a dict with `type` and the settings, ready for JSON or TOML."""
    if item is None or isinstance(item, (str, dict)):
        return item
    item = getattr(item, "stands_for", None) or item
    if not hasattr(item, "get_config"):
        return name_of(kind, item)
    return {"type": name_of(kind, type(item)), **item.get_config()}
