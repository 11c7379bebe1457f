"""Whole training steps (forward, loss, gradients, Adam) in gpudl and in PyTorch, eager and compiled, by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from bench.fit_step import fit_step
from bench.gpu.running import Options, Result
from bench.gpu.timing import Bench, precision, why_not

SECONDS, AT_ONCE = 125, 1
COMPILING = 25
"""Seconds that must be left for torch.compile to be begun, besides what the parts that follow need without it."""

TIMING = 2.5
"""Seconds that all steps of a part are timed for."""

Network = tuple[Callable[[], Any], Callable[[], Any], int, tuple[int, ...]]


def networks(small: bool) -> dict[str, Network]:
    """Return each network in gpudl and PyTorch, with batch size and shape of a sample."""
    from bench import models, torch_models

    if small:
        size = (8, 8, 3)
        return {
            "MLP": (lambda: models.mlp(8, 4, 10), lambda: torch_models.mlp(8, 4, 10), 4, (8,)),
            "ResNet": (lambda: models.resnet((4, 8), 1, 8), lambda: torch_models.resnet((4, 8), 1, 8), 2, size),
        }
    mlp = (784, 1024, 1024, 10)
    return {
        "MLP 784-1024-1024-10, batch 128": (lambda: models.mlp(*mlp), lambda: torch_models.mlp(*mlp), 128, (784,)),
        "CNN 32-64-128, 28x28, batch 128": (models.cnn, torch_models.cnn, 128, (28, 28, 1)),
        "VGG-like, 32x32x3, batch 128": (models.vgg, torch_models.vgg, 128, (32, 32, 3)),
        "ResNet-18, 32x32x3, batch 128": (models.resnet, torch_models.resnet, 128, (32, 32, 3)),
    }


def parts(options: Options) -> list[list[str]]:
    """Name network and precision; a dense network has no convolutions whose products "medium" would change."""
    if options.rehearse:
        return [["MLP; float32", "ResNet; float32"]]
    names = ("MLP 784-1024-1024-10", "CNN 32-64-128, 28x28", "VGG-like, 32x32x3", "ResNet-18, 32x32x3")
    words = [f"{name}, batch 128; float32" for name in names]
    return [[*words, *(f"{name}, batch 128; TF32" for name in names[1:])]]


def torch_step(bench: Bench, build: Any, x: Any, y: Any, layout: str, compiled: bool) -> Callable[[], Any]:
    """Return PyTorch's step, as its tutorials write it."""
    torch = bench.torch
    model = build().to(bench.device)
    if layout == "channels last":
        x, model = x.contiguous(memory_format=torch.channels_last), model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    loss_of = torch.nn.CrossEntropyLoss()
    call = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad()
        loss_of(call(x), y).backward()
        optimizer.step()

    return step


def run(part: str, options: Options) -> Result:
    """Time one network in one precision."""
    if reason := why_not(options):
        return {"skipped": reason}
    import gpudl

    bench = Bench(options)
    torch = bench.torch
    network, _, name = part.partition("; ")
    ours, theirs, batch, shape = networks(options.rehearse)[network]
    x, y = bench.normal(batch, *shape), torch.randint(0, 10, (batch,), device=bench.device)
    image = x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x
    notes: list[str] = []
    with ExitStack() as stack:
        for context in (precision(name), gpudl.device("cuda")):
            stack.enter_context(context)
        calls = {"gpudl": fit_step(ours(), bench.ours(x), bench.ours(y), stack)}
        layouts = ("contiguous", "channels last") if x.ndim == 4 else ("contiguous",)
        for layout in layouts:
            calls[layout] = torch_step(bench, theirs, image, y, layout, compiled=False)
        names = parts(options)[0]
        room = options.end - time.time() - 2 * TIMING * (len(names) - names.index(part))
        if room < COMPILING or options.rehearse:
            notes.append(
                f"{part}: torch.compile was not tried: {'a rehearsal' if options.rehearse else 'no time left'}"
            )
        else:
            try:
                import_module("torch._dynamo").reset()
                compiled = torch_step(bench, theirs, image, y, layouts[-1], compiled=True)
                for _ in range(3):
                    compiled()
                bench.synchronize()
                calls["compiled"] = compiled
            except Exception as error:
                notes.append(f"{part}: torch.compile failed: {type(error).__name__}: {str(error)[:300]}")
        ms = bench.wall(calls, TIMING)
    bench.give_back()
    return {"rows": [{"network": network, "precision": name, "batch": batch, "ms": ms}], "notes": notes}
