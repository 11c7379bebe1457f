"""Reading a file whole, with an error a person can act on."""

from __future__ import annotations

import os
from pathlib import Path

from gpudl.errors import DataError, did_you_mean


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a file; a leading `~` is the home folder.

    Raises: DataError where the file is missing, is a folder or cannot be read.
    """
    place = Path(os.path.expanduser(path))
    try:
        return place.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{_hint(place)}") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, expected a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise DataError(f"{path}: cannot be read ({error}); check its name and permissions") from error


def _hint(place: Path) -> str:
    folder = place.absolute().parent
    try:
        return did_you_mean(place.name, sorted(os.listdir(folder))) or f"; looked in {folder}"
    except OSError:
        return f"; its folder {folder} does not exist or is closed to you"
