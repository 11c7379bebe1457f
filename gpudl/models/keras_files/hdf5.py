"""HDF5 files of weights: every array with its path, and what each layer was called.

h5py comes with the `hdf5` extra and is imported when the first such file is read or written. Reading follows no link
and opens no other file. gpudl notes down the SHA-256 of each array it writes; other programs take no notice of it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpudl.errors import ModelFileError, UsageError
from gpudl.files import sha256

_SUSPICIOUS = 1 << 26
"""Bytes from which on an array must not be a thousand times larger than what the file stores of it."""


@dataclass
class Stored:
    """What a weights file holds. Keys are paths of layers, as in `layers/dense_1`."""

    weights: dict[str, list[np.ndarray]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def h5py() -> Any:
    """Return h5py. Raises: UsageError naming the extra that brings it."""
    try:
        import h5py
    except ImportError:
        raise UsageError(
            'files of Keras (.weights.h5, .keras) need h5py: pip install "gpudl[hdf5]"; or use *.safetensors'
        ) from None
    return h5py


def write(stored: Stored) -> bytes:
    """Return the content of a weights file."""
    content = io.BytesIO()
    with h5py().File(content, "w", libver=("v110", "v110")) as file:  # from 1.10 on HDF5 has checksums of its own
        for path, arrays in stored.weights.items():
            group = file.create_group(f"{path}/vars".lstrip("/"))
            if path in stored.names:
                group.attrs["name"] = stored.names[path]
            for i, array in enumerate(arrays):
                group.create_dataset(str(i), data=array).attrs["sha256"] = sha256(array)
    return content.getvalue()


def read(content: bytes, what: str) -> Stored:
    """Read a weights file's content; `what` names it in errors.

    Raises: ModelFileError where it is damaged, or no weights file of Keras 3.
    """
    library = h5py()
    if not content.startswith(b"\x89HDF\r\n\x1a\n"):
        raise ModelFileError(f"{what}: not an HDF5 file; it may be damaged or cut off")
    try:
        with library.File(io.BytesIO(content), "r") as file:
            if "layer_names" in file.attrs or "model_weights" in file:
                raise ModelFileError(
                    f"{what}: an HDF5 file as Keras 2 wrote it; load it in Keras, and save it there as *.weights.h5 "
                    "or *.keras"
                )
            stored = Stored()
            for path, group in _groups(file, what):
                if path.split("/")[-1] == "vars":
                    _read_vars(stored, path[: -len("vars")].rstrip("/"), group, what)
    except ModelFileError:
        raise
    except Exception as error:  # h5py does not say what it raises for a damaged file
        raise ModelFileError(f"{what}: the HDF5 file is damaged or cut off ({type(error).__name__}: {error})") from None
    if not stored.weights:
        raise ModelFileError(f"{what}: an HDF5 file, but not one of Keras's weights files: it has no group called vars")
    return stored


def _groups(file: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Yield every group once, whatever circles the file has. Raises: ModelFileError for links out of the tree."""
    library = h5py()
    waiting, seen = [("", file["/"])], set()
    while waiting:
        path, group = waiting.pop()
        address = library.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        yield path, group
        for name in group:
            if not isinstance(group.get(name, getlink=True), library.HardLink):
                raise ModelFileError(f'{what}: "{path}/{name}" is a link to somewhere else, which is refused')
            if isinstance(group[name], library.Group):
                waiting.append((f"{path}/{name}".lstrip("/"), group[name]))


def _read_vars(stored: Stored, path: str, group: Any, what: str) -> None:
    # Older versions of Keras have another name for a model's layers.
    path = "/".join("layers" if part == "_layer_checkpoint_dependencies" else part for part in path.split("/"))
    keys = sorted(group, key=lambda key: (len(key), key))
    if keys != [str(i) for i in range(len(keys))]:
        raise ModelFileError(f"{what}: the weights of {path or 'the model'} are {', '.join(keys)}, not 0, 1, ...")
    stored.weights[path] = [_array(group[key], f"{path}/vars/{key}".lstrip("/"), what) for key in keys]
    if "name" in group.attrs:
        stored.names[path] = str(group.attrs["name"])


def _array(dataset: Any, path: str, what: str) -> np.ndarray:
    if not isinstance(dataset, h5py().Dataset) or dataset.external or dataset.is_virtual:
        raise ModelFileError(f'{what}: "{path}" is no array of this file, which is refused')
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size > _SUSPICIOUS and size > 1000 * dataset.id.get_storage_size():
        raise ModelFileError(f'{what}: "{path}" claims {size:,} bytes, of which the file has hardly any')
    if dataset.attrs.get("dtype") == "bfloat16":
        half = np.asarray(dataset[()]).view(np.uint16).astype(np.uint32)
        return (half << 16).view(np.float32).reshape(dataset.shape)
    if dataset.dtype.kind not in "fiub":
        raise ModelFileError(f'{what}: "{path}" holds {dataset.dtype}, not numbers')
    array = np.asarray(dataset[()])
    if "sha256" in dataset.attrs and dataset.attrs["sha256"] != sha256(array):
        raise ModelFileError(f'{what}: "{path}" is damaged: its SHA-256 is not the one written down')
    return array


def of_layers(weights: Mapping[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Leave out what belongs to no layer: the optimizer, and the state of random numbers."""
    return {
        path: arrays
        for path, arrays in weights.items()
        if path.split("/")[0] != "optimizer" and "seed_generator" not in path.split("/")
    }
