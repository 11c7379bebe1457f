"""Kernels compiled for the CPU: the text that CuPy would be given, behind cuda_on_cpu.hpp, by g++."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SANITIZED = bool(os.environ.get("GPUDL_SANITIZED_KERNELS"))
"""Whether kernels are compiled with the address and undefined-behaviour sanitizers (libasan must be preloaded)."""

FLAGS = ["-std=c++17", "-O2", "-g1", "-shared", "-fPIC", "-fno-gnu-unique", "-w"]
FLAGS += ["-fno-strict-aliasing", "-ffp-contract=off", f"-I{HERE / 'include'}"]
SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]


def why_not() -> str | None:
    """Return why kernels cannot run on this CPU, if so."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "cuda_on_cpu.hpp switches stacks on x86-64 only"
    return None if shutil.which("g++") else "g++ is not installed"


@cache
def _folder() -> Path:
    """Where compiled kernels lie: one folder for each user and test run, so that equal texts are compiled once."""
    folder = Path(tempfile.gettempdir()) / f"gpudl-kernels-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


@cache
def _headers() -> str:
    return "".join(path.read_text() for path in (*sorted(HERE.glob("*.hpp")), *sorted(HERE.glob("include/*.h"))))


class HostKernel:
    """A kernel that runs on NumPy arrays, its threads in a given order."""

    def __init__(self, code: str, name: str) -> None:
        self.name = name
        text = (
            f'#include "{HERE}/instructions_on_cpu.hpp"\n{code}\n#line 1 "launch"\n'
            f"using Host = cuda_on_cpu::Kernel<&{name}>;\n"
            'extern "C" int host_count = Host::count;\n'
            'extern "C" const int* host_sizes() { return Host::sizes; }\n'
            'extern "C" const char* host_run(void** a, const int* grid, const int* block, size_t shared, int order) {\n'
            "    return cuda_on_cpu::run(&Host::call, a, grid, block, shared, order);\n}\n"
        )
        flags = FLAGS + (SANITIZERS if SANITIZED else [])
        key = hashlib.sha256("\n".join([text, _headers(), *flags]).encode()).hexdigest()[:24]
        library = _folder() / f"{name}-{key}.so"
        if not library.exists():
            partial = library.with_suffix(f".{os.getpid()}.so")
            command = ["g++", *flags, "-x", "c++", "-", "-o", str(partial)]
            plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # slow under libasan
            done = subprocess.run(command, input=text, text=True, capture_output=True, env=plain)
            if done.returncode:
                raise RuntimeError(f"{name} does not compile for the CPU:\n{done.stderr}")
            partial.replace(library)
        loaded = ctypes.CDLL(str(library))
        self._run = loaded.host_run
        self._run.restype = ctypes.c_char_p
        count = ctypes.c_int.in_dll(loaded, "host_count").value
        loaded.host_sizes.restype = ctypes.POINTER(ctypes.c_int)
        self.sizes = loaded.host_sizes()[:count]

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], values: Sequence[np.ndarray], shared: int, order: int
    ) -> None:
        """Run it on arguments given as arrays of one element: numbers, structs, or addresses of arrays."""
        sizes = [value.nbytes for value in values]
        if sizes != list(self.sizes):
            raise TypeError(f"{self.name} takes arguments of {list(self.sizes)} bytes, but was given {sizes}")
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        three = ctypes.c_int * 3
        padded = [three(*sizes, *(1,) * (3 - len(sizes))) for sizes in (grid, block)]
        error = self._run(pointers, *padded, ctypes.c_size_t(shared), order)
        if error:
            raise RuntimeError(f"{self.name}: {error.decode()}")
