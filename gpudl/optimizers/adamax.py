from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.configurable import need_numbers
from gpudl.optimizers.base import Optimizer, OptimizerSettings, Rate


class Adamax(Optimizer):
    """Adam with the largest gradient instead of the mean of squares.

    m = b1 m + (1 - b1) g, u = max(b2 u, |g|), w -= rate / (1 - b1^t) m / (u + epsilon).
    Source: Kingma and Ba 2015, arXiv 1412.6980.
    """

    slot_names = ("momentum", "norm")

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **settings: Unpack[OptimizerSettings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self._need_shares(beta_1=beta_1, beta_2=beta_2)
        need_numbers(self, epsilon=epsilon)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        step = rate / (1 - self.beta_1 ** (self.iterations + 1))
        kernels("optimizers", weights).adamax(weights, gradients, *slots, step, self.beta_1, self.beta_2, self.epsilon)
