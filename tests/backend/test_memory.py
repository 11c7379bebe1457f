"""Freed memory is kept: the next array of the same size needs no new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
{}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(20 << 20, np.uint8)
before = faults()
for _ in range(10):
    np.ones(20 << 20, np.uint8)
print(faults() - before)
"""


def page_faults(setup: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(setup)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")
def test_large_arrays_come_back_without_page_faults() -> None:
    setup = "from gpudl.backend.numpy.memory import keep_freed_memory; keep_freed_memory()"
    assert page_faults(setup) < 100
