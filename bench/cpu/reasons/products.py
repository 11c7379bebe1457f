"""Products of matrices: where BLAS copies its factors, and where it need not; and those of an MLP's step."""

from __future__ import annotations

from itertools import pairwise

from bench.cpu.calls import draw
from bench.cpu.reasons.timing import Call, Figure, Job, milliseconds
from bench.cpu.steps import ENTERED

MLP = 784, 256, 128, 10


def products_of_mlp() -> Call:
    """The products of matrices of a step of the larger MLP, as gpudl makes them: eight."""
    from gpudl.backend.numpy import dense
    from gpudl.backend.numpy.workers import single_threaded_blas

    ENTERED.enter_context(single_threaded_blas)
    pairs = list(pairwise(MLP))
    inputs, kernels = draw(*[(128, i) for i, _ in pairs]), draw(*pairs)
    gradients = draw(*[(128, o) for _, o in pairs])

    def products() -> None:
        for x, kernel, dy in zip(inputs, kernels, gradients, strict=True):
            dense.forward(x, kernel, None, False)
            dense.kernel_gradient(x, dy)
            if x is not inputs[0]:
                dense.input_gradient(dy, kernel)

    return products


TALL_PRODUCTS = (16384, 9, 32), (16384, 32, 64)
"""Sizes (M, I, O) of products (M, I) x (I, O): of a first layer, and of a 1x1 convolution."""


def tall_product(M: int, inner: int, columns: int, in_parts: bool) -> Call:
    """A product of many rows and a small factor on one thread: at once, or as gpudl makes it of small ones."""
    import numpy as np

    from gpudl.backend.numpy.products import multiply
    from gpudl.backend.numpy.workers import single_threaded_blas

    ENTERED.enter_context(single_threaded_blas)
    a, b = draw((M, inner), (inner, columns))
    out = np.empty((M, columns), np.float32)
    return lambda: multiply(a, b, out) if in_parts else np.matmul(a, b, out=out)


def of_products(seconds: float) -> list[Figure]:
    """How many multiply-adds BLAS makes where it copies its factors, and where it need not."""
    found = []
    for M, inner, columns in TALL_PRODUCTS:
        for in_parts, what in (False, "at once"), (True, "as small products"):
            taken = milliseconds(seconds, Job(tall_product, (M, inner, columns, in_parts)))
            rate = M * inner * columns / taken / 1e6
            found.append(Figure(f"({M}, {inner}) x ({inner}, {columns}), one core", what, rate, "per ns"))
    return found
