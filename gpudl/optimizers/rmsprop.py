from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.configurable import need_numbers
from gpudl.optimizers.base import Optimizer, OptimizerSettings, Rate


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the gradient's square.

    v = rho v + (1 - rho) g^2, w -= rate g / sqrt(v + epsilon).
    With `centered` the running mean's own square is taken off v; with `momentum` the scaled steps are summed up.
    Source: Hinton 2012, lecture 6e of Neural Networks for Machine Learning.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **settings: Unpack[OptimizerSettings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self._need_shares(rho=rho, momentum=momentum)
        need_numbers(self, epsilon=epsilon)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        self.slot_names = ("velocity", *(["momentum"] if momentum > 0 else []), *(["average"] if centered else []))

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        named = dict(zip(self.slot_names, slots, strict=True))
        kernels("optimizers", weights).rmsprop(
            weights,
            gradients,
            named["velocity"],
            named.get("momentum"),
            named.get("average"),
            rate,
            self.rho,
            self.momentum,
            self.epsilon,
        )
