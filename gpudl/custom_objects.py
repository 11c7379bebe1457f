"""A program's own classes and functions in files: registered for good by a decorator, or lent for a while."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from gpudl import registry
from gpudl.errors import UsageError

T = TypeVar("T")


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Register the class or function that follows, so that files can name it and every look-up finds it.

    `Scaled` becomes "scaled" in experiment files and gpudl's own model files, and "Custom>Scaled" in Keras's. A
    function of one argument joins the activations, and serves as initializer, regularizer or constraint, too; one of
    (y_true, y_pred) joins losses and metrics. The same definition run again takes the place of the older one.

    Raises: PluginError, naming both, where something else has the name. UsageError for a class of no kind of gpudl's.
    """
    if not isinstance(package, str):
        raise UsageError("register_keras_serializable: write it with parentheses, @register_keras_serializable()")

    def register(item: T) -> T:
        called = name or getattr(item, "__name__", "")
        for kind in _kinds(item):
            registry.enter(kind, registry.snake_case(called), f"{package}>{called}", item)
        return item

    return register


def _kinds(item: Any) -> list[str]:
    if inspect.isclass(item):
        if not hasattr(item, "kind"):
            raise UsageError(
                f"register_keras_serializable: {item.__name__} is of no kind that files hold; derive it from Layer, "
                "Model, Loss, Metric, Initializer, Regularizer or another base class of gpudl"
            )
        return [getattr(item, "kind")]  # noqa: B009  any class of gpudl's
    if not callable(item):
        raise UsageError(f"register_keras_serializable: {item!r} is neither a class nor a function")
    given = [
        parameter
        for parameter in inspect.signature(item).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return ["activations"] if len(given) < 2 else ["losses", "metrics"]


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Within this context, names find these classes and functions: `{"Scaled": Scaled}`."""
    before = registry.custom_objects.get()
    token = registry.custom_objects.set({**before, **(custom_objects or {})})
    try:
        yield
    finally:
        registry.custom_objects.reset(token)


CustomObjectScope = custom_object_scope


def get_registered_name(obj: Any) -> str:
    """Return the name that files of Keras have for a class or function: `Custom>Scaled`, or its own where none."""
    return registry.entered_as(obj) or obj.__name__


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """Return the class or function registered as `Custom>Scaled`, or lent under this name; None where there is none."""
    for lent in (registry.custom_objects.get(), registry.entered(), custom_objects or {}, module_objects or {}):
        if name in lent:
            return lent[name]
    return None
