"""The error function, to float64 rounding, of operations that both array libraries have."""

from __future__ import annotations

import math
from typing import Any

from gpudl.autograd import differentiable
from gpudl.backend import Array, array_module
from gpudl.ops.decorators import pointwise

# Coefficients of rising powers: numerators and denominators of three quotients.
SMALL = (
    (3.20937758913846947e03, 3.77485237685302021e02, 1.13864154151050156e02, 3.16112374387056560e00,
     1.85777706184603153e-1),
    (2.84423683343917062e03, 1.28261652607737228e03, 2.44024637934444173e02, 2.36012909523441209e01, 1.0),
)  # fmt: skip
MIDDLE = (
    (1.23033935479799725e03, 2.05107837782607147e03, 1.71204761263407058e03, 8.81952221241769090e02,
     2.98635138197400131e02, 6.61191906371416295e01, 8.88314979438837594e00, 5.64188496988670089e-1,
     2.15311535474403846e-8),
    (1.23033935480374942e03, 3.43936767414372164e03, 4.36261909014324716e03, 3.29079923573345963e03,
     1.62138957456669019e03, 5.37181101862009858e02, 1.17693950891312499e02, 1.57449261107098347e01, 1.0),
)  # fmt: skip
LARGE = (
    (6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1, 3.60344899949804439e-1,
     3.05326634961232344e-1, 1.63153871373020978e-2),
    (2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1, 1.87295284992346725e00,
     2.56852019228982242e00, 1.0),
)  # fmt: skip


def _quotient(x: Array, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    """Divide two polynomials at x, each by Horner's rule."""
    over, under = (0 * x + row[-1] for row in coefficients)
    for row_over, row_under in zip(reversed(coefficients[0][:-1]), reversed(coefficients[1][:-1]), strict=True):
        over, under = over * x + row_over, under * x + row_under
    return over / under


def erf_values(x: Array) -> Array:
    """erf(x) = 2 / sqrt(pi) * integral of exp(-t^2) for t from 0 to x, of a plain floating-point array.

    Up to 0.46875 a quotient of polynomials in x^2; from there to 4 and beyond, 1 - erfc(|x|), with erfc as exp(-x^2)
    times a quotient in |x| and in 1 / x^2. Beyond 6 it is 1 to the last digit.

    Source: W. J. Cody 1969, Rational Chebyshev approximations for the error function, Math. Comp. 23.
    """
    xp = array_module(x)
    size = xp.abs(x)
    inner = xp.minimum(size, 0.46875)
    small = inner * _quotient(inner * inner, SMALL)
    outer = xp.clip(size, 0.46875, 6)
    middle = _quotient(xp.minimum(outer, 4), MIDDLE)
    square = 1 / (outer * outer)
    large = (1 / math.sqrt(math.pi) - square * _quotient(square, LARGE)) / outer
    rest = xp.exp(-outer * outer) * xp.where(outer <= 4, middle, large)
    return xp.copysign(xp.where(size <= 0.46875, small, 1 - rest), x)


@differentiable
@pointwise
def erf(x: Array) -> tuple[Array, Any]:
    """The error function, elementwise. Gradient: 2 / sqrt(pi) * exp(-x^2)."""
    return erf_values(x), lambda: 2 / math.sqrt(math.pi) * array_module(x).exp(-x * x)
