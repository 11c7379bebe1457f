"""Why there is no GPU to use, in words that tell what to do: behind `--device` and `gpudl doctor`."""

from __future__ import annotations

import ctypes
import re
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

OLDEST_GPU = 75
"""Compute capability that the kernels are compiled for at least, times ten: Turing, of 2018."""

_PROBE = '#include <cuda_fp16.h>\nextern "C" __global__ void probe() {}'
"""A kernel that compiles where NVRTC and its headers are there."""


@dataclass(frozen=True)
class Reason:
    """Why there is no GPU to use, and what mends it."""

    problem: str
    remedy: str
    worth_saying: bool = True
    """Whether somebody who did not ask for a GPU wants to know: who has neither GPU nor CuPy does not."""

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver, as it describes itself. `cuda` is the newest CUDA it runs, 12040 for 12.4; 0 without driver."""

    cuda: int = 0
    gpus: int = 0

    @property
    def version(self) -> str:
        return f"{self.cuda // 1000}.{self.cuda % 1000 // 10}"


@cache
def driver() -> Driver:
    """Ask the driver itself, which needs no CuPy."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Driver()
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    if cuda.cuInit(0) == 0:
        cuda.cuDeviceGetCount(ctypes.byref(count))
    return Driver(version.value, count.value)


def cupy_distributions() -> dict[str, str]:
    """Return the installed distributions that bring a module called cupy, as "cupy-cuda13x", with their versions."""
    if "cupy" not in sys.modules and find_spec("cupy") is None:
        return {}  # to read what all distributions say of themselves takes a tenth of a second
    found = {dist.metadata["Name"] or "": dist.version for dist in metadata.distributions()}
    return {name: found[name] for name in sorted(found) if re.fullmatch(r"cupy(-(cuda|rocm).*)?", name)}


def install_command(*remove: str) -> str:
    """Return the one command that brings the CuPy that suits the driver, with its compiler."""
    before = f"pip uninstall -y {' '.join(remove)} && " if remove else ""
    return f'{before}pip install "cupy-cuda{12 if 0 < driver().cuda < 13000 else 13}x[ctk]"'


@cache
def why_no_gpu() -> Reason | None:
    """Return why no GPU can be used; None where one can. It is found out once."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns of what is told better below
            cupy = import_module("cupy")
        capability = int(cupy.cuda.Device(0).compute_capability) if cupy.cuda.runtime.getDeviceCount() else None
    except Exception as error:  # whatever CuPy says: what lies behind it is told below
        return _explained(error)
    if capability is None:
        return _explained(None)
    if capability < OLDEST_GPU:
        return Reason(
            f"this GPU has compute capability {capability / 10}, and gpudl's kernels need {OLDEST_GPU / 10}",
            "use one of 2018 (Turing) or later",
        )
    try:
        cupy.RawKernel(_PROBE, "probe", options=("--std=c++17",)).compile()
    except Exception as error:
        return Reason(
            f"CuPy cannot compile kernels: {_first_line(error)}",
            f"its compiler (NVRTC) or the compiler's headers are missing: {install_command()}",
        )
    return None


def _explained(error: Exception | None) -> Reason:
    found, installed = driver(), list(cupy_distributions())
    if not found.cuda:
        return Reason(
            "there is no NVIDIA driver" + ("" if installed else ", nor CuPy"),
            'install the driver (https://www.nvidia.com/drivers); without a GPU use device "cpu"',
            worth_saying=bool(installed),
        )
    if not installed:
        return Reason("CuPy is not installed", install_command())
    if len(installed) > 1:
        return Reason(
            f"{len(installed)} CuPys are installed, of whose files each has overwritten some: {', '.join(installed)}",
            install_command(*installed),
        )
    made_for = re.fullmatch(r"cupy-cuda(\d+)x", installed[0])
    if made_for and found.cuda < 1000 * int(made_for[1]):
        problem = f"the driver is too old: it runs CUDA {found.version}, and {installed[0]} needs {made_for[1]}.0"
        if found.cuda < 12000:
            return Reason(problem, "install a newer driver (https://www.nvidia.com/drivers)")
        return Reason(problem, f"install a newer driver, or {install_command(installed[0])}")
    if not found.gpus or error is None:
        return Reason("the driver sees no GPU", "see that nvidia-smi lists one, and that CUDA_VISIBLE_DEVICES names it")
    return Reason(f"{installed[0]} does not start: {_first_line(error)}", install_command(installed[0]))


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def checks() -> list[tuple[str, str]]:
    """Return what `gpudl doctor` shows: what was looked at, and what was found."""
    found, installed = driver(), cupy_distributions()
    reason = why_no_gpu()
    rows = [
        ("driver", f"runs CUDA {found.version}" if found.cuda else "none"),
        ("CuPy", ", ".join(f"{name} {version}" for name, version in installed.items()) or "not installed"),
    ]
    if reason is None:
        cupy = import_module("cupy")
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        name = properties["name"].decode() if isinstance(properties["name"], bytes) else properties["name"]
        free, total = cupy.cuda.runtime.memGetInfo()
        rows += [
            ("compiler", "NVRTC {}.{}".format(*cupy.cuda.nvrtc.getVersion())),
            ("GPU", f"{name}, compute capability {int(cupy.cuda.Device(0).compute_capability) / 10}"),
            ("memory", f"{free / 2**30:.1f} GiB free of {total / 2**30:.1f}"),
        ]
    return rows
