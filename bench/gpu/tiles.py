"""Every size of tiles that a convolution may get, on the layers of ResNet-50: is it the chosen one that takes least?

Only on demand, `python -m bench.gpu_check --only tiles --out DIR`: it shows how well SLOWNESS of
gpudl/backend/cupy/choosing.py holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.gpu.layers import RESNET_50, Layer
from bench.gpu.running import Options, Result
from bench.gpu.timing import PRECISIONS, Bench, precision, why_not

SECONDS, AT_ONCE = 90, 1


def parts(options: Options) -> list[list[str]]:
    return [[f"{name}, {batch}" for batch in ((2,) if options.rehearse else (32, 128)) for name in PRECISIONS]]


def run(part: str, options: Options) -> Result:
    """Time all layers in one precision and batch size, each direction by each size of tiles."""
    if reason := why_not(options):
        return {"skipped": reason}
    bench = Bench(options)
    name, batch = part.split(", ")
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    layers = [Layer(8, 64, 72, 3), Layer(8, 72, 64, 1)] if options.rehearse else RESNET_50
    with precision(name) as kind:
        for number, layer in enumerate(layers):
            if number and options.left() < 0:
                notes.append(f"{part}: {number} of {len(layers)} layers, no time left")
                break
            rows += [{"precision": name, **row} for row in timed(bench, layer, int(batch), kind)]
            bench.give_back()
    return {"rows": rows, "notes": notes}


def timed(bench: Bench, layer: Layer, batch: int, kind: str) -> list[dict[str, Any]]:
    """Return for each direction of a layer the milliseconds by tiles, what each should take, and the choice."""
    from gpudl.backend.cupy import choosing, conv2d
    from gpudl.shapes import ConvGeometry

    x = bench.ours(bench.normal(batch, layer.size, layer.size, layer.channels, kind=kind))
    dy = bench.ours(bench.normal(batch, layer.out, layer.out, layer.filters, kind=kind))
    kernel = bench.ours(bench.normal(layer.window, layer.window, layer.channels, layer.filters, kind=kind))
    conv = ConvGeometry.of(x.shape, kernel.shape, layer.stride, layer.padding)
    size, out, rows = x.dtype.itemsize, batch * layer.out**2, layer.window**2 * layer.channels
    back = rows // layer.channels * layer.filters // layer.stride**2
    read = batch * (layer.size // layer.stride) ** 2  # positions of a phase of the input
    directions: dict[str, tuple[str, list[tuple[float, Any]], Callable[[], Any]]] = {
        "forward": (
            "for_gather", choosing.gather_choices(out, layer.filters, 1, rows, size, True),
            lambda: conv2d.forward(x, kernel, None, conv),
        ),
        "input gradient": (
            "for_gather", choosing.gather_choices(read, layer.channels, 1, back, size, layer.stride == 1),
            lambda: conv2d.input_gradient(dy, kernel, conv),
        ),
        "kernel gradient": (
            "for_gradient", choosing.gradient_choices(rows, layer.filters, 1, out, size),
            lambda: conv2d.kernel_gradient(x, dy, conv),
        ),
    }  # fmt: skip
    found: list[dict[str, Any]] = []
    for what, (name, choices, call) in directions.items():
        row: dict[str, Any] = {"layer": str(layer), "batch": batch, "what": what, "ms": {}, "expected": {}}
        chooser = getattr(choosing, name)
        for expected, choice in choices:
            label = f"{choice.tiles.rows}x{choice.tiles.columns}" + (f" / {choice.parts}" if choice.parts > 1 else "")
            setattr(choosing, name, lambda *_, choice=choice: choice)
            try:
                row["ms"][label] = bench.medians({label: call})[label]
            finally:
                setattr(choosing, name, chooser)
            row["expected"][label] = expected
        found.append({**row, "chosen": min(row["expected"], key=row["expected"].__getitem__)})
    return found
