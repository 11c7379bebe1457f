"""What the figures were taken on: hardware and versions."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

from bench.commit import commit
from bench.gpu.running import ROOT, Options, Result

SECONDS, AT_ONCE = 60, 1


def parts(options: Options) -> list[list[str]]:
    return [["machine"]]


def _asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, cwd=ROOT).stdout.strip()


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))


def _gpu() -> str:
    name = import_module("cupy").cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else name


def _memory() -> str:
    return f"{import_module('cupy').cuda.runtime.memGetInfo()[1] / 2**30:.1f} GiB"


def _cuda_of_torch() -> Any:
    return import_module("torch").version.cuda


FACTS: dict[str, Callable[[], Any]] = {
    "GPU": _gpu,
    "GPU memory": _memory,
    "compute capability": lambda: import_module("cupy").cuda.Device().compute_capability,
    "driver": lambda: _asked("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").splitlines()[0],
    "CUDA of the driver": lambda: import_module("cupy").cuda.runtime.driverGetVersion(),
    "CUDA of CuPy": lambda: import_module("cupy").cuda.runtime.runtimeGetVersion(),
    "NVRTC": lambda: "{}.{}".format(*import_module("cupy").cuda.nvrtc.getVersion()),
    "CuPy": lambda: import_module("cupy").__version__,
    "PyTorch": lambda: import_module("torch").__version__,
    "CUDA of PyTorch": _cuda_of_torch,
    "cuDNN": lambda: import_module("torch").backends.cudnn.version(),
    "NumPy": lambda: metadata.version("numpy"),
    "Python": platform.python_version,
    "processor": _processor,
    "cores": lambda: len(os.sched_getaffinity(0)),
    "system": platform.platform,
    "gpudl": commit,
}


def run(part: str, options: Options) -> Result:
    """Collect what there is to know; what cannot be found out says why."""
    from gpudl.backend.diagnosis import why_no_gpu

    facts: dict[str, Any] = {}
    for name, fact in FACTS.items():
        try:
            facts[name] = fact()
        except Exception as error:
            facts[name] = f"unknown ({type(error).__name__}: {error})"
    reason = why_no_gpu()
    return {"facts": facts, "no_gpu": None if reason is None else str(reason)}
