"""Layers that give images another size, and what all layers of images share."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Unpack

from gpudl import ops
from gpudl.autograd import Tensor
from gpudl.backend import array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.layers.base import Layer, LayerSettings, OpenShape
from gpudl.ops.image import check_choice, check_images
from gpudl.ops.layout import read_format


class ImageLayer(Layer):
    """Base of layers of images: a batch (N, H, W, C) or one image (H, W, C), or C before H with "channels_first"."""

    def __init__(self, data_format: str | None = None, **settings: Unpack[LayerSettings]) -> None:
        super().__init__(**settings)
        self.data_format = read_format(data_format)

    @property
    def size_axes(self) -> tuple[int, int]:
        """Where height and width stand in a shape."""
        return (-2, -1) if self.data_format == "channels_first" else (-3, -2)

    def size_of(self, shape: OpenShape) -> tuple[int, int]:
        """Return height and width. Raises: ShapeError for what is no image, or one of open size."""
        check_images(shape)  # pyright: ignore[reportArgumentType]
        height, width = (shape[axis] for axis in self.size_axes)
        if height is None or width is None:
            raise ShapeError("images must have a fixed height and width")
        return height, width

    def crop(self, x: Any, top: int, left: int, height: int, width: int) -> Any:
        """Cut a window out of every image."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        return x[(..., rows, columns) if self.data_format == "channels_first" else (..., rows, columns, slice(None))]

    def fit_into(
        self, x: Any, height: int, width: int, interpolation: str = "bilinear", antialias: bool = False
    ) -> Any:
        """Cut the largest window of the wanted proportions out of the middle, and resize it."""
        H, W = self.size_of(x.shape)
        rows = max(min(H, W * height // width), 1)
        columns = max(min(W, H * width // height), 1)
        x = self.crop(x, (H - rows) // 2, (W - columns) // 2, rows, columns)
        return self.resize(x, height, width, interpolation, antialias)

    def resize(self, x: Any, height: int, width: int, interpolation: str = "bilinear", antialias: bool = False) -> Any:
        """Give images this size, where they do not have it."""
        if self.size_of(x.shape) == (height, width):
            return x
        return ops.resize(
            x, size=(height, width), interpolation=interpolation, antialias=antialias, data_format=self.data_format
        )


class SizedLayer(ImageLayer):
    """Base of layers whose output has a height and width of its own."""

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **settings: Unpack[LayerSettings]
    ) -> None:
        super().__init__(data_format, **settings)
        for name, value in (("height", height), ("width", width)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{type(self).__name__}({name}={value!r}): {name} must be an integer of at least 1")
        self.height, self.width = height, width

    def compute_output_shape(self, input_shape: OpenShape) -> OpenShape:
        self.size_of(input_shape)
        shape = list(input_shape)
        for axis, size in zip(self.size_axes, (self.height, self.width), strict=True):
            shape[axis] = size
        return tuple(shape)


class CenterCrop(SizedLayer):
    """Cut the middle out of every image; an image too small for it is cropped to its proportions and resized.

    Shapes: (N, H, W, C) -> (N, height, width, C), or one image without N.
    """

    def call(self, x: Any) -> Any:
        H, W = self.size_of(x.shape)
        if self.height > H or self.width > W:
            return self.fit_into(x, self.height, self.width)
        return self.crop(x, (H - self.height) // 2, (W - self.width) // 2, self.height, self.width)


class Resizing(SizedLayer):
    """Resize every image. Keeps the proportions, if asked to, by cropping or by padding with `fill_value`.

    `interpolation` is "bilinear", "nearest" or "bicubic". `antialias` weighs all pixels where the image shrinks.
    Keras leaves whole numbers whole; here, as everywhere in gpudl, the result is of floating point.

    Shapes: (N, H, W, C) -> (N, height, width, C), or one image without N.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **settings: Unpack[LayerSettings],
    ) -> None:
        super().__init__(height, width, data_format, **settings)
        check_choice("Resizing: interpolation", interpolation, ("bilinear", "nearest", "bicubic"))
        check_choice("Resizing: fill_mode", fill_mode, ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise UsageError("Resizing: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be True")
        self.interpolation, self.antialias = interpolation, antialias
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_mode, self.fill_value = fill_mode, fill_value

    def call(self, x: Any) -> Any:
        if self.crop_to_aspect_ratio:
            return self.fit_into(x, self.height, self.width, self.interpolation, self.antialias)
        if self.pad_to_aspect_ratio:
            x = self._padded(x)
        return self.resize(x, self.height, self.width, self.interpolation, self.antialias)

    def _padded(self, x: Any) -> Any:
        """Pad both sides alike, until the proportions are those wanted but for an odd pixel."""
        H, W = self.size_of(x.shape)
        above = max(W * self.height // self.width - H, 0) // 2
        beside = max(H * self.width // self.height - W, 0) // 2
        plain = x.data if isinstance(x, Tensor) else x
        for axis, size in zip(self.size_axes, (above, beside), strict=True):
            if size:
                shape = list(x.shape)
                shape[axis] = size
                border = array_module(plain).full(shape, self.fill_value, plain.dtype)
                x = ops.concatenate([border, x, border], axis=len(shape) + axis)
        return x
