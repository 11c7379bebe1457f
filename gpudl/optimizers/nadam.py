from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.configurable import need_numbers
from gpudl.optimizers.base import Optimizer, OptimizerSettings, Rate


class Nadam(Optimizer):
    """Adam that looks ahead as Nesterov's momentum does.

    With u(t) = b1 (1 - 0.96^t / 2) and U(t) = u(1) ... u(t), m and v as in Adam, w -= rate n / (sqrt(v / (1 - b2^t)) +
    epsilon), where n = u(t + 1) m / (1 - U(t + 1)) + (1 - u(t)) g / (1 - U(t)).
    Source: Dozat 2016, Incorporating Nesterov Momentum into Adam.
    """

    slot_names = ("momentum", "velocity")

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
        self._known = 0, 1.0

    def _share(self, t: int) -> float:
        return self.beta_1 * (1 - 0.5 * 0.96**t)

    def _product(self, t: int) -> float:
        """Return u(1) ... u(t). It follows from t alone, so that a resumed run need not be told."""
        done, product = self._known if self._known[0] <= t else (0, 1.0)
        for i in range(done + 1, t + 1):
            product *= self._share(i)
        self._known = t, product
        return product

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        t = self.iterations + 1
        product, now, following = self._product(t), self._share(t), self._share(t + 1)
        kernels("optimizers", weights).nadam(
            weights,
            gradients,
            *slots,
            rate * following / (1 - product * following),
            rate * (1 - now) / (1 - product),
            self.beta_1,
            self.beta_2,
            1 - self.beta_2**t,
            self.epsilon,
        )
