"""The errors a person may see. Each says who, where and what arrived, what was expected, and the likely fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GpudlError(Exception):
    """Base of every error gpudl raises on purpose. `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(GpudlError, ValueError):
    """An argument, an experiment file or a command line is wrong."""

    exit_code = 2


class ShapeError(UsageError):
    """Arrays or layers do not fit each other. `layer` is the name of the layer whose input it is, if there is one."""

    layer: str | None = None


class UnknownNameError(UsageError):
    """A name that no registry, data set or file knows."""


class NotLentError(UnknownNameError):
    """A name of a program's own class or function, which the program did not lend."""


class ArgumentError(UsageError, TypeError):
    """An argument that a constructor does not have."""


class PluginError(UsageError):
    """A plugin cannot be imported, or breaks the rules of the hooks."""


class DeviceError(UsageError):
    """The asked-for device is not there, or arrays of two devices meet."""


class DataError(GpudlError, ValueError):
    """A data file is missing or damaged, or its numbers cannot be used."""

    exit_code = 3


class ModelFileError(GpudlError):
    """A model file is damaged, or asks for something that is refused."""

    exit_code = 4


class TrainingError(GpudlError):
    """Training started and failed: it diverged, or memory or disk ran out."""

    exit_code = 5


class OutOfMemoryError(TrainingError, MemoryError):
    """There is no room for an array, on the device or beside it."""


class Interrupted(GpudlError):  # noqa: N818  stopping is no error
    """The user stopped the training; what was learned is saved."""

    exit_code = 75


def counted(count: int, what: str) -> str:
    """Return `1 output`, `2 outputs`, `2 entries`."""
    several = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count} {what if count == 1 else several}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the nearest known name, or an empty string.

    A name that leaves words out, as "crossentropy" does, may be short for several.
    """
    name, known = str(name), list(known)
    words = set(name.split("_"))
    longer = [k for k in known if words < set(k.split("_"))]
    if 0 < len(longer) <= 3:
        return "; did you mean " + " or ".join(f'"{k}"' for k in longer) + "?"
    cutoff = 0.6 if len(name) > 4 else 0.75  # among short names, one letter is another word: "mae" is not "mse"
    close = difflib.get_close_matches(name, known, n=3, cutoff=cutoff)
    close.sort(key=lambda k: sorted(k) != sorted(name))  # letters that changed places are the likeliest slip
    return f'; did you mean "{close[0]}"?' if close else ""
