"""gpudl: a small deep-learning framework on NumPy and CuPy.

Parts are imported when first used, so that `import gpudl` and `gpudl --help` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpudl import (
        activations,
        callbacks,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        ops,
        optimizers,
        regularizers,
        schedules,
        utils,
    )
    from gpudl.autograd import Parameter, Tensor, no_grad
    from gpudl.layers import Input
    from gpudl.models import Model, Sequential, load_model

_PARTS = (
    "activations", "callbacks", "datasets", "initializers", "layers", "losses", "metrics", "models", "ops",
    "optimizers", "regularizers", "schedules", "testing", "utils",
)  # fmt: skip
_NAMES = {
    "Input": "layers",
    "Model": "models",
    "Parameter": "autograd",
    "Sequential": "models",
    "Tensor": "autograd",
    "load_model": "models",
    "no_grad": "autograd",
}

__all__ = [
    "Input", "Model", "Parameter", "Sequential", "Tensor", "activations", "callbacks", "datasets", "initializers",
    "layers", "load_model", "losses", "metrics", "models", "no_grad", "ops", "optimizers", "regularizers", "schedules",
    "utils",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"gpudl.{name}")
    if name in _NAMES:
        return getattr(import_module(f"gpudl.{_NAMES[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("gpudl")
    raise AttributeError(f"module 'gpudl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
