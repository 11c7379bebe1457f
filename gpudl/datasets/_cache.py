"""Where files of named data sets live, and how they get there."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from gpudl.errors import DataError


def folders(name: str) -> list[Path]:
    """Return the folders searched for a data set, in order: `$GPUDL_DATA_DIR/<name>`, then the user's cache.

    Raises: DataError where GPUDL_DATA_DIR is set but is not a folder.
    """
    chosen = os.path.expanduser(os.environ.get("GPUDL_DATA_DIR", ""))
    if not chosen:
        return [cache_folder(name)]
    if not Path(chosen).is_dir():
        raise DataError(f"GPUDL_DATA_DIR={chosen} is not a folder; create it, correct the variable, or unset it")
    return [Path(chosen) / name, cache_folder(name)]


def cache_folder(name: str) -> Path:
    """Return the folder downloads of a data set go to; it may not exist yet."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "gpudl" / name


def find(name: str, file: str) -> Path | None:
    """Return the first `file` or `file.gz` in the folders of a data set, or None."""
    for folder in folders(name):
        for candidate in (folder / file, folder / f"{file}.gz"):
            if candidate.is_file():
                return candidate
    return None


def can_download() -> bool:
    """Whether pooch, which downloads, is installed."""
    try:
        importlib.import_module("pooch")
    except ImportError:
        return False
    return True


def download(name: str, url: str, md5: str) -> Path:
    """Fetch one file into the user's cache, with pooch, and check it.

    Raises: DataError where the file cannot be fetched or is not the expected one.
    """
    pooch = importlib.import_module("pooch")
    folder = cache_folder(name)
    file = url.rsplit("/", 1)[-1]
    by_hand = f"try again, or fetch it from elsewhere and put it into {folder}"
    try:
        got = pooch.retrieve(
            url,
            known_hash=f"md5:{md5}",
            fname=file,
            path=folder,
            progressbar=importlib.util.find_spec("tqdm") is not None,
        )
    except ValueError as error:
        raise DataError(f"{name}: {url} is not the expected file of md5 {md5} ({error}); {by_hand}") from error
    except OSError as error:  # the errors of requests are OSErrors too
        raise DataError(f"{name}: {url} cannot be downloaded into {folder} ({error}); {by_hand}") from error
    return Path(got)
