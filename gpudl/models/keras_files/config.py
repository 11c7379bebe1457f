"""Keras's configurations and gpudl's descriptions, turned into each other.

Keras writes an object as {"module": "keras.layers", "class_name": "Dense", "config": {...}, "registered_name": None};
gpudl describes it as {"type": "dense", ...}. Arguments have the same names on both sides, so what is left is: which
registered name a class has, which arguments gpudl does without, and how shapes of inputs are written.

A configuration can name classes and arguments only. Code in it (Lambda layers) is never run; classes that nobody
registered or lent (`custom_objects`) are refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from gpudl import registry
from gpudl.errors import ModelFileError, UsageError
from gpudl.layers.base import Layer

OURS = "gpudl>"
"""Begins the registered name of what a plugin of gpudl brought: `gpudl>swish`."""

MODULES = {
    "layers": "keras.layers",
    "initializers": "keras.initializers",
    "regularizers": "keras.regularizers",
    "constraints": "keras.constraints",
    "optimizers": "keras.optimizers",
    "schedules": "keras.optimizers.schedules",
    "losses": "keras.losses",
    "metrics": "keras.metrics",
    "activations": "keras.activations",
}
"""Where Keras keeps each kind."""

DEFAULTS: dict[str, list[Any]] = {
    "adaptation_steps": [0],
    "autocast": [True],
    "axis": [-1],
    "clipnorm": [None],
    "ema_momentum": [0.99],
    "label_smoothing": [0.0],
    "optional": [False],
    "ragged": [False],
    "reduction": ["sum_over_batch_size"],
    "renorm": [False],
    "rms_scaling": [False],
    "renorm_momentum": [0.99],
    "sparse": [False],
    "synchronized": [False],
    "use_ema": [False],
    "virtual_batch_size": [None],
    "zero_output_for_mask": [False],
    "unroll": [False],
    "use_cudnn": ["auto"],
}
"""Keras's default of each argument that something in gpudl does without. None is the default wherever it stands."""

_UNUSED = {"name", "dtype"}
"""What everything has in Keras, and only layers and metrics have a use for."""


def kind_of(argument: str) -> str | None:
    """Return the kind of thing an argument takes, by its name: `kernel_initializer` takes one of the initializers."""
    last = argument.rsplit("_", 1)[-1]
    kinds = {
        "activation": "activations",
        "cell": "layers",
        "constraint": "constraints",
        "function": "activations",
        "initializer": "initializers",
        "layer": "layers",
        "rate": "schedules" if argument == "learning_rate" else None,
        "regularizer": "regularizers",
    }
    return kinds.get(last)


def _kind_of_module(module: str) -> str | None:
    """Return the kind a module of Keras has; `keras.src.optimizers.adam` has the optimizers too."""
    parts = module.removeprefix("keras.src.").removeprefix("keras.").split(".")
    if parts[0] in ("models", "keras"):
        return "layers"
    found = [part for part in parts if part in MODULES]
    return found[-1] if found else None


# From Keras to gpudl


def described(spec: Any, kind: str, where: str) -> Any:
    """Turn Keras's configuration of an object into gpudl's description of it. `where` names it in errors.

    Raises: ModelFileError for what gpudl does not have.
    """
    if spec is None or isinstance(spec, str):
        return spec
    if not isinstance(spec, dict) or not isinstance(spec.get("class_name"), str):
        raise ModelFileError(f"{where}: expected one of the {kind}, but the file has {spec!r}")
    if spec["class_name"] == "function":
        return _name(kind, spec.get("config"), spec, where)
    settings = spec.get("config")
    if not isinstance(settings, dict):
        raise ModelFileError(f"{where}: the file gives no arguments for {spec['class_name']}")
    name = _name(kind, spec["class_name"], spec, where)
    return {"type": name, **_arguments(registry.lookup(kind, name), kind, settings, where)}


def _name(kind: str, called: Any, spec: Mapping[str, Any], where: str) -> str:
    """Return the registered name of a class or function that a configuration names."""
    registered = spec.get("registered_name")
    table = registry.table(kind)
    one = registry.singular(kind)
    if called == "__lambda__" or (called == "Lambda" and not _names_a_function(spec)):
        raise ModelFileError(f"{where}: a {called.strip('_').capitalize()} holds Python code, which is never run")
    own = called if spec["class_name"] == "function" else registered
    if isinstance(own, str) and own.startswith(OURS):
        name = own.removeprefix(OURS)
        if name in table:
            return name
        raise ModelFileError(f'{where}: no plugin that is installed has the {one} "{name}"')
    if isinstance(own, str) and (found := registry.own_name(kind, own)) is not None:
        return found
    module = str(spec.get("module"))
    bare = str(own or called).rpartition(">")[2]
    remedy = (
        f'lend it, as in load_model(path, custom_objects={{"{bare}": {bare}}}), or define it after '
        "@saving.register_keras_serializable() before"
    )
    if module != "builtins" and module.split(".")[0] != "keras":
        raise ModelFileError(f'{where}: "{own or called}" is nothing of Keras\'s own; {remedy}')
    for name, item in table.items():
        if registry.owner(kind, name) == "gpudl" and called in (name, getattr(item, "__name__", None)):
            return name
    if module == "builtins":
        raise ModelFileError(
            f"{where}: gpudl does not have the {one} {called}; where it is the program's own, {remedy}"
        )
    raise ModelFileError(f"{where}: gpudl does not have the {one} {called}")


def _names_a_function(spec: Mapping[str, Any]) -> bool:
    """Whether a Lambda names its function; otherwise the file has its code."""
    function = (spec.get("config") or {}).get("function")
    return isinstance(function, dict) and function.get("class_name") == "function"


def _accepted(cls: type) -> set[str]:
    """Return the names of a constructor's arguments, those that it passes on to its base class with them."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    if issubclass(cls, Layer):
        names |= {"name", "trainable"}  # Layer.from_config takes these for any layer
    return names - {"self"}


def _arguments(item: Any, kind: str, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    accepted = _accepted(item)
    arguments: dict[str, Any] = {}
    for name, value in settings.items():
        if name in accepted:
            arguments[name] = _value(name, value, where)
        elif name == "dtype" and kind == "layers":
            if _value(name, value, where) != "float32":
                raise ModelFileError(f"{where}: gpudl has {item.__name__} in float32 only")
        elif not (name in _UNUSED or value is None or value in DEFAULTS.get(name, [])):
            raise ModelFileError(f"{where}: gpudl does not have {item.__name__}({name}={value!r})")
    return arguments


def _value(name: str, value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_value(name, item, where) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: _value(key, item, where) for key, item in value.items()}
    inner = value.get("config")
    if value["class_name"] in ("DTypePolicy", "__numpy__", "__tensor__"):
        if not isinstance(inner, dict):
            raise ModelFileError(f"{where}: {name} is damaged")
        return inner.get("name" if value["class_name"] == "DTypePolicy" else "value")
    kind = kind_of(name) or _kind_of_module(str(value.get("module")))
    if kind == "activations" and _kind_of_module(str(value.get("module"))) == "layers":
        kind = "layers"  # a layer that stands for an activation, as in Dense(activation=LeakyReLU(0.1))
    if kind is None:
        raise ModelFileError(f"{where}: gpudl does not have {value['class_name']}, which {name} is")
    return described(value, kind, where)


# From gpudl to Keras


def configured(description: Any, kind: str, where: str) -> Any:
    """Turn gpudl's description of an object into Keras's configuration of it. Names are left to be names.

    Raises: UsageError for what has no name.
    """
    if description is None or isinstance(description, (bool, int, float)):
        return description
    if isinstance(description, str) and description.startswith(registry.OWN):
        return _function(description.removeprefix(registry.OWN))
    if isinstance(description, str):
        item = registry.lookup(kind, description)
        name = registry.name_of(kind, item)
        registered = _registered_name(kind, name)
        if registered is None:
            return description if not inspect.isclass(item) else configured({"type": name}, kind, where)
        if not inspect.isclass(item):
            return _function(registered)
        description = {"type": name}
    settings = dict(description)
    name = settings.pop("type")
    if name.startswith(registry.OWN):
        called = registered = name.removeprefix(registry.OWN)
    else:
        item = registry.lookup(kind, name)
        if not inspect.isclass(item):
            return configured(name, kind, where)
        called, registered = item.__name__, _registered_name(kind, name)
    settings.pop("input_shape", None)
    if settings.get("activity_regularizer", "") is None:
        del settings["activity_regularizer"]
    return {
        "module": MODULES[kind] if registered is None else "gpudl",
        "class_name": called,
        "config": {key: _configured_value(key, value, where) for key, value in settings.items()},
        "registered_name": registered,
    }


def _function(registered: str) -> dict[str, Any]:
    return {"module": "builtins", "class_name": "function", "config": registered, "registered_name": "function"}


def _registered_name(kind: str, name: str) -> str | None:
    """Return what Keras is to look up: None for what is Keras's own, too."""
    owner = registry.entered_as(registry.lookup(kind, name)) or registry.owner(kind, name)
    return None if owner == "gpudl" else owner if ">" in owner else OURS + name


def _configured_value(name: str, value: Any, where: str) -> Any:
    kind = kind_of(name)
    if name == "function" and isinstance(value, str):  # of a Lambda, where Keras takes no bare names
        function = configured(value, "activations", where)
        return _function(function) if isinstance(function, str) else function
    if kind == "activations" and isinstance(value, dict) and len(value) > 1:  # a layer that stands for one
        if value["type"] == "prelu":
            raise UsageError(
                f"{where}: a PReLU given as activation has weights that *.keras has no place for; add it as a layer "
                "after this one, or save as *.safetensors"
            )
        kind = "layers"
    if kind is not None and value is not None:
        return configured(value, kind, where)
    if isinstance(value, (list, tuple)):
        return [_configured_value(name, item, where) for item in value]
    if isinstance(value, dict):
        if "type" in value:
            raise UsageError(f"{where}: {name}={value['type']} cannot be written for Keras; save as *.safetensors")
        return {key: _configured_value(key, item, where) for key, item in value.items()}
    return value
