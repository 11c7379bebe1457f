from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gpudl.backend import Array, kernels
from gpudl.configurable import need_numbers
from gpudl.errors import UsageError
from gpudl.optimizers.base import CommonSettings, Optimizer, OptimizerSettings, Rate


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon);
    with `amsgrad`, the largest v so far stands in the root.
    Source: Kingma and Ba 2015, arXiv 1412.6980; Reddi et al. 2018 for AMSGrad.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **settings: Unpack[OptimizerSettings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        need_numbers(self, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise UsageError(f"{type(self).__name__}({name}={value!r}): {name} must lie in [0, 1)")
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        self.slot_names = ("momentum", "velocity", "velocity_max") if amsgrad else ("momentum", "velocity")

    def slot_share(self, name: str) -> float:
        shares = {"momentum": 1 - self.beta_1, "velocity": 1 - self.beta_2, "velocity_max": 1 - self.beta_2}
        return shares.get(name, 1.0)

    def update(self, weights: Array, gradients: Array, slots: Sequence[Array], rate: float) -> None:
        t = self.iterations + 1
        step = rate * (1 - self.beta_2**t) ** 0.5 / (1 - self.beta_1**t)
        largest = slots[2] if self.amsgrad else None
        kernels("optimizers", weights).adam(
            weights, gradients, slots[0], slots[1], largest, step, self.beta_1, self.beta_2, self.epsilon
        )


class AdamW(Adam):
    """Adam with weight decay: w -= weight_decay * rate * w before each step.

    Source: Loshchilov and Hutter 2019, arXiv 1711.05101.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **settings: Unpack[CommonSettings],
    ) -> None:
        if weight_decay is None:
            raise UsageError("AdamW(weight_decay=None): weight_decay must be a number; Adam is AdamW without it")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **settings)
