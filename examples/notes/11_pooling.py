"""Max and average pooling.

Pooling shrinks feature maps: it goes over them in windows, by default 2x2 without overlap, and keeps one number of
each. MaxPooling2D keeps the largest ("was the edge anywhere here?"), AveragePooling2D the mean ("how much of it?").
There are no weights to learn. A quarter of the numbers is left, so the layers after it cost less and see further.

The two also differ on the way back. The gradient of a maximum goes to the pixel that was the largest, all others get
none; that of a mean goes to all four in equal parts.

The picture shows a handwritten digit pooled both ways, and below which pixels get a gradient (1 / 4 of it each, with
the average), as gpudl's own backward pass computes it.
"""

import numpy as np
from _plot import picture, save, show_image

import gpudl as keras
from gpudl import layers

(images, digits), _ = keras.datasets.digits.load_data()
image = images[digits == 2][:1, :, :, None].astype(np.float32)  # (1, 8, 8, 1): a batch of one, one channel

figure, (before, most, mean, windows, most_back, mean_back) = picture("ABC;DEF")
show_image(before, image[0, :, :, 0], "the digit: 8 x 8", numbers=True, vmin=0, vmax=16)
show_image(windows, image[0, :, :, 0], "its windows: 2 x 2", vmin=0, vmax=16)
for line in (1.5, 3.5, 5.5):
    windows.axhline(line, color="black", lw=1)
    windows.axvline(line, color="black", lw=1)

summary = [f"the digit: largest {image.max():.2f}, mean {image.mean():.2f}"]
for name, layer, forth, back in (
    ("max", layers.MaxPooling2D(2), most, most_back),
    ("average", layers.AveragePooling2D(2), mean, mean_back),
):
    tensor = keras.Tensor(image, requires_grad=True)
    pooled = layer(tensor)
    pooled.sum().backward()
    assert tensor.grad is not None
    pixels, gradient = pooled.numpy()[0, :, :, 0], tensor.grad[0, :, :, 0]
    show_image(forth, pixels, f"{name} pooling: 4 x 4", numbers=True, vmin=0, vmax=16)
    reached = np.count_nonzero(gradient)
    show_image(back, gradient, f"{name}: {reached} pixels get a gradient", cmap="Oranges", vmin=0, vmax=1)
    summary.append(f"{name}: largest {pixels.max():.2f}, mean {pixels.mean():.2f}, gradient to {reached}")
save(figure, __file__, "Max pooling keeps the strongest pixel, average pooling the mean")
print("; ".join(summary))
