from __future__ import annotations

from gpudl.autograd import Into, differentiable
from gpudl.backend import Array, kernels
from gpudl.errors import ShapeError
from gpudl.ops.epilogue import Epilogue
from gpudl.shapes import shown


@differentiable
def dense(x: Array, kernel: Array, bias: Array | None = None, *, relu: bool = False) -> tuple[Array, object]:
    """Weigh and add the last axis: y = x @ kernel + bias. With `relu` what is below 0 becomes 0, in the same pass.

    Shapes: x (..., I), kernel (I, O), bias (O,) -> y (..., O).
    Gradient: dx = dy @ kernel^T, dkernel = x^T @ dy, dbias = sum of dy over all axes but the last.
    Raises: ShapeError where x's last axis is not the kernel's first.
    """
    if x.shape[-1] != kernel.shape[0]:
        raise ShapeError(
            f"input of shape {shown((None, *x.shape[1:]))} has {x.shape[-1]} features, but the kernel of shape "
            f"{shown(kernel.shape)} takes {kernel.shape[0]}"
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ShapeError(f"bias must have shape {shown(kernel.shape[1:])}, one per unit, but has {shown(bias.shape)}")
    twin = kernels("dense", x, kernel)
    rows = x.reshape(-1, x.shape[-1])
    y = twin.forward(rows, kernel, bias, relu)
    end = Epilogue(y, relu, bias is not None)
    return y.reshape(*x.shape[:-1], y.shape[-1]), (
        lambda dy: twin.input_gradient(end.gradient(dy), kernel).reshape(x.shape),
        Into(lambda dy, out: twin.kernel_gradient(rows, end.gradient(dy), out)),
        end.bias_gradient,
    )
