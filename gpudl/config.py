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
