"""Depthwise convolution: what its multiply-adds take, and what the transforms before and behind them."""

from __future__ import annotations

from bench.cpu import calls
from bench.cpu.calls import draw
from bench.cpu.reasons.timing import THEIRS, Call, Figure, Job, milliseconds, of_pytorch


def multiply_adds_of_strips() -> Call:
    """The sums of products of a depthwise convolution of one image of 56x56x64: three taps for six rows of four."""
    import numpy as np

    from gpudl.backend.numpy import depthwise_strips as strips
    from gpudl.shapes import DepthwiseGeometry

    conv = DepthwiseGeometry.of((1, 56, 56, 64), (3, 3, 64, 1), 1, "same")
    plan = strips._plan(conv, strips.BLOCK)
    x, kernel = draw(conv.x_shape, conv.kernel_shape)
    block, images = strips._Workspace.of(plan).block(0)
    block.transform_inputs(plan.read(x), images)
    taps = strips._transformed(kernel, plan)
    return lambda: np.einsum("isrq,isq->irq", block.windows, taps, out=block.products)


def transforms_of_strips() -> Call:
    """The transforms before and behind these, of 32 images: six rows of six, and four of six."""
    from gpudl.backend.numpy import depthwise_strips as strips
    from gpudl.shapes import DepthwiseGeometry

    conv = DepthwiseGeometry.of((32, 56, 56, 64), (3, 3, 64, 1), 1, "same")
    plan = strips._plan(conv, strips.BLOCK)
    x, y = draw(conv.x_shape, conv.y_shape)
    room, inputs, outputs = strips._Workspace.of(plan), plan.read(x), plan.written(y)
    room.second.fill(1)

    def transform() -> None:
        for number in range(plan.count):
            block, images = room.block(number)
            block.transform_inputs(inputs, images)
            block.write(outputs, images)

    return transform


def transforms_of_tiles() -> Call:
    """What tiles of both axes would begin with, as winograd.py makes it: B^T d B of the same images."""
    from gpudl.backend.numpy import winograd
    from gpudl.shapes import ConvGeometry

    conv = ConvGeometry.of((32, 56, 56, 64), (3, 3, 64, 64), 1, "same")
    plan = winograd._plan(conv, winograd.BLOCK, keeps_inputs=False)
    (x,) = draw(conv.x_shape)
    room, inputs = winograd._Workspace.of(plan), plan.read(x)

    def transform() -> None:
        for number in range(plan.count):
            block, images = room.block(number)
            block.transform_inputs(inputs, images)

    return transform


def depthwise_forward() -> Call:
    """32 images of 56x56x64, 3x3."""
    return calls.make("gpudl", "conv2d depthwise 3x3, 64, 56x56, batch 32, forward")


def writing_of_results() -> Call:
    """Zeros where the results of that convolution go, which are written once: one image at a time."""
    import numpy as np

    from gpudl.backend.numpy import aligned

    y = aligned.zeros((32, 56, 56, 64), np.float32)

    def write() -> None:
        for image in y:
            image.fill(0)

    return write


def of_depthwise(seconds: float) -> list[Figure]:
    """What the multiply-adds and the transforms of a depthwise convolution take of its time."""
    work, adds, images = "depthwise 3x3, 64, 56x56, batch 32", 9 * 56 * 56 * 64 / 2, 32
    products, transforms, tiles, writing = (
        milliseconds(seconds, Job(make, (), threads=1))
        for make in (multiply_adds_of_strips, transforms_of_strips, transforms_of_tiles, writing_of_results)
    )
    return [
        Figure(work, "multiply-adds of einsum on one core", adds / products / 1e6, "per ns"),
        Figure(work, "all of them, half of the definition's, on two cores", images * products / 2, "ms"),
        Figure(work, "transforms, which read the images and write the results, on two cores", transforms / 2, "ms"),
        Figure(work, "only writing as many results on two cores", writing / 2, "ms"),
        Figure(work, "of tiles of both axes, which it is not made by, the inputs' transform alone", tiles / 2, "ms"),
        Figure(work, "forward", milliseconds(seconds, Job(depthwise_forward, ())), "ms"),
        *of_pytorch(seconds, work, calls.make, (THEIRS, f"conv2d {work}, forward")),
    ]
