"""Layers that behave differently in training: dropout and batch normalization."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Unpack

from gpudl import constraints, initializers, ops, random, regularizers
from gpudl.constraints import Constraint
from gpudl.errors import ShapeError, UsageError
from gpudl.initializers import Initializer
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.regularizers import Regularizer
from gpudl.shapes import shown


class Dropout(Layer):
    """In training, set a share `rate` of the elements to 0 and scale the rest by 1 / (1 - rate).

    Shapes: output as input. `noise_shape` has 1 along axes dropped as one. With a `seed` of its own the layer draws
    from that seed, still differently in every step.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        if not isinstance(rate, Real) or not 0 <= rate <= 1:
            raise UsageError(f"Dropout(rate={rate!r}): rate must be a number between 0 and 1")
        if noise_shape is not None:
            if not isinstance(noise_shape, (tuple, list)) or not all(
                n is None or (isinstance(n, Integral) and n > 0) for n in noise_shape
            ):
                raise UsageError(
                    f"Dropout(noise_shape={noise_shape!r}): noise_shape must hold positive integers or None"
                )
            noise_shape = tuple(noise_shape)
        self.rate, self.noise_shape, self.seed = rate, noise_shape, seed

    def call(self, x: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return x
        shape = x.shape
        if self.noise_shape is not None:
            if len(self.noise_shape) != len(shape):
                raise ShapeError(f"noise_shape={self.noise_shape} does not fit an input of shape {shown(shape)}")
            shape = tuple(own or n for own, n in zip(self.noise_shape, shape, strict=True))
        return ops.dropout(x, rate=self.rate, key=random.layer_key(self.seed, self), noise_shape=shape)


class BatchNormalization(Layer):
    """Normalize each channel over the batch, then scale by gamma and shift by beta.

    The moving statistics follow as momentum * old + (1 - momentum) * batch and are used outside training, and where
    `trainable` is off.

    Shapes: output as input. Weights: gamma, beta, moving_mean, moving_variance (C,), C being the length of `axis`.
    Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Initializer = "zeros",
        gamma_initializer: str | Initializer = "ones",
        moving_mean_initializer: str | Initializer = "zeros",
        moving_variance_initializer: str | Initializer = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        beta_constraint: str | Constraint | None = None,
        gamma_constraint: str | Constraint | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        if not 0 <= momentum <= 1:
            raise UsageError(f"BatchNormalization(momentum={momentum!r}): momentum must lie between 0 and 1")
        if not isinstance(axis, Integral) or isinstance(axis, bool):
            raise UsageError(f"BatchNormalization(axis={axis!r}): axis must be an integer")
        if not isinstance(epsilon, Real) or not epsilon > 0:
            raise UsageError(f"BatchNormalization(epsilon={epsilon!r}): epsilon must be a number of more than 0")
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma = self.beta = None

    def build(self, input_shape: OpenShape) -> None:
        if not -len(input_shape) <= self.axis < len(input_shape):
            raise ShapeError(f"axis={self.axis} is no axis of the input of shape {shown(input_shape)}")
        if not input_shape[self.axis]:
            raise ShapeError(f"axis={self.axis} of the input of shape {shown(input_shape)} has no fixed length")
        shape = (input_shape[self.axis] or 0,)
        if self.scale:
            self.gamma = self.add_weight(
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )
        self.moving_mean = self.add_weight(shape, self.moving_mean_initializer, trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, x: Any, training: bool = False, *, relu: bool = False) -> Any:
        """`relu` asks for max(y, 0), in the same pass."""
        return ops.batch_norm(
            x,
            self.gamma,
            self.beta,
            self.moving_mean,
            self.moving_variance,
            training=training and self.trainable,
            momentum=self.momentum,
            epsilon=self.epsilon,
            axis=self.axis,
            relu=relu,
        )
