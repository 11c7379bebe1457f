"""Check an op: its value against an independent oracle, its gradients against numeric ones, its types, its manners."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpudl.autograd import Tensor
from gpudl.backend import Array, array_module, to_numpy

STEP = 1e-6
"""Step of the central differences in float64, relative to the entry where that is larger than 1."""

ENTRIES = 20
"""Entries of each array whose gradient is checked numerically; all of them where there are no more."""

FLOAT64 = 1e-10
"""Agreement with the oracle in float64, relative to the largest entry."""

FLOAT32 = 1e-5
"""Agreement of float32 with float64, relative to the largest entry."""


def check_close(what: str, got: Array, expected: Array, rtol: float = FLOAT32, *, scale: float | None = None) -> None:
    """Check that two arrays agree to within `rtol` of the largest finite entry expected; inf and NaN must match.

    `scale` takes the place of the largest entry: the size such numbers have where nothing happens to cancel.

    Raises: AssertionError with `what`, the position where they differ most, and both numbers.
    """
    found, wanted = np.asarray(to_numpy(got)), np.asarray(to_numpy(expected))
    if found.shape != wanted.shape:
        raise AssertionError(f"{what}: got shape {found.shape}, expected {wanted.shape}")
    if scale is None:
        scale = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0))
    _within(what, found, wanted, rtol * scale, "got", "expected")


def check_op(
    op: Callable[..., Any],
    arrays: Sequence[Array | None],
    settings: Mapping[str, Any] | None = None,
    *,
    oracle: Callable[..., Array] | None = None,
    differentiate: Sequence[int] | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check everything an op promises, for these arrays (by position; None for one left out) and settings.

    - Plain arrays in, a plain array out; Tensors in, a Tensor of the same values out. No array passed in is changed.
    - float64: the gradients of sum(projection * y), for a random positive projection, equal central differences to
      within `rtol` of the largest; entries to check are drawn by `seed`, and are all of them in a small array.
    - float32 in gives float32 out and float32 gradients, which equal those of float64.
    - The value equals `oracle(*arrays, **settings)` where one is given: code that shares nothing with the op, and is
      given NumPy's arrays on every device.

    `differentiate` lists the positions of the arrays that have a gradient; by default all of floating point.
    Floating-point arrays are first rounded to float32, so that both precisions work on the same numbers. Keep them
    away from kinks and ties (relu at 0, equal entries in a max): there no central difference equals a gradient.

    Raises: AssertionError that names the op, the argument, the position and both numbers.
    """
    settings = dict(settings or {})
    name = getattr(op, "__name__", str(op))
    singles = [_as_type(array, "float32") for array in arrays]
    doubles = [_as_type(array, "float64") for array in singles]
    if differentiate is None:
        differentiate = [i for i, array in enumerate(singles) if array is not None and array.dtype.kind == "f"]

    rng = np.random.default_rng([seed, 1])  # not what a test with the same seed drew its arrays from
    y = _value(name, op, doubles, settings)
    projection = _like(y, rng.uniform(0.5, 1.5, y.shape).astype(np.float32).astype(np.float64))
    gradients = _gradients(name, op, doubles, settings, differentiate, y, projection)
    for i, gradient in gradients.items():
        _check_numerically(name, op, doubles, settings, i, gradient, projection, rtol, rng)

    y_single = _value(name, op, singles, settings)
    if y_single.dtype != np.float32:
        raise AssertionError(f"{name}: float32 in gave {y_single.dtype} out")
    check_close(f"{name}: value in float32 against float64", y_single, y)
    # A gradient summed over terms that happen to cancel is smaller than what its terms are rounded to. How large it
    # usually is, other signs of the projection show.
    sizes = {i: float(abs(gradient).max()) if gradient.size else 0.0 for i, gradient in gradients.items()}
    for _ in range(2):
        signed = projection * _like(y, rng.choice([-1.0, 1.0], y.shape))
        for i, gradient in _gradients(name, op, doubles, settings, differentiate, y, signed).items():
            sizes[i] = max(sizes[i], float(abs(gradient).max()) if gradient.size else 0.0)
    projection = projection.astype(np.float32)
    for i, gradient in _gradients(name, op, singles, settings, differentiate, y_single, projection).items():
        what = f"{name}: gradient of argument {i} in float32 against float64"
        check_close(what, gradient, gradients[i], scale=sizes[i])

    if oracle is not None:
        expected = oracle(*(None if array is None else to_numpy(array).copy() for array in doubles), **settings)
        check_close(f"{name}: value in float64 against the oracle", y, expected, FLOAT64)
        check_close(f"{name}: value in float32 against the oracle", y_single, expected)


def _as_type(array: Array | None, dtype: str) -> Array | None:
    """Floating-point arrays in another precision; integers, booleans and None as they are."""
    if array is None or array.dtype.kind != "f":
        return array
    return array.astype(dtype)


def _like(y: Array, values: np.ndarray) -> Array:
    return array_module(y).asarray(values)


def _copies(arrays: Sequence[Array | None]) -> list[Array | None]:
    return [None if array is None else array.copy() for array in arrays]


def _value(name: str, op: Callable[..., Any], arrays: Sequence[Array | None], settings: Mapping[str, Any]) -> Array:
    """Call the op on plain arrays."""
    passed = _copies(arrays)
    y = op(*passed, **settings)
    if isinstance(y, Tensor) or not hasattr(y, "dtype"):
        raise AssertionError(f"{name}: plain arrays in gave a {type(y).__name__}, not a plain array")
    _expect_unchanged(f"{name}: the forward pass", passed, arrays)
    return y.copy()


def _gradients(
    name: str,
    op: Callable[..., Any],
    arrays: Sequence[Array | None],
    settings: Mapping[str, Any],
    differentiate: Sequence[int],
    value: Array,
    projection: Array,
) -> dict[int, Array]:
    """Call the op on Tensors and go back through it: the gradient of each argument that has one."""
    passed = _copies(arrays)
    tensors = {i: Tensor(passed[i], requires_grad=True) for i in differentiate}
    y = op(*(tensors.get(i, array) for i, array in enumerate(passed)), **settings)
    if not tensors:
        return {}
    if not isinstance(y, Tensor):
        raise AssertionError(f"{name}: Tensors in gave a {type(y).__name__}, not a Tensor")
    check_close(f"{name}: value from Tensors against plain arrays", y.data, value, 0.0)
    dy = projection.copy()
    y.backward(dy)
    _expect_unchanged(f"{name}: the backward pass", [*passed, dy], [*arrays, projection])
    gradients: dict[int, Array] = {}
    for i, tensor in tensors.items():
        gradient = tensor.grad
        if gradient is None:
            raise AssertionError(f"{name}: argument {i} got no gradient")
        if gradient.shape != tensor.shape or gradient.dtype != tensor.dtype:
            raise AssertionError(
                f"{name}: argument {i} is {tensor.dtype} of shape {tensor.shape}, "
                f"but its gradient is {gradient.dtype} of shape {gradient.shape}"
            )
        gradients[i] = gradient
    return gradients


def _check_numerically(
    name: str,
    op: Callable[..., Any],
    arrays: Sequence[Array | None],
    settings: Mapping[str, Any],
    i: int,
    gradient: Array,
    projection: Array,
    rtol: float,
    rng: np.random.Generator,
) -> None:
    """Compare entries of one argument's gradient with central differences of the projected output."""
    array = arrays[i]
    assert array is not None
    chosen = np.arange(array.size) if array.size <= ENTRIES else rng.choice(array.size, ENTRIES, replace=False)
    positions = [tuple(int(n) for n in np.unravel_index(flat, array.shape)) for flat in chosen]
    numeric, rounding = np.zeros(len(positions)), 0.0
    for entry, position in enumerate(positions):
        here = float(array[position])
        step = STEP * max(1.0, abs(here))
        sides = []
        for shifted in (here + step, here - step):
            moved = _copies(arrays)
            moved[i][position] = shifted  # pyright: ignore[reportOptionalSubscript]
            sides.append(op(*moved, **settings))
        # Subtracting before summing: what does not depend on this entry cancels exactly.
        numeric[entry] = float((projection * (sides[0] - sides[1])).sum()) / (2 * step)
        rounding = max(rounding, 1e-15 * float(abs(projection * sides[0]).max()) / step)
    analytic = np.array([float(gradient[position]) for position in positions])
    scale = max(np.abs(analytic).max(initial=0), np.abs(numeric).max(initial=0))
    what = f"{name}: gradient of argument {i}"
    _within(what, analytic, numeric, rtol * float(scale) + rounding, "backward gives", "central difference", positions)


def _within(
    what: str,
    found: np.ndarray,
    wanted: np.ndarray,
    tolerance: float,
    found_is: str,
    wanted_is: str,
    positions: Sequence[tuple[int, ...]] | None = None,
) -> None:
    same = (found == wanted) | ((found != found) & (wanted != wanted))
    with np.errstate(invalid="ignore"):
        distance = np.where(same, 0.0, np.abs(1.0 * found - wanted))  # booleans are not subtracted
    distance = np.where(np.isnan(distance), np.inf, distance)
    if distance.size and distance.max() > tolerance:
        flat = int(distance.argmax())
        worst = tuple(int(n) for n in np.unravel_index(flat, found.shape))
        position = worst if positions is None else positions[flat]
        raise AssertionError(
            f"{what} at {position}: {found_is} {found[worst].item()!r}, {wanted_is} {wanted[worst].item()!r} "
            f"(may differ by {tolerance:.2g})"
        )


def _expect_unchanged(what: str, passed: Sequence[Array | None], arrays: Sequence[Array | None]) -> None:
    for i, (after, before) in enumerate(zip(passed, arrays, strict=True)):
        if after is not None and before is not None:
            check_close(f"{what} changed argument {i}", after, before, 0.0)
