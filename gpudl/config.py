"""What holds everywhere, under the names that Keras's programs ask for. All of it is fixed."""

from __future__ import annotations

from gpudl.errors import UsageError


def backend() -> str:
    """Return what computes: always "gpudl"."""
    return "gpudl"


def floatx() -> str:
    """Return the type of weights: "float32", unless a layer was made with another dtype."""
    return "float32"


def set_floatx(value: str) -> None:
    """Accept "float32", which holds already. Raises: UsageError for another type."""
    if value != "float32":
        raise UsageError(f'set_floatx({value!r}): the type is fixed to "float32"; give single layers dtype="float64"')


def epsilon() -> float:
    """Return the small number that keeps logarithms and quotients finite: 1e-7."""
    return 1e-7


def image_data_format() -> str:
    """Return where channels are unless a layer says otherwise: "channels_last"."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Accept "channels_last", which holds already. Raises: UsageError for another order."""
    if data_format != "channels_last":
        raise UsageError(
            f'set_image_data_format({data_format!r}): the order is fixed to "channels_last"; give single layers '
            'data_format="channels_first"'
        )


_PRECISIONS = ("highest", "high", "medium")
_float32_precision = "high"


def float32_precision() -> str:
    """Return how the GPU multiplies float32 numbers: see `set_float32_precision`."""
    return _float32_precision


def set_float32_precision(value: str) -> None:
    """Choose how convolutions, and on the GPU dense layers, multiply float32 numbers.

    "highest" is float32 throughout, product by product. With "high", the default, the GPU makes each product of three
    on the tensor cores, of TF32 numbers, to float32's accuracy; the CPU takes small kernels to fewer products by
    Winograd's algorithm, whose errors stay under 1e-5 of the largest output. With "medium" the GPU makes a product of
    one: faster, with 10 bits of mantissa in the factors.

    Raises: UsageError for another word.
    """
    global _float32_precision
    if value not in _PRECISIONS:
        raise UsageError(f"set_float32_precision({value!r}): use {', '.join(map(repr, _PRECISIONS))}")
    _float32_precision = value
