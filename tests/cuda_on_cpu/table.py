"""The table of what each kernel needs, docs/kernel-table.md: `cd tests && python -m cuda_on_cpu.table` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cuda_on_cpu import nvrtc
from cuda_on_cpu.instances import OTHERS, THREADS, Instance, convolutions, of_a_shape, others
from gpudl.backend.cupy import launching

FILE = Path(__file__).parents[2] / "docs" / "kernel-table.md"
ARCHITECTURES = (80, 90, 120)
MATHS = {0: "multiply-adds", 1: "one TF32 product", 3: "three TF32 products", 16: "tensor cores"}
TYPES = {"float": "float32", "double": "float64", "__half": "float16", "__nv_bfloat16": "bfloat16"}


def rows() -> list[Instance]:
    return [
        *(each for each in convolutions() if each.is_wide and each.is_for(80)),
        *(each for each in of_a_shape() if each.is_for(80)),
        *map(others, OTHERS),
    ]


def text() -> str:
    """Return the page: registers of a thread on each architecture, shared memory of a block."""
    instances = rows()
    jobs = [(instance, architecture) for instance in instances for architecture in ARCHITECTURES]

    def compiled(job: tuple[Instance, int]) -> dict[str, nvrtc.Resources]:
        instance, architecture = job
        return nvrtc.compile(launching.source(f"{instance.stem}.cu", instance.macros), architecture)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(compiled, jobs))
    lines = [
        "# What the kernels need",
        "",
        f"Registers of a thread as NVRTC {nvrtc.version()} counts them for compute capability 8.0, 9.0 and 12.0. None",
        "spills. Convolutions are those that copy 16 bytes at a time, with the KiB of shared memory that a block asks",
        "for; the last ones, without a type, are of float32, and ask for 4 KiB or less. Arrays have fewer than 2^31",
        "elements.",
        "`cd tests && python -m cuda_on_cpu.table` makes this page.",
        "",
        f"| kernel | threads | {' | '.join(f'sm_{a}' for a in ARCHITECTURES)} | shared |",
        f"|---|---|{'---|' * len(ARCHITECTURES)}---|",
    ]
    for number, instance in enumerate(instances):
        first = number * len(ARCHITECTURES)
        lines += _lines(instance, found[first : first + len(ARCHITECTURES)])
    return "\n".join(lines) + "\n"


def _lines(instance: Instance, found: list[dict[str, nvrtc.Resources]]) -> Iterator[str]:
    for name in instance.names:
        registers = " | ".join(str(each[name].registers) for each in found)
        shared = f"{instance.shared_bytes / 1024:.1f}" if instance.shared_bytes else ""
        yield f"| {_called(instance, name)} | {THREADS.get(name, instance.threads)} | {registers} | {shared} |"


def _called(instance: Instance, name: str) -> str:
    macros, words = instance.macros, [f"{instance.stem}: {name}"]
    if instance.stem in OTHERS:
        return words[0]
    words.append(TYPES[macros["T"]])
    if "MATH" in macros:
        words += [MATHS[macros["MATH"]], f"{macros['BM']}x{macros['BN']}"]
    if "DOWN" in macros:
        words.append(f"kernel {macros['DOWN']}x{macros['ACROSS']} by {macros['STRIDE_DOWN']}")
    words += [
        word
        for macro, word in (("POINTWISE", "1x1"), ("WHOLE", "whole steps"), ("FLIPPED", "flipped"))
        if macros.get(macro)
    ]
    return ", ".join(words)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(FILE)
