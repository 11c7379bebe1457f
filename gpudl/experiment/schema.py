"""Constructor annotations as a schema: each registered class yields a pydantic model of its settings.

So a plugin's layer is checked as gpudl's own are, without a line of extra code. A setting annotated with a kind of
building block (`Initializer`, `Regularizer`, an activation, ...) takes a name or a table with `type`.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, Strict, create_model

from gpudl.configurable import Configurable
from gpudl.errors import PluginError
from gpudl.registry import singular

WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false"}
PLURALS = {
    "an integer": "integers",
    "a number": "numbers",
    "text": "texts",
    "two integers": "pairs of integers",
}
COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True, eq=False)  # a default may be anything, also what cannot be hashed
class Setting:
    """One setting: how it is called, what it accepts, and what it is where nothing is said."""

    name: str
    annotation: Any
    default: Any
    kind: str | None
    """The kind of building block it takes; None for plain values."""
    words: str = ""
    """What to write, where the annotation does not say it well."""

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def expected(self) -> str:
        """What to write, in words."""
        if self.words:
            return self.words
        plain = describe(self.annotation)
        if self.kind is None:
            return plain or "a value that cannot be written in TOML; leave it out"
        block = f'the name of {article(singular(self.kind))}, or a table with "type"'
        others = [part for part in plain.split(" or ") if part and part not in ("text",)]
        return " or ".join([*others, block])


def article(word: str) -> str:
    """Put "a" or "an" before a word."""
    return f"a{'n' if word[0] in 'aeiou' else ''} {word}"


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; a single type is a union of one."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _kind_of(annotation: Any) -> str | None:
    """Return which kind of building block an annotation allows."""
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, Configurable):
            return member.kind
        if get_origin(member) is Callable:
            return "activations"
    return None


def describe(annotation: Any) -> str:
    """Say in words what a plain annotation accepts: "an integer or two integers"."""
    words: list[str] = []
    for member in _members(annotation):
        origin = get_origin(member)
        if member in WORDS:
            words.append(WORDS[member])
        elif origin in (tuple, list):
            items = get_args(member)
            each = PLURALS.get(describe(items[0]), "values")
            fixed = origin is tuple and items[-1] is not Ellipsis
            if fixed and len(items) == 1:
                words.append(f"a list with {describe(items[0])}")
            else:
                words.append(f"{COUNTS.get(len(items), len(items))} {each}" if fixed else f"a list of {each}")
        elif origin is Literal:
            words.append(" or ".join(f'"{value}"' for value in get_args(member)))
        elif origin is dict or member is dict:
            words.append("a table")
        elif member is Any or member is object:
            words.append("a value")
    return " or ".join(dict.fromkeys(words))


def _strict(annotation: Any) -> Any:
    """The annotation as pydantic is to check it: `"3"` is no integer, `1` is a number, a TOML array is a tuple."""
    if annotation in (int, float, str, bool):
        return Annotated[annotation, Strict()]
    origin, items = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kept = [_strict(member) for member in items if not _is_block(member)]
        return Union[tuple(kept)] if kept else Any  # noqa: UP007  built at run time
    if origin in (tuple, list, dict):
        return origin.__class_getitem__(tuple(item if item is Ellipsis else _strict(item) for item in items))
    return Any if _is_block(annotation) else annotation


def _is_block(annotation: Any) -> bool:
    is_class = isinstance(annotation, type) and issubclass(annotation, Configurable)
    return is_class or get_origin(annotation) is Callable


def _of_parameters(function: Any, skip_first: bool) -> list[Setting]:
    try:
        hints = get_type_hints(function)
    except Exception as error:  # an annotation may be any expression
        raise PluginError(
            f"{function.__module__}.{function.__qualname__}: its annotations cannot be read "
            f"({type(error).__name__}: {error}); they are the schema of the experiment file, so all they name must "
            "be imported when the module is"
        ) from error
    settings = []
    parameters = list(inspect.signature(function).parameters.values())[1 if skip_first else 0 :]
    for parameter in parameters:
        annotation = hints.get(parameter.name, Any)
        if parameter.kind is parameter.VAR_KEYWORD:
            table = get_args(annotation)[0] if get_args(annotation) else None
            for name, hint in get_type_hints(table).items() if table is not None else ():
                settings.append(Setting(name, hint, None if type(None) in _members(hint) else ..., None))
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            settings.append(Setting(parameter.name, annotation, parameter.default, _kind_of(annotation)))
    return settings


@cache
def settings_of(item: Any) -> tuple[Setting, ...]:
    """Return the settings of a class (its constructor's parameters) or of a plain function that has none."""
    return tuple(_of_parameters(item.__init__, skip_first=True)) if inspect.isclass(item) else ()


@cache
def model_of(name: str, settings: tuple[Setting, ...]) -> type[BaseModel]:
    """Return the pydantic model of some settings. Fields carry a prefix, so that no name can clash with pydantic's."""
    fields: dict[str, Any] = {}
    for setting in settings:
        default = ... if setting.required else None if setting.default is ... else setting.default
        annotation = Any if setting.kind is not None else _strict(setting.annotation)
        if default is None and setting.kind is None:
            annotation = Union[annotation, None]  # noqa: UP007  built at run time
        fields[f"setting_{setting.name}"] = (annotation, Field(default, alias=setting.name))
    return create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
