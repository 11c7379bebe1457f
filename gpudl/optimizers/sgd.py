from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.optimizers.base import Optimizer, OptimizerSettings, Rate


class SGD(Optimizer):
    """Gradient descent: m = momentum m - rate g, w += m; with `nesterov` w += momentum m - rate g.

    Source: Polyak 1964; Sutskever et al. 2013 for Nesterov's variant.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **settings: Unpack[OptimizerSettings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self._need_shares(momentum=momentum)
        self.momentum, self.nesterov = momentum, nesterov
        self.slot_names = ("velocity",) if momentum else ()

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        velocity = slots[0] if slots else None
        kernels("optimizers", weights).sgd(weights, gradients, velocity, rate, self.momentum, self.nesterov)
