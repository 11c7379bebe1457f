from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.configurable import need_numbers
from gpudl.optimizers.base import Optimizer, OptimizerSettings, Rate


class Adadelta(Optimizer):
    """Steps scaled by running means of the gradient's square and of the steps' own squares.

    v = rho v + (1 - rho) g^2, d = g sqrt(s + epsilon) / sqrt(v + epsilon), s = rho s + (1 - rho) d^2, w -= rate d.
    Source: Zeiler 2012, arXiv 1212.5701, where the rate is 1.
    """

    slot_names = ("accumulated_grad", "accumulated_delta_var")

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **settings: Unpack[OptimizerSettings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self._need_shares(rho=rho)
        need_numbers(self, epsilon=epsilon)
        self.rho, self.epsilon = rho, epsilon

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        kernels("optimizers", weights).adadelta(weights, gradients, *slots, rate, self.rho, self.epsilon)
