"""Convolution: kernel, filter, stride, padding.

A Conv2D layer slides a small table of weights, the kernel, over the image. At each place it multiplies weights and
pixels and adds the products up: one number of the output. The weights are the same at every place, so a kernel that
finds an edge finds it everywhere. Several kernels make several outputs, the filters or feature maps.

- kernel_size: how large the table is, 3 for 3x3.
- strides: how far it moves each time. 2 halves height and width.
- padding: "valid" keeps the kernel inside, so an image of n pixels gives n - 3 + 1; "same" adds zeros at the rim, so
  that stride 1 gives n again. With stride s: "valid" ceil((n - 3 + 1) / s), "same" ceil(n / s).

The picture shows one handwritten digit, and what a 3x3 kernel makes of it that answers to vertical edges: orange
where it gets darker from left to right, blue where it gets lighter. Networks learn such kernels by themselves.
"""

import numpy as np
from _plot import picture, save, show_image

import gpudl as keras
from gpudl import layers

(images, digits), _ = keras.datasets.digits.load_data()
image = images[digits == 0][0] / 16
edge = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)  # Sobel's kernel


def convolve(image, **settings):
    """Put the kernel into a Conv2D of one filter, and the image through it."""
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 3, use_bias=False, **settings)])
    model.set_weights([edge[:, :, None, None]])
    return model.predict(image[None, :, :, None], verbose=0)[0, :, :, 0]


figure, (before, *panels, kernel) = picture("ABC;FDE")
show_image(before, image, "the digit: 8 x 8")
show_image(kernel, edge, "the kernel: 3 x 3", numbers=True, cmap="PuOr_r", vmin=-4, vmax=4)
sizes = []
for axes, (strides, padding) in zip(panels, [(1, "valid"), (1, "same"), (2, "valid"), (2, "same")], strict=True):
    feature = convolve(image, strides=strides, padding=padding)
    sizes.append(f"strides={strides} {padding} {len(feature)} x {len(feature[0])}")
    title = f'strides={strides}, "{padding}": {len(feature)} x {len(feature[0])}'
    show_image(axes, feature, title, cmap="PuOr_r", vmin=-4, vmax=4)
for axes in (before, kernel, *panels):  # all to the same scale: a pixel is as large everywhere
    rest = (8 - axes.images[0].get_size()[0]) / 2
    axes.set(xlim=(-0.5 - rest, 7.5 - rest), ylim=(7.5 - rest, -0.5 - rest))
save(figure, __file__, "A kernel finds edges; stride and padding decide how large the answer is")
print("8 x 8 becomes: " + ", ".join(sizes))
