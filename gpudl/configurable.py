"""Objects that remember how they were made, so that `get_config` needs no code in a subclass."""

from __future__ import annotations

import inspect
from typing import Any, Self

from gpudl import registry
from gpudl.errors import UsageError


class Configurable:
    """Base of everything built from settings. `kind` is its registry.

    The constructor's arguments are recorded before `__init__` runs; `get_config` binds them to the parameter
    names, and `from_config` calls the constructor with them again.
    """

    kind: str
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
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
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise UsageError(f"{where} holds a {type(value).__name__}, which cannot be written down; use a registered object")
