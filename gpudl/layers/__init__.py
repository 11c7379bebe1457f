"""Layers, with Keras's names and constructor arguments."""

from gpudl.layers.base import Layer as Layer
from gpudl.layers.base import LayerSettings as LayerSettings
from gpudl.layers.conv2d import Conv2D as Conv2D
from gpudl.layers.dense import Dense as Dense
from gpudl.layers.pooling2d import AveragePooling2D as AveragePooling2D
from gpudl.layers.pooling2d import GlobalAveragePooling2D as GlobalAveragePooling2D
from gpudl.layers.pooling2d import GlobalMaxPooling2D as GlobalMaxPooling2D
from gpudl.layers.pooling2d import MaxPooling2D as MaxPooling2D
from gpudl.layers.regularization import BatchNormalization as BatchNormalization
from gpudl.layers.regularization import Dropout as Dropout
from gpudl.layers.reshaping import Activation as Activation
from gpudl.layers.reshaping import Flatten as Flatten
from gpudl.layers.reshaping import Input as Input
from gpudl.layers.reshaping import InputLayer as InputLayer
from gpudl.layers.reshaping import Rescaling as Rescaling
from gpudl.layers.reshaping import Reshape as Reshape

# Keras's other names
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
MaxPool2D = MaxPooling2D
