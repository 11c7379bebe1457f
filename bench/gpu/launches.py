"""What one call costs where there is next to nothing to compute: the way from Python to the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.gpu.running import Options, Result
from bench.gpu.timing import Bench, why_not

SECONDS, AT_ONCE = 20, 1

SOURCE = """extern "C" __global__ void add(const float* x, const float* y, float* z, const int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) z[i] = x[i] + y[i];
}"""


def parts(options: Options) -> list[list[str]]:
    return [["launches"]]


def run(part: str, options: Options) -> Result:
    """Time single calls on arrays of a few numbers, plain and with a tape, in turns."""
    if reason := why_not(options):
        return {"skipped": reason}
    import numpy as np

    from gpudl import Tensor, ops

    bench = Bench(options)
    cupy, functional = bench.cupy, bench.torch.nn.functional
    image, kernel = bench.normal(1, 8, 8, 4), bench.normal(3, 3, 4, 8)
    rows, matrix, bias = bench.normal(8, 16), bench.normal(16, 8), bench.normal(8)
    ours = [bench.ours(a) for a in (rows, image, kernel, matrix, bias)]
    taped = [Tensor(a, requires_grad=True) for a in ours]
    turned = image.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), matrix.T
    theirs = [rows, *(a.contiguous() for a in turned), bias]
    kept = [a.clone().requires_grad_() for a in theirs]
    raw = cupy.RawKernel(SOURCE, "add")
    x, size = ours[0], np.int32(128)

    def raw_add() -> Any:
        z = cupy.empty_like(x)
        raw((1,), (128,), (x, x, z, size))
        return z

    def of_gpudl(x: Any, image: Any, kernel: Any, matrix: Any, bias: Any) -> dict[str, Callable[[], Any]]:
        return {
            "relu": lambda: ops.relu(x),
            "add": lambda: ops.add(x, x),
            "dense": lambda: ops.dense(x, matrix, bias),
            "conv2d": lambda: ops.conv2d(image, kernel, bias),
        }

    def of_torch(x: Any, image: Any, kernel: Any, matrix: Any, bias: Any) -> dict[str, Callable[[], Any]]:
        return {
            "relu": lambda: functional.relu(x),
            "add": lambda: x + x,
            "dense": lambda: functional.linear(x, matrix, bias),
            "conv2d": lambda: functional.conv2d(image, kernel, bias),
        }

    sets = {
        "gpudl": of_gpudl(*ours),
        "gpudl, taped": of_gpudl(*taped),
        "PyTorch": of_torch(*theirs),
        "PyTorch, taped": of_torch(*kept),
        "CuPy": {"add": lambda: x + x},
        "raw kernel of CuPy": {"add": raw_add},
    }
    calls = {f"{op}; {name}": call for name, of in sets.items() for op, call in of.items()}
    ms = bench.wall(calls, max(0.5, min(8.0, options.left() / 2)))
    found: list[dict[str, Any]] = []
    for key, value in ms.items():
        op, _, name = key.partition("; ")
        found.append({"op": op, "who": name, "microseconds": 1e3 * value})
    return {"rows": found}
