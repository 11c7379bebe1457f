"""Nested lists, tuples and dicts of things, as models with several inputs or outputs have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def leaves(structure: Any) -> Iterator[Any]:
    """Yield what lies in a structure, in order; entries of a dict in the order of their names, as in Keras."""
    if isinstance(structure, Mapping):
        for name in sorted(structure):
            yield from leaves(structure[name])
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from leaves(item)
    else:
        yield structure


def mapped(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return the structure with the function applied to everything that lies in it; in the order of `leaves`."""
    if isinstance(structure, Mapping):
        return {name: mapped(function, structure[name]) for name in sorted(structure)}
    if isinstance(structure, (list, tuple)):
        items = [mapped(function, item) for item in structure]
        if isinstance(structure, list):
            return items
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    return function(structure)


def outline(structure: Any) -> Any:
    """Return what is left of a structure without what lies in it, as something to compare."""
    if isinstance(structure, Mapping):
        return tuple((name, outline(structure[name])) for name in sorted(structure))
    if isinstance(structure, (list, tuple)):
        return (type(structure).__name__, *(outline(item) for item in structure))
    return None


def refilled(structure: Any, values: Any) -> Any:
    """Return the structure with what lies in it replaced by `values`, in the order of `leaves`."""
    following = iter(values)
    return mapped(lambda _: next(following), structure)


def is_shape(value: Any) -> bool:
    """Whether this is one shape (and not a structure of several)."""
    return isinstance(value, (list, tuple)) and all(n is None or isinstance(n, int) for n in value)


def mapped_shapes(function: Callable[[tuple[int | None, ...]], Any], structure: Any) -> Any:
    """Return a structure of shapes with the function applied to each shape."""
    if is_shape(structure):
        return function(tuple(structure))
    if isinstance(structure, Mapping):
        return {name: mapped_shapes(function, structure[name]) for name in sorted(structure)}
    return type(structure)(mapped_shapes(function, item) for item in structure)
