"""Initial values of weights.

Values are drawn on the CPU and then moved, so that a network starts from the same numbers on every device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpudl import random, registry
from gpudl.backend import Shape
from gpudl.configurable import Configurable
from gpudl.errors import UsageError

TRUNCATED_SD = 0.87962566103423978
"""Standard deviation of a unit normal cut off at two standard deviations."""


class Initializer(Configurable):
    """Base of initializers: `initializer(shape)` returns an array."""

    kind = "initializers"

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        """Return the initial values of a weight of this shape."""
        raise UsageError(f"{type(self).__name__} must define __call__(shape, dtype)")


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        return np.zeros(shape, dtype)


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        return np.ones(shape, dtype)


class Constant(Initializer):
    """All `value`."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        return np.full(shape, self.value, dtype)


class Identity(Initializer):
    """The identity matrix times `gain`: ones on the diagonal of a matrix, square or not."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        if len(shape) != 2:
            raise UsageError(f"Identity makes matrices, but a weight of shape {tuple(shape)} was asked for")
        return (self.gain * np.eye(*shape)).astype(dtype)


class _Random(Initializer):
    """Base of initializers that draw. With a `seed` of its own an initializer draws the same at every call."""

    seed: int | None = None

    def stream(self) -> np.random.Generator:
        return random.weight_stream() if self.seed is None else random.stream(self.seed, "initializer")


def _truncated_normal(draw: np.random.Generator, shape: Shape) -> np.ndarray:
    """Unit normal draws, those beyond two standard deviations drawn again."""
    values = draw.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = draw.standard_normal(int(outside.sum()))
    return values


class RandomNormal(_Random):
    """Normal with this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        return self.stream().normal(self.mean, self.stddev, shape).astype(dtype)


class TruncatedNormal(_Random):
    """Normal, with values beyond two standard deviations drawn again."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        return (self.mean + self.stddev * _truncated_normal(self.stream(), shape)).astype(dtype)


class RandomUniform(_Random):
    """Uniform between `minval` and `maxval`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        return self.stream().uniform(self.minval, self.maxval, shape).astype(dtype)


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many inputs an output has, and how many outputs an input has.

    Shapes: (I, O) gives (I, O); a convolution kernel (R, S, C, K) gives (R S C, R S K); (n,) gives (n, n).
    """
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    receptive = math.prod(shape[:-2])
    return receptive * shape[-2], receptive * shape[-1]


class VarianceScaling(_Random):
    """Draw with a variance of scale / fan, the fan being inputs ("fan_in"), outputs ("fan_out") or their mean."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if scale <= 0:
            raise UsageError(f"VarianceScaling(scale={scale}) must be positive")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise UsageError(f'VarianceScaling(mode={mode!r}): mode must be "fan_in", "fan_out" or "fan_avg"')
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise UsageError(
                f"VarianceScaling(distribution={distribution!r}): distribution must be "
                '"truncated_normal", "untruncated_normal" or "uniform"'
            )
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        fan_in, fan_out = fans(tuple(shape))
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        draw = self.stream()
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return draw.uniform(-limit, limit, shape).astype(dtype)
        if self.distribution == "untruncated_normal":
            return (math.sqrt(variance) * draw.standard_normal(shape)).astype(dtype)
        return (math.sqrt(variance) / TRUNCATED_SD * _truncated_normal(draw, shape)).astype(dtype)


class GlorotUniform(VarianceScaling):
    """Uniform within sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio 2010."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out). Source: Glorot and Bengio 2010."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform within sqrt(6 / fan_in). Source: He et al. 2015, arXiv 1502.01852."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / fan_in. Source: He et al. 2015, arXiv 1502.01852."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform within sqrt(3 / fan_in). Source: LeCun et al. 1998, Efficient BackProp."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / fan_in. Source: LeCun et al. 1998, Efficient BackProp."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(_Random):
    """A random matrix whose columns, or rows where these are fewer, are at right angles and of length `gain`.

    All axes but the last are laid out as the rows. Source: Saxe et al. 2014, arXiv 1312.6120.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = gain, seed

    def __call__(self, shape: Shape, dtype: str = "float32") -> np.ndarray:
        if len(shape) < 2:
            raise UsageError(
                f"Orthogonal makes weights of at least two axes, but one of shape {tuple(shape)} was asked for"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(self.stream().standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -1, 1)  # so that no orthogonal matrix is likelier than another
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


# Keras's other names
IdentityInitializer = Identity
OrthogonalInitializer = Orthogonal
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros


def get(initializer: str | dict | Initializer) -> Initializer:
    """Return an initializer by name or settings; a function of the shape is one, too. Raises: UnknownNameError."""
    found = None if initializer is None else registry.resolve("initializers", initializer)
    if found is not None and not callable(found):
        raise UsageError(
            f'initializer={initializer!r} is no initializer; give a name as "zeros", or one as Constant(0.5)'
        )
    return found  # pyright: ignore[reportReturnType]  None where a layer's own default is to be taken


def serialize(initializer: Initializer) -> dict[str, Any]:
    """Return the initializer's name and settings: `{"type": "he_normal", ...}`."""
    return registry.describe("initializers", initializer)


def deserialize(config: dict[str, Any]) -> Initializer:
    """Make an initializer of what `serialize` returned, here or in Keras."""
    return registry.resolve("initializers", config)
