"""Where Keras keeps each layer's weights in a file.

A layer's own weights stand in `<path>/vars/0`, `1`, ...: trainable ones first. The path follows the attributes:
`cell` of a layer is `<path>/cell`; the layers in a list are `<path>/<list>/<class>`, counted for each class from the
second on: `layers/dense`, `layers/dense_1`. Names of layers play no part, since they are often counted themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gpudl.autograd import Parameter
from gpudl.layers.base import Layer
from gpudl.models.model import Model
from gpudl.models.sequential import Sequential


def snake_case(name: str) -> str:
    """Return Keras's spelling of a class in a path: `Conv2D` gives `conv2d`, `PReLU` gives `p_re_lu`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def walk(model: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield every layer once with its path, the model itself first with an empty one."""
    yield from _walk(model, "", {})


def _walk(item: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, Layer]]:
    if id(item) in seen:
        return
    seen[id(item)] = item  # kept alive: the number of a list that is gone would be given to another
    if isinstance(item, Layer):
        yield path, item
        for name, value in _attributes(item):
            if isinstance(value, (Layer, list, tuple, dict)):
                yield from _walk(value, f"{path}/{name}".lstrip("/"), seen)
        return
    counts: Counter[str] = Counter()
    for value in item.values() if isinstance(item, dict) else item:
        if isinstance(value, (Layer, list, tuple, dict)):
            name = snake_case(_class_name(value)) if isinstance(value, Layer) else "container"
            count = counts[name]
            counts[name] += 1
            yield from _walk(value, f"{path}/{name}_{count}" if count else f"{path}/{name}", seen)


def _class_name(layer: Layer) -> str:
    """Return what Keras calls a layer's class: a Model of inputs and outputs is a Functional."""
    return "Functional" if type(layer) is Model else type(layer).__name__


def _attributes(layer: Layer) -> list[tuple[str, Any]]:
    """Return what Keras looks through, in its order: by name, private ones last; a model's own list of layers first."""
    own = [pair for pair in vars(layer).items() if pair[0] != "_arguments"]
    found = sorted(own, key=lambda pair: pair[0].replace("_", "~", 1) if pair[0][0] == "_" else pair[0])
    if isinstance(layer, Sequential) or (isinstance(layer, Model) and layer._graph is not None):
        return [("layers", layer.layers), *found]
    if isinstance(layer, Model):  # of one's own: the list takes its turn among the attributes
        return sorted([("layers", layer.layers), *found], key=lambda pair: (pair[0][0] == "_", pair[0]))
    return found


def own_weights(layer: Layer) -> list[Parameter]:
    """Return the weights that are the layer's own, not its sublayers': trainable ones first."""
    return [*layer._own_weights, *layer._own_state]
