"""Layers that disturb what passes in training, and only then."""

from __future__ import annotations

from numbers import Real
from typing import Any, Unpack

from gpudl import ops, random
from gpudl.errors import UsageError
from gpudl.layers.base import Layer, LayerSettings, need_axes
from gpudl.ops.layout import read_format


class _Noise(Layer):
    """What a layer adds or drops at random is drawn from a key of the step, or of the layer's own `seed`."""

    seed: int | None

    def _share(self, name: str, value: float) -> float:
        if not isinstance(value, Real) or not 0 <= value <= 1:
            raise UsageError(f"{type(self).__name__}({name}={value!r}): {name} must lie between 0 and 1")
        return value

    def _key(self) -> int:
        return random.layer_key(self.seed, self)


class SpatialDropout1D(_Noise):
    """In training, drop whole channels of sequences, a share `rate` of them, and scale the rest by 1 / (1 - rate).

    Shapes: (N, L, C) -> (N, L, C).
    Source: Tompson et al. 2014, arXiv 1411.4280.
    """

    def __init__(self, rate: float, seed: int | None = None, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.rate, self.seed = self._share("rate", rate), seed

    def call(self, x: Any, training: bool = False) -> Any:
        need_axes(x.shape, 3, "(batch, steps, channels)")
        if not training or self.rate == 0:
            return x
        return ops.dropout(x, rate=self.rate, key=self._key(), noise_shape=(x.shape[0], 1, x.shape[2]))


class SpatialDropout2D(_Noise):
    """In training, drop whole channels of images, a share `rate` of them, and scale the rest by 1 / (1 - rate).

    Shapes: (N, H, W, C) -> (N, H, W, C); channels_first likewise.
    Source: Tompson et al. 2014, arXiv 1411.4280.
    """

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(**settings)
        self.rate, self.seed = self._share("rate", rate), seed
        self.data_format = read_format(data_format)

    def call(self, x: Any, training: bool = False) -> Any:
        last = self.data_format == "channels_last"
        need_axes(x.shape, 4, "(batch, height, width, channels)" if last else "(batch, channels, height, width)")
        if not training or self.rate == 0:
            return x
        channels = (x.shape[0], 1, 1, x.shape[3]) if last else (x.shape[0], x.shape[1], 1, 1)
        return ops.dropout(x, rate=self.rate, key=self._key(), noise_shape=channels)


class GaussianNoise(_Noise):
    """In training, add normally distributed noise of mean 0 and deviation `stddev`. Shapes: output as input."""

    def __init__(self, stddev: float, seed: int | None = None, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.stddev, self.seed = self._share("stddev", stddev), seed

    def call(self, x: Any, training: bool = False) -> Any:
        return ops.gaussian_noise(x, stddev=self.stddev, key=self._key()) if training and self.stddev else x


class GaussianDropout(_Noise):
    """In training, multiply by normally distributed noise of mean 1 and variance rate / (1 - rate).

    Shapes: output as input.
    Source: Srivastava et al. 2014, JMLR 15.
    """

    def __init__(self, rate: float, seed: int | None = None, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.rate, self.seed = self._share("rate", rate), seed

    def call(self, x: Any, training: bool = False) -> Any:
        return ops.gaussian_dropout(x, rate=self.rate, key=self._key()) if training and self.rate else x
