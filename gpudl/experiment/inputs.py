"""Samples from files, for prediction."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from gpudl.datasets import check_finite
from gpudl.errors import DataError, did_you_mean
from gpudl.files import write_atomically
from gpudl.shapes import shown


def read_inputs(path: str, model: Any) -> Any:
    """Return what a model is to predict from: samples, or a dict of them by the names of its inputs.

    Raises: DataError where the file is missing or damaged, or does not fit the model.
    """
    if not model.nodes or len(model.inputs) == 1:
        return read_samples(path, model.sample_shape)
    arrays = _arrays(path)
    found: dict[str, np.ndarray] = {}
    for name, place in zip(model.input_names, model.inputs, strict=True):
        chosen = next((f"{before}{name}" for before in ("", "x.", "x_test.") if f"{before}{name}" in arrays), None)
        if chosen is None:
            raise DataError(
                f"{path}: holds {', '.join(arrays) or 'nothing'}, but the model takes {', '.join(model.input_names)}; "
                f'write a .npz file with an array for each, as numpy.savez("samples.npz", {name}=...)'
            )
        found[name] = _fitting(f"{path}: {chosen}", arrays[chosen], tuple(place.shape[1:]))
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{path}: the inputs have different numbers of samples: {counts}")
    return found


def read_samples(path: str, sample_shape: tuple[int | None, ...] | None) -> np.ndarray:
    """Return the samples of a .npy file, or of the array x (or x_test, or the only one) of a .npz file.

    One sample without a batch axis, and images without a channel axis, are taken as what they are.

    Raises: DataError where the file is missing or damaged, or its samples do not fit the model.
    """
    arrays = _arrays(path)
    name = next((n for n in ("x", "x_test") if n in arrays), next(iter(arrays)) if len(arrays) == 1 else None)
    if name is None:
        raise DataError(f"{path}: holds {', '.join(arrays) or 'nothing'}; call the array of samples x")
    return _fitting(path, arrays[name], sample_shape)


def _arrays(path: str) -> dict[str, np.ndarray]:
    """Return the arrays of a .npy or .npz file by name."""
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{path}: is a folder, expected a .npy or .npz file")
    if not file.is_file():
        near = did_you_mean(file.name, [p.name for p in file.parent.glob("*.np[yz]")] if file.parent.is_dir() else [])
        raise DataError(f"{path}: there is no such file{near}")
    try:
        with file.open("rb") as opened:
            if not opened.read(6).startswith((b"\x93NUMPY", b"PK\x03\x04")):
                raise DataError(f"{path}: not a .npy or .npz file; write one with numpy.save(path, samples)")
            opened.seek(0)
            content = np.load(opened, allow_pickle=False)
            if isinstance(content, np.lib.npyio.NpzFile):
                return {name: content[name] for name in content.files}
            return {"x": content}
    except DataError:
        raise
    except Exception as error:  # NumPy raises many kinds for damaged files
        if "allow_pickle" in str(error):
            raise DataError(f"{path}: holds Python objects, expected numbers; convert them before saving") from None
        raise DataError(
            f"{path}: not a whole .npy or .npz file ({error}); it may be cut off or damaged, so write or copy it again"
        ) from None


def _fitting(path: str, content: np.ndarray, sample_shape: tuple[int | None, ...] | None) -> np.ndarray:
    """Return an array as samples of a shape. Raises: DataError where it holds no numbers, or others."""
    if content.dtype.kind not in "fiub":
        raise DataError(f"{path}: holds values of type {content.dtype}, expected numbers; convert them before saving")
    check_finite(path, content)
    if content.ndim > 0 and len(content) == 0:
        raise DataError(f"{path}: holds no samples, but an empty array of shape {content.shape}")
    if sample_shape is None:
        return content
    for shape in (content.shape[1:], (*content.shape[1:], 1)):
        if shape == sample_shape:
            return content.reshape(-1, *sample_shape)
    if content.shape in (sample_shape, sample_shape[:-1] if sample_shape[-1:] == (1,) else sample_shape):
        return content.reshape(1, *sample_shape)
    raise DataError(
        f"{path}: holds an array of shape {content.shape}, but the model takes samples of shape "
        f"{shown(sample_shape)}, so an array of shape {shown((None, *sample_shape))}"
    )


def write_outputs(path: str, outputs: Any) -> None:
    """Write outputs as a .npy file; several, by name, as a .npz file."""
    content = io.BytesIO()
    if isinstance(outputs, dict):
        np.savez(content, **outputs)
    else:
        np.save(content, outputs)
    write_atomically(path, content.getvalue())
