"""Optimizers, with Keras's names and constructor arguments."""

from __future__ import annotations

from typing import Any

from gpudl import registry
from gpudl.errors import UsageError
from gpudl.optimizers import schedules as schedules
from gpudl.optimizers.adadelta import Adadelta as Adadelta
from gpudl.optimizers.adagrad import Adagrad as Adagrad
from gpudl.optimizers.adam import Adam as Adam
from gpudl.optimizers.adam import AdamW as AdamW
from gpudl.optimizers.adamax import Adamax as Adamax
from gpudl.optimizers.base import CommonSettings as CommonSettings
from gpudl.optimizers.base import Optimizer as Optimizer
from gpudl.optimizers.base import OptimizerSettings as OptimizerSettings
from gpudl.optimizers.lion import Lion as Lion
from gpudl.optimizers.nadam import Nadam as Nadam
from gpudl.optimizers.rmsprop import RMSprop as RMSprop
from gpudl.optimizers.sgd import SGD as SGD


def get(optimizer: str | dict[str, Any] | Optimizer | None) -> Any:
    """Return an optimizer by name or settings; None for None. Raises: UnknownNameError."""
    if optimizer is None:
        return None
    found = registry.resolve("optimizers", optimizer)
    if not isinstance(found, Optimizer):
        raise UsageError(f'optimizer={optimizer!r} is no optimizer; give a name as "adam", or one as Adam(0.01)')
    return found


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's name and settings: `{"type": "adam", "learning_rate": ...}`."""
    return registry.describe("optimizers", optimizer)


def deserialize(config: dict[str, Any]) -> Optimizer:
    """Make an optimizer of what `serialize` returned, here or in Keras."""
    return get(config)
