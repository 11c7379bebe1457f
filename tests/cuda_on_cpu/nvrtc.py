"""NVIDIA's run-time compiler, without a GPU: which kernels compile for which architectures, and what they need."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _library() -> Any:
    """Return the library that the wheel nvidia-cuda-nvrtc brings, or None."""
    try:
        import nvidia  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    for folder in nvidia.__path__:
        for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            if "builtins" not in path.name and ".alt." not in path.name:
                return ctypes.CDLL(str(path))
    return None


@cache
def _header_folders() -> list[Path]:
    """Where cuda_fp16.h lies: the wheels nvidia-cuda-runtime and nvidia-cuda-runtime-cu12 bring it."""
    import nvidia  # pyright: ignore[reportMissingImports]

    return sorted({p.parent for folder in nvidia.__path__ for p in Path(folder).glob("*/include/cuda_fp16.h")})


def is_there() -> bool:
    """Whether compiler and headers are installed: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime."""
    return _library() is not None and bool(_header_folders())


def version() -> str:
    """Return the compiler's version, "13.0"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


@dataclass(frozen=True)
class Resources:
    """What a thread and a block of a compiled kernel need."""

    registers: int
    spilled_bytes: int
    stack_bytes: int


@cache
def compile(code: str, architecture: int) -> dict[str, Resources]:
    """Compile to machine code for sm_<architecture>; return what each kernel needs.

    Raises: RuntimeError with the compiler's log.
    """
    nvrtc = _library()
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None)
    options = [
        f"--gpu-architecture=sm_{architecture}",
        "--std=c++17",
        "-ftz=true",  # as CuPy has it
        "--ptxas-options=-v",
        *(f"--include-path={folder}" for folder in _header_folders()),
    ]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    if failed:
        raise RuntimeError(f"does not compile for sm_{architecture}:\n{text}")
    found = {}
    for part in text.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)
        memory = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        used = re.search(r"Used (\d+) registers", part)
        if name is None or used is None or memory is None:
            raise RuntimeError(f"the compiler's log has changed: {part}")
        stack, stores, loads = map(int, memory.groups())
        found[name[1]] = Resources(int(used[1]), stores + loads, stack)
    return found
