"""Whole models from Keras's configurations, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpudl import registry
from gpudl.errors import GpudlError, ModelFileError, UsageError
from gpudl.layers.base import Layer
from gpudl.layers.reshaping import InputLayer
from gpudl.models.keras_files.config import configured, described
from gpudl.models.keras_files.functional import functional_config, make_functional
from gpudl.models.model import Model
from gpudl.models.sequential import Sequential, has_own_call
from gpudl.structures import mapped_shapes

# From Keras to gpudl


def make(spec: Any, within: str = "") -> Layer:
    """Make a layer or model of Keras's configuration; `within` names the model around it in errors.

    Raises: ModelFileError naming the layer that gpudl does not have, or not so.
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("config"), dict):
        raise ModelFileError(f"{within or 'the model'}: its configuration is damaged")
    called = spec["config"].get("name")
    where = f'layer "{called}"' if within else f'model "{called}"'
    special = (
        _MAKERS.get(str(spec.get("class_name"))) if spec.get("registered_name") in (None, "", "Functional") else None
    )
    try:
        if special is not None:
            return special(spec["config"], where)
        layer = registry.resolve("layers", described(spec, "layers", where))
        shape = (spec.get("build_config") or {}).get("input_shape")
        if isinstance(layer, Model) and has_own_call(layer) and shape:
            layer.compute_output_shape(mapped_shapes(lambda one: (None, *one[1:]), shape))
        return layer
    except ModelFileError:
        raise
    except (GpudlError, TypeError) as error:
        raise ModelFileError(f"{where}: {error}") from None


def _make_input(config: dict[str, Any], where: str) -> Layer:
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    if not isinstance(shape, list) or not shape:
        raise ModelFileError(f"{where}: the file does not say what shape its input has")
    if config.get("sparse") or config.get("ragged") or config.get("optional"):
        raise ModelFileError(f"{where}: gpudl does not have sparse, ragged or optional inputs")
    dtype = config.get("dtype")
    return InputLayer(
        tuple(shape[1:]), shape[0], name=config.get("name"), dtype=dtype if isinstance(dtype, str) else "float32"
    )


def _make_sequential(config: dict[str, Any], where: str) -> Layer:
    layers = config.get("layers")
    if not isinstance(layers, list):
        raise ModelFileError(f"{where}: the file does not say which layers it has")
    model = Sequential([make(layer, where) for layer in layers], name=config.get("name"))
    shape = config.get("build_input_shape")
    if shape is not None and not model.built:
        model.build_for((None, *shape[1:]))
    if config.get("trainable") is False:
        model.trainable = False
    return model


def _make_functional(config: dict[str, Any], where: str) -> Layer:
    return make_functional(config, where, make)


_MAKERS: dict[str, Callable[[dict[str, Any], str], Layer]] = {
    "InputLayer": _make_input,
    "Sequential": _make_sequential,
    "Functional": _make_functional,
}


# From gpudl to Keras


def configure(layer: Layer) -> dict[str, Any]:
    """Return Keras's configuration of a layer or model. Raises: UsageError where it cannot be written so."""
    if isinstance(layer, InputLayer):
        return _input(layer.name, layer.first_shape, layer.batch_size, layer.value_type)
    if type(layer) is Sequential:
        return _sequential(layer)
    if type(layer) is Model and layer._graph is not None:
        config = functional_config(layer, layer._graph, configure, _input)
        return _object("keras.src.models.functional", "Functional", config)
    if isinstance(layer, Model) and not has_own_call(layer):
        raise UsageError(f"{layer} is a model of its own kind, which *.keras cannot hold; use save_weights")
    config = configured(registry.describe("layers", layer), "layers", str(layer))
    if isinstance(layer, Model) and layer.built_for is not None:
        config["build_config"] = {"input_shape": mapped_shapes(list, layer.built_for)}
    return config


def _object(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def _input(name: str, shape: Any, batch_size: int | None, dtype: str) -> dict[str, Any]:
    config = {"batch_shape": [batch_size, *shape], "dtype": dtype, "name": name}
    return _object("keras.layers", "InputLayer", {**config, "sparse": False, "ragged": False, "optional": False})


def _sequential(model: Sequential) -> dict[str, Any]:
    layers = [configure(layer) for layer in model.sublayers()]
    shape = None
    if model.sample_shape is not None:
        shape = [None, *model.sample_shape]
        if layers and layers[0]["class_name"] != "InputLayer":
            name, taken = f"{model.name}_input", {layer["config"].get("name") for layer in layers}
            while name in taken:
                name += "_"
            layers.insert(0, _input(name, shape[1:], None, model.dtype))
    settings = {"name": model.name, "trainable": model.trainable, "dtype": model.dtype, "layers": layers}
    config = _object("keras", "Sequential", {**settings, "build_input_shape": shape})
    return config if shape is None else {**config, "build_config": {"input_shape": shape}}
