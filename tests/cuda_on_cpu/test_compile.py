"""Kernels compiled for GPUs by NVIDIA's own compiler, without one: all of them, and none spills its registers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cuda_on_cpu import nvrtc, table
from cuda_on_cpu.instances import OTHERS, THREADS, Instance, convolutions, of_a_shape, others
from gpudl.backend.cupy import launching

pytestmark = pytest.mark.skipif(not nvrtc.is_there(), reason="needs: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime")

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
SHARED = 99 << 10
"""Bytes of shared memory that a block may have on all of these."""


def check(instances: Iterable[Instance], architecture: int) -> None:
    """Compile, on all cores; no kernel may spill, and a block must fit into a multiprocessor."""

    def compiled(instance: Instance) -> None:
        found = nvrtc.compile(launching.source(f"{instance.stem}.cu", instance.macros), architecture)
        assert set(found) == set(instance.names)
        for name, needs in found.items():
            assert needs.spilled_bytes == 0, f"{name} spills on sm_{architecture}: {instance.macros}"
            assert needs.registers * THREADS.get(name, instance.threads) <= 65536
        assert instance.shared_bytes <= SHARED

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(compiled, (each for each in instances if each.is_for(architecture))))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_convolutions(architecture: int) -> None:
    """On one architecture also those that copy number by number."""
    check((each for each in convolutions() if each.is_wide or architecture == 90), architecture)


def test_convolutions_before_tensor_cores_of_tf32() -> None:
    check((each for each in [*convolutions(), *of_a_shape()] if each.is_wide or each.stem == "first_layer"), 75)


def test_convolutions_of_large_arrays() -> None:
    check((each for each in convolutions("long long") if each.is_wide), 90)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_that_know_their_shape(architecture: int) -> None:
    check(of_a_shape(), architecture)
    if architecture == 90:
        check(of_a_shape("long long"), architecture)


@pytest.mark.parametrize("stem", OTHERS)
def test_the_rest(stem: str) -> None:
    for kind, index in itertools.product(("float", "double"), ("int", "long long")):
        for architecture in (75, *ARCHITECTURES) if index == "int" else (90,):
            check([others(stem, kind, index)], architecture)


def test_all_are_listed() -> None:
    own: dict[str, tuple[str, ...]] = {"conv2d": ("gather", "kernel_gradient"), **OTHERS}
    own |= {instance.stem: instance.names for instance in of_a_shape()}
    for source in (Path(launching.__file__).parent).glob("*.cu"):
        found = re.findall(
            r'extern "C" __global__ void (?:__launch_bounds__\([\w, *]+\)\s+)?(\w+)\(', source.read_text()
        )
        assert set(found) == set(own[source.stem]), source.name


def test_the_table_of_registers_is_up_to_date() -> None:
    written = table.FILE.read_text(encoding="utf-8")
    version = re.search(r"NVRTC ([\d.]+)", written)
    assert version, "docs/kernel-table.md does not say which compiler it is of"
    if version[1] != nvrtc.version():
        pytest.skip(f"the table is of NVRTC {version[1]}, and this is {nvrtc.version()}")
    assert written == table.text(), "cd tests && python -m cuda_on_cpu.table"


def test_a_mistake_is_told_with_its_line() -> None:
    code = launching.source("relu.cu", {"T": "float", "INDEX": "int", "PACK": 4}).replace("= 0;  // NaN", "= nothing;")
    with pytest.raises(RuntimeError, match=r"relu\.cu\(9\): error: identifier \"nothing\" is undefined"):
        nvrtc.compile(code, 90)
