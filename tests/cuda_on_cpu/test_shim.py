"""The shim itself: faults planted in kernels, small ones and gpudl's own, are caught; without them all is well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuda_on_cpu import compiler, stand_in
from gpudl.backend.cupy import launching
from gpudl.backend.cupy.precision import THREE_TF32
from gpudl.backend.cupy.tiles import SMALL
from gpudl.shapes import ConvGeometry

pytestmark = pytest.mark.skipif(compiler.why_not() is not None, reason=str(compiler.why_not()))

# Every thread reads what its neighbour wrote.
NEIGHBOURS = """
extern "C" __global__ void turn(const float* x, float* y) {
    float(&all)[64] = shared<float[64]>();
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[(threadIdx.x + 1) % 64];
}
"""

# A copy that runs beside the computation.
COPIED = """
extern "C" __global__ void copy(const float* x, float* y) {
    float(&all)[64] = shared<float[64]>();
    copy_async<4>(&all[threadIdx.x], &x[threadIdx.x], threadIdx.x < 60);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
    y[threadIdx.x] = all[63 - threadIdx.x];
}
"""

# The sum of a warp, in every lane.
SUMMED = """
extern "C" __global__ void sum(const float* x, float* y) {
    float value = x[threadIdx.x];
    for (int other = 16; other > 0; other /= 2) value += __shfl_xor_sync(0xffffffffu, value, other);
    y[threadIdx.x] = value;
}
"""


def run(code: str, name: str, threads: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = stand_in.asarray(rng.standard_normal(64).astype(np.float32)), stand_in.asarray(np.zeros(64, np.float32))
    stand_in.RawKernel(f'#line 1 "planted.cu"\n{code}', name)((1,), (threads,), (x, y), shared_mem=256)
    return x.get(), y.get()


def test_right_kernels_pass() -> None:
    x, y = run(NEIGHBOURS, "turn")
    np.testing.assert_array_equal(y, np.roll(x, -1))
    x, y = run(COPIED, "copy")
    np.testing.assert_array_equal(y, np.where(np.arange(64) < 60, x, 0)[::-1])
    x, y = run(SUMMED, "sum")
    np.testing.assert_allclose(y, np.repeat(x.reshape(2, 32).sum(axis=1), 32), rtol=1e-5)


def test_a_barrier_that_is_left_out() -> None:
    with pytest.raises(AssertionError, match="other bits in another order of threads"):
        run(NEIGHBOURS.replace("__syncthreads();", ""), "turn")


def test_a_wait_that_is_left_out() -> None:
    _, y = run(COPIED.replace("wait_for_copies<0>();", ""), "copy")
    assert np.isnan(y).all()


def test_a_wait_for_one_group_less() -> None:
    _, y = run(COPIED.replace("wait_for_copies<0>();", "wait_for_copies<1>();"), "copy")
    assert np.isnan(y).all()


def test_what_nobody_wrote_is_not_0() -> None:
    _, y = run(NEIGHBOURS.replace("all[threadIdx.x] = x[threadIdx.x];", ""), "turn")
    assert np.isnan(y).all()


def test_a_barrier_that_not_all_reach() -> None:
    with pytest.raises(RuntimeError, match=r"block \(0, 0, 0\) is stuck: thread 0 has ended after .*__syncthreads"):
        run(NEIGHBOURS.replace("__syncthreads();", "if (threadIdx.x == 0) return; __syncthreads();"), "turn")


def test_a_collective_that_not_all_lanes_reach() -> None:
    with pytest.raises(RuntimeError, match="is stuck"):
        run(SUMMED.replace("for (", "if (threadIdx.x == 5) return; for ("), "sum")


def test_arguments_of_another_size() -> None:
    with pytest.raises(TypeError, match=r"takes arguments of \[8, 8\] bytes, but was given \[8, 8, 8\]"):
        stand_in.RawKernel(f'#line 1 "planted.cu"\n{SUMMED}', "sum")((1,), (64,), (*[stand_in.asarray([1.0])] * 2, 3))


def test_more_shared_memory_than_asked_for() -> None:
    with pytest.raises(ValueError, match="more shared memory than max_dynamic_shared_size_bytes"):
        stand_in.RawKernel(f'#line 1 "planted.cu"\n{SUMMED}', "sum")((1,), (64,), (), shared_mem=50 << 10)


def test_arrays_do_not_become_numpys() -> None:
    x = stand_in.asarray(np.ones(3, np.float32))
    for mix in (lambda: np.asarray(x), lambda: x + np.ones(3), lambda: np.add(x, np.ones(3)), lambda: x[np.array([0])]):
        with pytest.raises(TypeError):
            mix()
    assert isinstance(x.sum(), stand_in.ndarray) and float(x.sum()) == 3


def test_sorting_is_asked_for_as_in_cupy() -> None:
    x = stand_in.asarray(np.tile([1, 0], 20))
    assert stand_in._module.argsort(x, kind="stable").tolist() == [*range(1, 40, 2), *range(0, 40, 2)]
    with pytest.raises(ValueError, match="kind can only be None or 'stable'"):
        stand_in._module.sort(x, kind="quicksort")


def libasan() -> str | None:
    """Where the address sanitizer's library is, if it came with the compiler."""
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    return found if os.path.isabs(found) else None


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("", "", ""),
        ("y[threadIdx.x] =", "y[threadIdx.x + 1] =", "heap-buffer-overflow"),
        ("all[threadIdx.x] =", "all[threadIdx.x + 1] =", "index 64 out of bounds"),
        ("float value", "int shift = 40; int bits = 1 << shift; float value", "shift exponent 40 is too large"),
    ],
)
def test_what_the_sanitizers_see(right: str, wrong: str, says: str) -> None:
    """A write past the end of an array, or of the shared memory asked for; what C++ leaves undefined."""
    if (library := libasan()) is None:
        pytest.skip("the address sanitizer is not installed")
    kernel = ("SUMMED", "sum") if "float value" in right else ("NEIGHBOURS", "turn")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from cuda_on_cpu import test_shim as t; "
        f"t.run(t.{kernel[0]}.replace({right!r}, {wrong!r}, 1), {kernel[1]!r})"
    )
    settings = {
        "LD_PRELOAD": library,
        "GPUDL_SANITIZED_KERNELS": "1",
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **settings})
    assert says in done.stderr and (done.returncode == 0) == (not says), done.stderr


FAULTS = {
    "a barrier": ("__syncthreads();  // this step's", "// this step's"),
    "a wait": ("wait_for_copies<STAGES - 2>();", "wait_for_copies<STAGES - 1>();"),
    "the last of the depth": ("(depth + BK - 1) / BK", "depth / BK"),
    "the padding": ("unsigned(row[i] + down) < unsigned(g.rows.size)", "row[i] + down <= g.rows.size"),
    "a tap": ("line.remainder * g.columns.stride + g.columns.base", "line.remainder * g.columns.stride"),
    "a row of the tile": ("i / ROW_PACK * 8 * ROW_PACK", "i / ROW_PACK * 4 * ROW_PACK"),
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_faults_in_the_convolution(cupy: Any, fault: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """gpudl's own kernel, with one thing wrong in its text."""
    from gpudl.backend.cupy import choosing, conv2d
    from gpudl.backend.numpy import conv2d as expected

    if not isinstance(cupy.asarray(1.0), stand_in.ndarray):
        pytest.skip("a GPU may get along with a fault by chance; the shim does not")
    text = launching.source

    def planted(name: str, macros: Any) -> str:
        found = text(name, macros)
        if fault is None:
            return found
        right, wrong = FAULTS[fault]
        assert right in found
        return found.replace(right, wrong)

    monkeypatch.setattr(launching, "source", planted)
    launching.compiled.cache_clear()
    conv = ConvGeometry.of((2, 8, 7, 12), (3, 3, 12, 40), 1, "same")
    assert choosing.for_gather(2 * 8 * 7, 40, 1, 4, THREE_TF32, 12, 9, 4, "int", True) == (SMALL, 1, 4)
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(shape).astype(np.float32) for shape in (conv.x_shape, conv.kernel_shape))
    try:
        y = conv2d.forward(cupy.asarray(x), cupy.asarray(kernel), None, conv).get()
        right = bool(np.allclose(y, expected.forward(x, kernel, None, conv), rtol=1e-4, atol=1e-4))
    except AssertionError as error:
        assert "other bits in another order" in str(error)
        right = False
    finally:
        launching.compiled.cache_clear()
    assert right == (fault is None)


def test_a_capture_runs_nothing_and_a_graph_runs_it_all() -> None:
    cupy = stand_in._module
    x, y = stand_in.asarray(np.ones(4, np.float32)), stand_in.asarray(np.zeros(4, np.float32))
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        made = x * 2
        y += made
        y[1:] = x[0]
        total = cupy.add(x, made[::-1])
        for refused in (lambda: float(x[0]), x.get, lambda: x @ x):
            with pytest.raises((RuntimeError, NotImplementedError), match="captur"):
                refused()
        graph = stream.end_capture()
    assert y.get().tolist() == [0] * 4 and np.isnan(made.get()).all() and np.isnan(total.get()).all()
    x[...] = 5
    graph.launch()
    assert y.get().tolist() == [10, 5, 5, 5] and made.get().tolist() == [10] * 4 and total.get().tolist() == [15] * 4
    graph.launch()
    assert y.get().tolist() == [20, 5, 5, 5]
