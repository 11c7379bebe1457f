"""Convolutions, pooling and batch normalization beside PyTorch with cuDNN, each call on the GPU alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.gpu.layers import KINDS, Layer, passes
from bench.gpu.running import Options, Result
from bench.gpu.timing import PRECISIONS, Bench, precision, why_not

SECONDS, AT_ONCE = 135, 1
DIRECTIONS = ("forward", "input gradient", "kernel gradient")
CLOSE = {"float32": 1e-4, "TF32": 1e-2, "bfloat16": 3e-2}
"""How far both libraries' results may be apart, relative to the largest number, before it is said."""


def parts(options: Options) -> list[list[str]]:
    from gpudl.backend.cupy import launching

    names = [name for name in PRECISIONS if name != "bfloat16" or name in getattr(launching, "SIXTEEN_BITS", ())]
    batches = (2,) if options.rehearse else (32,) if options.quick else (32, 128)
    found = ["ceilings"]
    for batch in batches:
        found += [f"convolutions, {name}, {batch}" for name in names]
        found += [f"first layers, {name}, {batch}" for name in names]
        found += [f"depthwise, float32, {batch}", f"max pooling, float32, {batch}"]
        found += [f"average pooling, float32, {batch}", f"batch normalization, float32, {batch}"]
    return [found]


def weight(part: str) -> int:
    """Return how much of the time a part needs: ResNet-50 has many layers, for each of which cuDNN tries algorithms."""
    return 8 if part.startswith("convolutions") else 1


def run(part: str, options: Options) -> Result:
    """Time one kind of layer in one precision and batch size, or what the GPU can do at best."""
    if reason := why_not(options):
        return {"skipped": reason}
    bench = Bench(options)
    if part == "ceilings":
        return {"rows": ceilings(bench)}
    kind, name, batch = part.split(", ")
    with precision(name) as of:
        if kind in KINDS:
            layers = [Layer(8, 8, 8, 3, 2), Layer(8, 8, 8, 1)] if options.rehearse else KINDS[kind]
            layers = [Layer(8, 8, 8, 3, 1, 8)] if options.rehearse and kind == "depthwise" else layers
            return _each([lambda a=a: convolution(bench, a, int(batch), of) for a in layers], kind, name, options)
        shapes = IMAGES[kind]
        tried = [lambda s=s: passing(bench, kind, (int(batch), *_reduced(s, options))) for s in shapes]
        return _each(tried, kind, name, options)


def _reduced(shape: tuple[int, ...], options: Options) -> tuple[int, ...]:
    return (6, 6, 4) if options.rehearse else shape


def _each(calls: list[Callable[[], list[dict[str, Any]]]], kind: str, name: str, options: Options) -> Result:
    """Collect rows until the time is up; a layer that fails does not keep the others from being timed."""
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    failures: list[str] = []
    for number, call in enumerate(calls):
        if number and options.left() < 0:
            notes.append(f"{kind}, {name}: {number} of {len(calls)} layers, no time left")
            break
        try:
            rows += call()
        except Exception as error:
            failures.append(f"{kind}, {name}, layer {number + 1}: {type(error).__name__}: {error}")
    for row in rows:
        row |= {"kind": kind, "precision": name}
        if row["apart"] is not None and not row["apart"] <= CLOSE[name]:
            failures.append(f"{kind}, {name}: {row['layer']}, {row['what']}: {row['apart']:.2g} apart from PyTorch")
    return {"rows": rows, "notes": notes, "failures": failures}


def ceilings(bench: Bench) -> list[dict[str, Any]]:
    """What a large product reaches in each precision, and a copy on the device."""
    size = 64 if bench.rehearsal else 8192
    rows: list[dict[str, Any]] = []
    for name in PRECISIONS:
        with precision(name) as of:
            a, b = bench.normal(size, size, kind=of), bench.normal(size, size, kind=of)
            ms = bench.medians({"product": lambda a=a, b=b: a @ b})["product"]
        rows.append({"ceiling": name, "ms": ms, "flops": 2 * size**3, "tflops": 2 * size**3 / ms / 1e9})
    count = 1 << (10 if bench.rehearsal else 28)
    source, target = bench.normal(count), bench.normal(count)
    ms = bench.medians({"copy": lambda: target.copy_(source)})["copy"]
    return [*rows, {"ceiling": "copy", "ms": ms, "bytes": 8 * count, "gb_per_s": 8 * count / ms / 1e6}]


def _apart(bench: Bench, ours: Any, theirs: Any) -> float:
    """Return the largest difference relative to the largest number; both are (N, H, W, C) or (R, S, C, K)."""
    mine, other = bench.theirs(ours).float(), theirs.float()
    return float((mine - other).abs().max() / other.abs().max().clamp_min(1e-30))


def convolution(bench: Bench, layer: Layer, batch: int, of: str) -> list[dict[str, Any]]:
    """Time a layer and its two gradients."""
    from gpudl.backend import kernels
    from gpudl.shapes import ConvGeometry, DepthwiseGeometry

    torch = bench.torch
    is_depthwise = layer.groups > 1
    x = bench.normal(batch, layer.size, layer.size, layer.channels, kind=of)
    dy = bench.normal(batch, layer.out, layer.out, layer.filters, kind=of)
    kernel = bench.normal(layer.window, layer.window, layer.channels // layer.groups, layer.filters, kind=of)
    if is_depthwise:  # gpudl's depthwise kernel is (R, S, C, 1)
        conv = DepthwiseGeometry.of(tuple(x.shape), (*kernel.shape[:2], layer.channels, 1), layer.stride, layer.padding)
    else:
        conv = ConvGeometry.of(tuple(x.shape), tuple(kernel.shape), layer.stride, layer.padding)
    mine = bench.ours(x), bench.ours(kernel).reshape(conv.kernel_shape), bench.ours(dy)
    twin = kernels("depthwise" if is_depthwise else "conv2d", mine[0])
    wide = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), dy.permute(0, 3, 1, 2)
    last = [tensor.contiguous(memory_format=torch.channels_last) for tensor in wide]
    first = [tensor.contiguous() for tensor in wide]
    geometry = [[layer.stride] * 2, [layer.padding] * 2, [1, 1], False, [0, 0], layer.groups]

    def forward(x: Any, kernel: Any, dy: Any) -> Any:
        return torch.nn.functional.conv2d(x, kernel, None, layer.stride, layer.padding, 1, layer.groups)

    def backward(which: int) -> Callable[..., Any]:
        mask = [which == 0, which == 1, False]
        return lambda x, kernel, dy: torch.ops.aten.convolution_backward(dy, x, kernel, None, *geometry, mask)[which]

    ours: dict[str, Callable[[], Any]] = {
        "forward": lambda: twin.forward(mine[0], mine[1], None, conv),
        "input gradient": lambda: twin.input_gradient(mine[2], mine[1], conv),
        "kernel gradient": lambda: twin.kernel_gradient(mine[0], mine[2], conv),
    }
    rows: list[dict[str, Any]] = []
    for what, theirs in zip(DIRECTIONS, (forward, backward(0), backward(1)), strict=True):
        order = (2, 3, 1, 0) if what == "kernel gradient" else (0, 2, 3, 1)
        wanted = theirs(*last).permute(*order)
        apart = _apart(bench, ours[what]().reshape(tuple(wanted.shape)), wanted)
        calls = {"gpudl": ours[what]}
        calls |= {"contiguous": lambda f=theirs: f(*first), "channels last": lambda f=theirs: f(*last)}
        ms = bench.medians(calls)
        row: dict[str, Any] = {"layer": str(layer), "batch": batch, "what": what, "ms": ms, "apart": apart}
        rows.append({**row, "flops": layer.flops(batch), "tflops": layer.flops(batch) / ms["gpudl"] / 1e9})
    bench.give_back()
    return rows


# Images (H, W, C) that pooling and batch normalization are timed on: those of ResNet-50 and VGG-16.
IMAGES = {
    "max pooling": [(112, 112, 64), (56, 56, 128), (28, 28, 256)],
    "average pooling": [(56, 56, 128), (28, 28, 256)],
    "batch normalization": [(112, 112, 64), (56, 56, 256), (28, 28, 512), (14, 14, 1024)],
}


def passing(bench: Bench, kind: str, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Time what is bound by the memory: pooling (the first of max pooling 3x3/2, the others 2x2) or normalization."""
    torch = bench.torch
    x = bench.normal(*shape)
    wide = x.permute(0, 3, 1, 2)
    last, first = (wide.contiguous(memory_format=f) for f in (torch.channels_last, torch.contiguous_format))
    gradients, ours, theirs, y_shape, text = _of_kind(bench, kind, x)
    dy = bench.normal(*y_shape)
    mine = bench.ours(dy)
    rows: list[dict[str, Any]] = []
    for what in ("forward", "gradient"):
        calls: dict[str, Callable[[], Any]] = {"gpudl": ours if what == "forward" else lambda: gradients(mine)}
        results: list[Any] = []
        for name, image in (("contiguous", first), ("channels last", last)):
            leaf = image.detach().requires_grad_()
            if what == "forward":
                calls[name] = lambda leaf=leaf: theirs(leaf)[0]
                results.append(calls[name]().detach())
                continue
            y, leaves = theirs(leaf)
            towards = dy.permute(0, 3, 1, 2).contiguous(
                memory_format=torch.channels_last if name == "channels last" else torch.contiguous_format
            )
            calls[name] = lambda y=y, leaves=leaves, towards=towards: torch.autograd.grad(
                y, leaves, towards, retain_graph=True
            )
            results.append(calls[name]()[0])
        found = calls["gpudl"]()
        found = found[0] if isinstance(found, tuple) else found
        wanted = results[-1].permute(0, 2, 3, 1)
        apart = _apart(bench, found.reshape(tuple(wanted.shape)), wanted)
        count = passes(kind, what == "gradient", shape, y_shape)
        ms = bench.medians(calls)
        row: dict[str, Any] = {"layer": f"{shape[1]}x{shape[2]}x{shape[3]} {text}", "batch": shape[0], "what": what}
        rows.append({**row, "ms": ms, "apart": apart, "bytes": count, "gb_per_s": count / ms["gpudl"] / 1e6})
    bench.give_back()
    return rows


def _of_kind(bench: Bench, kind: str, x: Any) -> tuple[Any, Any, Any, tuple[int, ...], str]:
    """Return gpudl's gradient and forward pass, PyTorch's forward pass with its leaves, y's shape, and its name."""
    from gpudl.backend import kernels
    from gpudl.shapes import PoolGeometry

    torch, functional, mine = bench.torch, bench.torch.nn.functional, bench.ours(x)
    if kind == "batch normalization":
        channels, epsilon = x.shape[-1], 1e-3
        twin, rows = kernels("batch_norm", mine), mine.reshape(-1, channels)
        weights = [bench.normal(channels) for _ in range(2)]
        gamma, beta = map(bench.ours, weights)
        own_moving = bench.ours(bench.normal(channels)), bench.ours(bench.normal(channels))
        _, mean, scale = twin.forward(rows, gamma, beta, own_moving, 0.99, epsilon)
        own = [w.clone().requires_grad_() for w in weights]
        moving = torch.zeros(channels, device=bench.device), torch.ones(channels, device=bench.device)
        return (
            lambda dy: twin.backward(dy.reshape(-1, channels), rows, mean, scale, gamma, True),
            lambda: twin.forward(rows, gamma, beta, own_moving, 0.99, epsilon),
            lambda leaf: (functional.batch_norm(leaf, *moving, *own, True, 0.01, epsilon), (leaf, *own)),
            tuple(x.shape),
            "",
        )
    wide = kind == "max pooling" and x.shape[-1] == 64
    window, stride, padding = (3, 2, 1) if wide else (2, 2, 0)
    pool = PoolGeometry.of(tuple(x.shape), window, stride, padding)
    twin = kernels("pool2d", mine)
    if kind == "average pooling":
        return (
            lambda dy: twin.average_backward(dy, pool),
            lambda: twin.average_forward(mine, pool),
            lambda leaf: (functional.avg_pool2d(leaf, window, stride, padding), (leaf,)),
            pool.y_shape,
            f"{window}x{window}/{stride}",
        )
    _, winner = twin.max_forward(mine, pool)
    return (
        lambda dy: twin.max_backward(dy, winner, pool),
        lambda: twin.max_forward(mine, pool),
        lambda leaf: (functional.max_pool2d(leaf, window, stride, padding), (leaf,)),
        pool.y_shape,
        f"{window}x{window}/{stride}",
    )
