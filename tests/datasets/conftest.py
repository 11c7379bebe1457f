"""Writing data files of every sort, sound and damaged. What property tests use lives for the session."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def _encode_idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def encode_idx() -> Callable[[np.ndarray], bytes]:
    """Turn an array into the bytes of an IDX file."""
    return _encode_idx


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property test, each overwriting the file of the one before."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data: no GPUDL_DATA_DIR and an empty cache, which is returned."""
    monkeypatch.delenv("GPUDL_DATA_DIR", raising=False)
    cache = tmp_path / "cache"
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(cache))
    return cache / "gpudl"


@pytest.fixture
def no_pooch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the data extra."""
    monkeypatch.setitem(sys.modules, "pooch", None)


@pytest.fixture(scope="session")
def small_mnist() -> dict[str, bytes]:
    """The four files of a tiny data set of MNIST's shape, not compressed, by name."""
    rng = np.random.default_rng(7)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": rng.integers(0, 10, 30, dtype=np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (12, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 12, dtype=np.uint8),
    }
    return {name: _encode_idx(array) for name, array in arrays.items()}


@pytest.fixture(scope="session")
def write_files() -> Callable[..., None]:
    """Write files into a folder, gzipped if asked for."""

    def write(folder: Path, files: dict[str, bytes], gzipped: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in files.items():
            (folder / (f"{name}.gz" if gzipped else name)).write_bytes(gzip.compress(raw) if gzipped else raw)

    return write


@pytest.fixture
def real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point GPUDL_DATA_DIR at a folder with the real MNIST, or skip."""
    shared = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("GPUDL_DATA_DIR") or shared)
    if not any((folder / "mnist" / f"train-images-idx3-ubyte{end}").is_file() for end in ("", ".gz")):
        pytest.skip(f"MNIST is not in {folder}; GPUDL_DATA_DIR names the folder that has mnist/")
    monkeypatch.setenv("GPUDL_DATA_DIR", str(folder))
