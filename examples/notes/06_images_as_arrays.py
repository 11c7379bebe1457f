"""Greyscale and colour images are arrays.

A greyscale image is a table of numbers, one for each pixel: shape (height, width). A colour image has three numbers a
pixel, its red, green and blue: shape (height, width, 3). The last axis is called the channels; a greyscale image has
one, (height, width, 1). Many images are a batch: (number, height, width, channels), the shape every Conv2D takes.

Before training, the numbers are brought to about 0 to 1: these digits have 17 shades, 0 (white) to 16 (black), so we
divide by 16; photographs have 256, so lessons divide by 255.

The picture shows a digit as the numbers it is, and then three digits used as the red, green and blue channel of one
colour image. Where only the first has ink the image is red, where all have ink it is white.
"""

import numpy as np
from _plot import picture, save, show_image

import gpudl as keras
from gpudl import layers

(images, digits), _ = keras.datasets.digits.load_data()
grey = images[digits == 3][0]  # (8, 8), values 0 to 16
planes = [images[digits == digit][0] / 16 for digit in (0, 1, 7)]
colour = np.stack(planes, axis=-1)  # (8, 8, 3), values 0 to 1

figure, (big, *small, last) = picture("AABC;AADE")
show_image(big, grey, f"greyscale: shape {grey.shape}", numbers=True)
for channel, axes in enumerate(small):
    alone = np.zeros_like(colour)
    alone[:, :, channel] = planes[channel]
    show_image(axes, alone, f"{('red', 'green', 'blue')[channel]}: {planes[channel].shape}")
show_image(last, colour, f"together: {colour.shape}")
save(figure, __file__, "An image is an array: height x width x channels")

# A convolution has weights for each channel: a colour image costs three times as many.
weights = {}
for channels in (1, 3):
    model = keras.Sequential([keras.Input((8, 8, channels)), layers.Conv2D(16, 3, use_bias=False)])
    weights[channels] = model.count_params()
print(f"greyscale {grey.shape}, colour {colour.shape}; weights of Conv2D(16, 3): {weights[1]} and {weights[3]}")
