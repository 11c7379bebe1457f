from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.configurable import need_numbers
from gpudl.optimizers.base import Optimizer, OptimizerSettings, Rate


class Adagrad(Optimizer):
    """Steps scaled by the sum of the gradient's squares so far: v += g^2, w -= rate g / sqrt(v + epsilon).

    Source: Duchi et al. 2011, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization.
    """

    slot_names = ("accumulator",)

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **settings: Unpack[OptimizerSettings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        need_numbers(self, initial_accumulator_value=initial_accumulator_value, epsilon=epsilon)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def _start_slots(self) -> dict[str, float]:
        return {"accumulator": self.initial_accumulator_value}

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        kernels("optimizers", weights).adagrad(weights, gradients, slots[0], rate, self.epsilon)
