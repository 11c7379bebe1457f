"""Writing files so that a crash or a full disk never costs the old one, and telling damaged arrays."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gpudl.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np


def sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array: of its type and shape, written as "float32 (3, 4)", and its numbers."""
    return hashlib.sha256(f"{array.dtype.name} {array.shape}".encode() + array.tobytes()).hexdigest()


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file beside its place and move it there once it is whole on disk.

    Raises: TrainingError where it cannot be written; a file that was there before stays as it was.
    """
    path = Path(path)
    unfinished = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            unfinished = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    except BaseException as error:
        if unfinished is not None:
            Path(unfinished).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise  # Ctrl-C, say
        reason = "no space is left on the disk" if error.errno == errno.ENOSPC else error.strerror or str(error)
        kept = "; the file that was there is unchanged" if path.exists() else ""
        raise TrainingError(
            f"{path}: cannot write {len(content):,} bytes: {reason}{kept}; free some space or choose another folder"
        ) from None
