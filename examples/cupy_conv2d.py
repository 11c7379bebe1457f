"""Convolution on plain arrays, CuPy's where there is a GPU and NumPy's elsewhere: no model, no framework around it.

CuPy 14 has no cuDNN any more, and so no convolution. gpudl.ops.conv2d and its two adjoints take its arrays as they are:

    pip install ".[cuda13]"     # or ".[cuda12]", after the version of the driver
    python examples/cupy_conv2d.py
"""

from gpudl import ops

try:
    import cupy as xp  # pyright: ignore[reportMissingImports]

    xp.cuda.runtime.getDeviceCount()
except Exception:  # neither CuPy nor a GPU is needed
    import numpy as xp

# A checkerboard with some noise: one image, 64 x 64, one channel. Channels are last.
xp.random.seed(0)
board = (xp.indices((64, 64)) // 8).sum(axis=0) % 2
image = (board + 0.3 * xp.random.standard_normal((64, 64))).astype("float32")[None, :, :, None]

# Blur: a kernel (rows, columns, channels, filters) whose numbers sum to 1.
weights = xp.asarray([1, 4, 6, 4, 1], dtype="float32") / 16
blur = xp.outer(weights, weights)[:, :, None, None]
smooth = ops.conv2d(image, blur, padding="same")
noise_before, noise_after = (float((x[0, ..., 0] - board)[2:6, 2:6].std()) for x in (image, smooth))
print(f"{xp.__name__}: noise inside a square {noise_before:.2f} -> {noise_after:.2f}")

# Edges: two kernels at once make an image of two channels.
sobel = xp.asarray([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype="float32")
edges = ops.conv2d(smooth, xp.stack([sobel, sobel.T], axis=-1)[:, :, None, :])
print(f"edges {edges.shape}: steepest slope {float(xp.abs(edges).max()):.2f}")

# The adjoints: convolution is linear in the image and in the kernel, and <A x, y> = <x, A' y> for both.
kernel = xp.random.standard_normal((3, 3, 1, 4)).astype("float32")
settings = {"strides": 2, "padding": "same"}
y = xp.random.standard_normal((1, 32, 32, 4)).astype("float32")
there = float((ops.conv2d(image, kernel, **settings) * y).sum())
to_image = ops.conv2d_input_gradient(y, kernel, input_shape=image.shape, **settings)
to_kernel = ops.conv2d_kernel_gradient(image, y, kernel_size=3, **settings)
back = float((image * to_image).sum()), float((kernel * to_kernel).sum())
print(f"<A x, y> {there:.3f}, <x, A' y> {back[0]:.3f}, {back[1]:.3f}")
