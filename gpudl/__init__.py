"""gpudl: a small deep-learning framework on NumPy and CuPy.

Parts are imported when first used, so that `import gpudl` and `gpudl --help` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpudl import (
        activations,
        backend,
        callbacks,
        config,
        constraints,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        ops,
        optimizers,
        random,
        regularizers,
        saving,
        schedules,
        utils,
    )
    from gpudl.autograd import Parameter, Tensor, no_grad
    from gpudl.backend.devices import device, set_device
    from gpudl.config import set_float32_precision
    from gpudl.initializers import Initializer
    from gpudl.layers import Input, Layer
    from gpudl.losses import Loss
    from gpudl.metrics import Metric
    from gpudl.models import Model, Sequential, load_model
    from gpudl.optimizers import Optimizer
    from gpudl.regularizers import Regularizer
    from gpudl.variables import Variable

_PARTS = (
    "activations", "backend", "callbacks", "config", "constraints", "datasets", "initializers", "layers", "losses",
    "metrics", "models", "ops", "optimizers", "random", "regularizers", "saving", "schedules", "testing", "utils",
)  # fmt: skip
_NAMES = {
    "Initializer": "initializers",
    "Input": "layers",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Parameter": "autograd",
    "Regularizer": "regularizers",
    "Sequential": "models",
    "Tensor": "autograd",
    "Variable": "variables",
    "device": "backend.devices",
    "load_model": "models",
    "no_grad": "autograd",
    "set_device": "backend.devices",
    "set_float32_precision": "config",
}

__all__ = [
    "Initializer", "Input", "Layer", "Loss", "Metric", "Model", "Optimizer", "Parameter", "Regularizer", "Sequential",
    "Tensor", "Variable", "activations", "backend", "callbacks", "config", "constraints", "datasets", "device",
    "initializers", "layers", "load_model", "losses", "metrics", "models", "no_grad", "ops", "optimizers", "random",
    "regularizers", "saving", "schedules", "set_device", "set_float32_precision", "utils", "version",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"gpudl.{name}")
    if name in _NAMES:
        return getattr(import_module(f"gpudl.{_NAMES[name]}"), name)
    if name == "__version__":
        return version()
    raise AttributeError(f"module 'gpudl' has no attribute {name!r}")


def version() -> str:
    """Return gpudl's version, under the name that Keras has for it."""
    from importlib.metadata import version

    return version("gpudl")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
