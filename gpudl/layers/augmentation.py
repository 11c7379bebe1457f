"""Layers that show training another picture of the same thing each time: flipped, moved, turned, brighter.

They act where `training` is on, and where a layer or a model is called on its own without saying; they leave
`evaluate` and `predict` alone. Each image has draws of its own, keyed by (seed, step), so that a resumed run goes on
as it would have. What a layer draws and what it does with it are two methods, so that either can be used alone.
Boxes, masks and dictionaries of them, which Keras's layers take besides images, are not taken.
"""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from gpudl import ops, random
from gpudl.autograd import Tensor
from gpudl.backend import array_module
from gpudl.backend.devices import beside
from gpudl.errors import UsageError
from gpudl.layers.base import LayerSettings, OpenShape
from gpudl.layers.images import ImageLayer, SizedLayer
from gpudl.ops.image import check_choice


class Augmentation(ImageLayer):
    """Base of random layers: `draw` says what is drawn for a batch, `transform` what is done with it.

    Shapes: output as input.
    """

    def __init__(
        self, seed: int | None = None, data_format: str | None = None, **settings: Unpack[LayerSettings]
    ) -> None:
        super().__init__(data_format, **settings)
        self.seed = seed

    def call(self, x: Any, training: bool = True) -> Any:
        height, width = self.size_of(x.shape)
        if not training:
            return x
        batch = x.shape[0] if len(x.shape) == 4 else 1
        return self.transform(x, self.draw(random.layer_stream(self.seed, self), batch, height, width))

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        self.size_of(input_shape)
        return input_shape

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        """Return what is drawn for each image: (N, ...)."""
        raise UsageError(f"{type(self).__name__} must define draw(rng, batch, height, width)")

    def transform(self, images: Any, drawn: np.ndarray) -> Any:
        """Do to each image what was drawn for it."""
        raise UsageError(f"{type(self).__name__} must define transform(images, drawn)")


class RandomFlip(Augmentation):
    """Mirror half of the images left to right ("horizontal"), top to bottom ("vertical"), or each by itself (both).

    Keras 3.15 draws once for both directions, and so only ever turns an image by 180 degrees; here, as Keras
    documents it, all four outcomes are as likely.

    Shapes: output as input.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(seed, data_format, **settings)
        check_choice("RandomFlip: mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
        self.mode = mode

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        """Return (N, 2): whether to flip left to right, and top to bottom."""
        allowed = np.array([self.mode != "vertical", self.mode != "horizontal"])
        return (rng.random((batch, 2)) < 0.5) & allowed

    def transform(self, images: Any, drawn: np.ndarray) -> Any:
        return ops.flip_images(images, horizontal=drawn[:, 0], vertical=drawn[:, 1], data_format=self.data_format)


class AffineAugmentation(Augmentation):
    """Base of layers that draw one transform of `ops.affine_transform` for each image."""

    def __init__(
        self,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(seed, data_format, **settings)
        who = type(self).__name__
        check_choice(f"{who}: fill_mode", fill_mode, ("reflect", "wrap", "constant", "nearest"))
        check_choice(f"{who}: interpolation", interpolation, ("nearest", "bilinear"))
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value

    def transform(self, images: Any, drawn: np.ndarray) -> Any:
        return ops.affine_transform(
            images,
            beside(drawn, images.data if isinstance(images, Tensor) else images),
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            data_format=self.data_format,
        )


class RandomTranslation(AffineAugmentation):
    """Move each image by a share of its height and of its width; positive numbers move it down and to the right.

    A factor is a number (that far either way) or two (from, to), within [-1, 1].

    Shapes: output as input.
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **settings)
        self.height_range = _range("RandomTranslation: height_factor", height_factor, -1, 1)
        self.width_range = _range("RandomTranslation: width_factor", width_factor, -1, 1)

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        down = rng.uniform(*self.height_range, batch) * height
        right = rng.uniform(*self.width_range, batch) * width
        return _transforms(1, 0, -right, 0, 1, -down)


class RandomRotation(AffineAugmentation):
    """Turn each image about its middle, counter-clockwise where the factor is positive; 1 is a full turn.

    `factor` is a number (that far either way) or two (from, to).

    Shapes: output as input.
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **settings)
        self.factor = _overlapping_range("RandomRotation", factor, -1, 1)

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        return rotations(rng.uniform(*self.factor, batch) * 2 * math.pi, height, width)


class RandomZoom(AffineAugmentation):
    """Zoom each image about its middle: 0.2 shows a fifth more of it, -0.2 a fifth less.

    A factor is a number (that far either way) or two (from, to), above -1 and up to 1. Without `width_factor` the
    width follows the height.

    Shapes: output as input.
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float] | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **settings)
        self.height_range = _range("RandomZoom: height_factor", height_factor, -1, 1, above=True)
        self.width_range = (
            None if width_factor is None else _range("RandomZoom: width_factor", width_factor, -1, 1, above=True)
        )

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        rows = 1 + rng.uniform(*self.height_range, batch)
        columns = rows if self.width_range is None else 1 + rng.uniform(*self.width_range, batch)
        return zooms(columns, rows, height, width)


class RandomCrop(SizedLayer):
    """Cut the same window, at a random place, out of every image of a batch.

    Outside training, and where an image is too small, the middle is cropped to the wanted proportions and resized.
    (Keras documents the same, but 3.15 hands images on uncropped outside training.)

    Shapes: (N, H, W, C) -> (N, height, width, C), or one image without N.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(height, width, data_format, **settings)
        self.seed = seed

    def call(self, x: Any, training: bool = True) -> Any:
        H, W = self.size_of(x.shape)
        if not training or self.height > H or self.width > W:
            return self.fit_into(x, self.height, self.width)
        return self.transform(x, self.draw(random.layer_stream(self.seed, self), 1, H, W))

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        """Return (1, 2): the first row and the first column of the window."""
        return rng.integers(0, [[height - self.height + 1, width - self.width + 1]])

    def transform(self, images: Any, drawn: np.ndarray) -> Any:
        top, left = (int(n) for n in drawn[0])
        return self.crop(images, top, left, self.height, self.width)


class RandomBrightness(Augmentation):
    """Make each image brighter or darker by a share of the range of values, and clip it to that range.

    `factor` is a number (that far either way) or two (from, to); 1 is white, -1 black.

    Shapes: output as input.
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(seed, data_format, **settings)
        self.factor = _overlapping_range("RandomBrightness", factor, -1, 1)
        self.value_range = _value_range("RandomBrightness", value_range)

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        low, high = self.value_range
        return rng.uniform(*self.factor, batch) * (high - low)

    def transform(self, images: Any, drawn: np.ndarray) -> Any:
        return _clip(images + _beside(images, drawn), self.value_range)


class RandomContrast(Augmentation):
    """Stretch or shrink how far the pixels of each channel are from its mean, and clip them to the range of values.

    y = (x - mean) * contrast + mean, with the contrast drawn from 1 - lower to 1 + upper. `factor` is one number for
    both, or two, within [0, 1]. (Keras documents the same, but for one number 3.15 draws from 1 to 1 + upper.)

    Shapes: output as input.
    """

    def __init__(
        self,
        factor: float | tuple[float, float],
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(seed, data_format, **settings)
        lower, upper = _overlapping_range("RandomContrast", factor, 0, 1)
        self.contrast = (1 - abs(lower), 1 + upper)
        self.value_range = _value_range("RandomContrast", value_range)

    def draw(self, rng: np.random.Generator, batch: int, height: int, width: int) -> np.ndarray:
        return rng.uniform(*self.contrast, batch)

    def transform(self, images: Any, drawn: np.ndarray) -> Any:
        mean = ops.mean(images, axis=tuple(len(images.shape) + axis for axis in self.size_axes), keepdims=True)
        return _clip((images - mean) * _beside(images, drawn) + mean, self.value_range)


# What is drawn, as transforms of ops.affine_transform


def _transforms(*entries: Any) -> np.ndarray:
    """Put a0, a1, a2, b0, b1, b2, each a number or one for every image, into rows (a0, ..., b2, 0, 0)."""
    return np.stack(np.broadcast_arrays(*entries, 0.0, 0.0), axis=-1)


def rotations(angles: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the transforms (N, 8) that turn images of this size by these angles, in radians, about their middle."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = (width - 1) / 2, (height - 1) / 2
    return _transforms(cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos)


def zooms(columns: np.ndarray, rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the transforms (N, 8) that show so many times the width and the height, about the middle."""
    return _transforms(columns, 0, (width - 1) / 2 * (1 - columns), 0, rows, (height - 1) / 2 * (1 - rows))


def _beside(images: Any, numbers: np.ndarray) -> Any:
    """Put one number for each image into an array that can be added to the images."""
    plain = images.data if isinstance(images, Tensor) else images
    shape = (-1, 1, 1, 1) if plain.ndim == 4 else (1, 1, 1)
    return array_module(plain).asarray(numbers, dtype=plain.dtype).reshape(shape)


def _clip(x: Any, limits: tuple[float, float]) -> Any:
    return ops.minimum(ops.maximum(x, limits[0]), limits[1])


# What may be asked for


def _numbers(factor: Any) -> tuple[float, ...]:
    """Return the numbers of a factor; none, where it is not made of numbers."""
    several = tuple(factor) if isinstance(factor, (tuple, list)) else (factor,)
    return several if all(isinstance(n, (int, float)) for n in several) else ()


def _range(what: str, factor: Any, low: float, high: float, above: bool = False) -> tuple[float, float]:
    """Return from where to where, all of it between `low` and `high`, and not at `low` where `above` is set."""
    numbers = _numbers(factor)
    pair = isinstance(factor, (tuple, list))
    if len(numbers) != 1 + pair or not all(low <= n <= high and not (above and n == low) for n in numbers):
        within = f"above {low} and up to {high}" if above else f"within [{low}, {high}]"
        raise UsageError(f"{what}={factor!r} must be a number or two numbers {within}")
    return (min(numbers), max(numbers)) if pair else (-abs(numbers[0]), abs(numbers[0]))


def _overlapping_range(who: str, factor: Any, low: float, high: float) -> tuple[float, float]:
    """Return from where to where. As in Keras two numbers may go beyond the limits, if not both on the same side."""
    numbers = _numbers(factor)
    pair = isinstance(factor, (tuple, list))
    if len(numbers) != 1 + pair or numbers[0] > high or numbers[-1] < low:
        raise UsageError(f"{who}(factor={factor!r}): factor must be a number or two numbers within [{low}, {high}]")
    return (min(numbers), max(numbers)) if pair else (-abs(numbers[0]), abs(numbers[0]))


def _value_range(who: str, value_range: Any) -> tuple[float, float]:
    numbers = _numbers(value_range)
    if len(numbers) != 2:
        raise UsageError(f"{who}(value_range={value_range!r}): value_range must be two numbers, as in (0, 255)")
    return min(numbers), max(numbers)
