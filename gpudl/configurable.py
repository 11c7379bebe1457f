"""Objects that remember how they were made, so that `get_config` needs no code in a subclass."""

from __future__ import annotations

import inspect
from functools import cache
from numbers import Integral, Real
from typing import Any, Self, get_args, get_type_hints, is_typeddict

from gpudl import registry
from gpudl.errors import ArgumentError, UsageError, did_you_mean

OLDER_NAMES = {"lr": "learning_rate"}
"""What older programs call an argument."""


class Configurable:
    """Base of everything built from settings. `kind` is its registry.

    The constructor's arguments are recorded before `__init__` runs; `get_config` binds them to the parameter
    names, and `from_config` calls the constructor with them again.
    """

    kind: str
    also_takes: tuple[str, ...] = ()
    """Arguments that older programs give, and that are taken without being told of."""
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        for name in kwargs:
            if name not in _parameters(cls):
                _check_argument(cls, name)
        _check_common(cls, kwargs.get("name"), kwargs.get("seed"))
        self = super().__new__(cls)
        self._arguments = (args, kwargs)
        return self

    def __init__(self) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, defaults included, in values JSON can hold."""
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *self._arguments[0], **self._arguments[1])
        bound.apply_defaults()
        config: dict[str, Any] = {}
        for name, parameter in list(signature.parameters.items())[1:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                config.update(bound.arguments.get(name, {}))
            elif parameter.kind is parameter.VAR_POSITIONAL:
                raise UsageError(
                    f"{type(self).__name__}: a constructor with *{name} cannot be saved; take a list instead"
                )
            else:
                config[name] = bound.arguments[name]
        return {name: _plain(value, f"{type(self).__name__}({name}=...)") for name, value in config.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make an object from what `get_config` returned."""
        return cls(**config)


def need_numbers(owner: object, **settings: Any) -> None:
    """Raises: UsageError where one of an owner's settings is neither a number nor None."""
    for name, value in settings.items():
        if value is not None and (not isinstance(value, Real) or isinstance(value, bool)):
            raise UsageError(f"{type(owner).__name__}({name}={value!r}): {name} must be a number")


def need_counts(owner: object, **settings: Any) -> None:
    """Raises: UsageError where one of an owner's settings is not a whole number of at least 0."""
    for name, value in settings.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 0:
            raise UsageError(f"{type(owner).__name__}({name}={value!r}): {name} must be an integer of at least 0")


def _check_common(cls: type, name: Any, seed: Any) -> None:
    """Raise UsageError where a name or a seed, which mean the same wherever there is one, is of a wrong type."""
    if name is not None and not isinstance(name, str):
        raise UsageError(f"{cls.__name__}(name={name!r}): name must be a string")
    whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if seed is not None and not whole and not hasattr(seed, "next"):
        raise UsageError(f"{cls.__name__}(seed={seed!r}): seed must be an integer or a SeedGenerator")


@cache
def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a constructor, without self."""
    return dict(list(inspect.signature(cls.__init__).parameters.items())[1:])


@cache
def _settings(cls: type) -> frozenset[str] | None:
    """Return what a constructor takes by name besides its own parameters; None where only a call can tell."""
    for name, parameter in _parameters(cls).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            try:
                hint = get_type_hints(cls.__init__).get(name)
            except (NameError, TypeError, AttributeError):
                return None
            known = [frozenset(get_type_hints(part)) for part in get_args(hint) if is_typeddict(part)]
            return known[0] if known else None
    return frozenset()


def _check_argument(cls: type, name: str) -> None:
    """Raise ArgumentError, with the nearest name, where a constructor has no argument of this name."""
    settings = _settings(cls)
    if settings is None or name in settings or name in getattr(cls, "also_takes", ()):
        return
    own = [n for n, p in _parameters(cls).items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    known = [*own, *sorted(settings)]
    older = OLDER_NAMES.get(name)
    hint = f'; it is called "{older}"' if older in known else did_you_mean(name, known)
    raise ArgumentError(f'{cls.__name__} has no argument "{name}"{hint or "; it takes " + ", ".join(known)}')


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, Configurable):
        return registry.describe(value.kind, value)
    if isinstance(value, type) and issubclass(value, Configurable):
        return registry.name_of(value.kind, value)
    if callable(value):
        return registry.name_of("activations", value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise UsageError(f"{where} holds a {type(value).__name__}, which cannot be written down; use a registered object")
