from __future__ import annotations

from typing import Any

from gpudl.autograd import as_array, differentiable
from gpudl.backend import Array, array_module
from gpudl.errors import ShapeError, UsageError
from gpudl.shapes import shown


@differentiable
def _einsum(*operands: Array, terms: tuple[str, ...], result: str) -> tuple[Array, Any]:
    xp = array_module(*operands)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        if len(term) != x.ndim or any(
            sizes.setdefault(letter, n) != n for letter, n in zip(term, x.shape, strict=True)
        ):
            shapes = ", ".join(shown(each.shape) for each in operands)
            raise ShapeError(f'einsum("{",".join(terms)}->{result}"): arrays of shape {shapes} do not fit the letters')

    def gradient(i: int) -> Any:
        """dy times all the others, summed over what operand i does not have, and the same along what it has alone."""

        def backward(dy: Array) -> Array:
            others = [n for n in range(len(terms)) if n != i]
            kept = [letter for letter in terms[i] if letter in result or any(letter in terms[n] for n in others)]
            inputs = ",".join([result, *(terms[n] for n in others)])
            dx = xp.einsum(f"{inputs}->{''.join(kept)}", dy, *(operands[n] for n in others), optimize=True)
            dx = dx.reshape([sizes[letter] if letter in kept else 1 for letter in terms[i]])
            return xp.broadcast_to(dx, operands[i].shape)

        return backward

    y = xp.asarray(xp.einsum(f"{','.join(terms)}->{result}", *operands, optimize=True))
    return y, tuple(gradient(i) for i in range(len(terms)))


def einsum(subscripts: str, *operands: Array) -> Array:
    """Multiply arrays and sum, each axis named by a letter: "ij,jk->ik" is the product of two matrices.

    Letters missing after the arrow are summed over; without an arrow those that occur twice are, and the others stand
    in the order of the alphabet. Gradient: for every array, the same kind of product with dy.
    Raises: UsageError for "..." and for a letter twice in one array; ShapeError where shapes do not fit the letters.
    """
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = tuple(left.split(","))
    if not arrow:
        result = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    if len(terms) != len(operands):
        raise UsageError(f"einsum({subscripts!r}) names {len(terms)} arrays, but {len(operands)} were given")
    for term in (*terms, result):
        if (term and not term.isalpha()) or len(set(term)) < len(term) or not set(result) <= set(left):
            raise UsageError(
                f"einsum({subscripts!r}): every axis of an array needs a letter of its own, and the result may have "
                'only letters that occur; "..." is not understood'
            )
    return _einsum(*(as_array(x) for x in operands), terms=terms, result=result)
