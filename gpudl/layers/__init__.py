"""Layers, with Keras's names and constructor arguments."""

from gpudl.layers.activation import ELU as ELU
from gpudl.layers.activation import ActivityRegularization as ActivityRegularization
from gpudl.layers.activation import Identity as Identity
from gpudl.layers.activation import LeakyReLU as LeakyReLU
from gpudl.layers.activation import PReLU as PReLU
from gpudl.layers.activation import ReLU as ReLU
from gpudl.layers.activation import Softmax as Softmax
from gpudl.layers.augmentation import RandomBrightness as RandomBrightness
from gpudl.layers.augmentation import RandomContrast as RandomContrast
from gpudl.layers.augmentation import RandomCrop as RandomCrop
from gpudl.layers.augmentation import RandomFlip as RandomFlip
from gpudl.layers.augmentation import RandomRotation as RandomRotation
from gpudl.layers.augmentation import RandomTranslation as RandomTranslation
from gpudl.layers.augmentation import RandomZoom as RandomZoom
from gpudl.layers.base import CommonSettings as CommonSettings
from gpudl.layers.base import Layer as Layer
from gpudl.layers.base import LayerSettings as LayerSettings
from gpudl.layers.conv import Conv1D as Conv1D
from gpudl.layers.conv import Conv2D as Conv2D
from gpudl.layers.conv_transpose import Conv1DTranspose as Conv1DTranspose
from gpudl.layers.conv_transpose import Conv2DTranspose as Conv2DTranspose
from gpudl.layers.dense import Dense as Dense
from gpudl.layers.depthwise import DepthwiseConv2D as DepthwiseConv2D
from gpudl.layers.depthwise import SeparableConv2D as SeparableConv2D
from gpudl.layers.embedding import Embedding as Embedding
from gpudl.layers.images import CenterCrop as CenterCrop
from gpudl.layers.images import Resizing as Resizing
from gpudl.layers.lambda_layer import Lambda as Lambda
from gpudl.layers.layer_normalization import LayerNormalization as LayerNormalization
from gpudl.layers.merging import Add as Add
from gpudl.layers.merging import Average as Average
from gpudl.layers.merging import Concatenate as Concatenate
from gpudl.layers.merging import Dot as Dot
from gpudl.layers.merging import Maximum as Maximum
from gpudl.layers.merging import Minimum as Minimum
from gpudl.layers.merging import Multiply as Multiply
from gpudl.layers.merging import Subtract as Subtract
from gpudl.layers.merging import add as add
from gpudl.layers.merging import average as average
from gpudl.layers.merging import concatenate as concatenate
from gpudl.layers.merging import dot as dot
from gpudl.layers.merging import maximum as maximum
from gpudl.layers.merging import minimum as minimum
from gpudl.layers.merging import multiply as multiply
from gpudl.layers.merging import subtract as subtract
from gpudl.layers.noise import GaussianDropout as GaussianDropout
from gpudl.layers.noise import GaussianNoise as GaussianNoise
from gpudl.layers.noise import SpatialDropout1D as SpatialDropout1D
from gpudl.layers.noise import SpatialDropout2D as SpatialDropout2D
from gpudl.layers.pooling import AveragePooling1D as AveragePooling1D
from gpudl.layers.pooling import AveragePooling2D as AveragePooling2D
from gpudl.layers.pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
from gpudl.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
from gpudl.layers.pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
from gpudl.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
from gpudl.layers.pooling import MaxPooling1D as MaxPooling1D
from gpudl.layers.pooling import MaxPooling2D as MaxPooling2D
from gpudl.layers.preprocessing import Normalization as Normalization
from gpudl.layers.regularization import BatchNormalization as BatchNormalization
from gpudl.layers.regularization import Dropout as Dropout
from gpudl.layers.reshaping import Activation as Activation
from gpudl.layers.reshaping import Flatten as Flatten
from gpudl.layers.reshaping import Input as Input
from gpudl.layers.reshaping import InputLayer as InputLayer
from gpudl.layers.reshaping import Rescaling as Rescaling
from gpudl.layers.reshaping import Reshape as Reshape
from gpudl.layers.resizing import Cropping1D as Cropping1D
from gpudl.layers.resizing import Cropping2D as Cropping2D
from gpudl.layers.resizing import Permute as Permute
from gpudl.layers.resizing import RepeatVector as RepeatVector
from gpudl.layers.resizing import UpSampling1D as UpSampling1D
from gpudl.layers.resizing import UpSampling2D as UpSampling2D
from gpudl.layers.resizing import ZeroPadding1D as ZeroPadding1D
from gpudl.layers.resizing import ZeroPadding2D as ZeroPadding2D

# Keras's other names
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
MaxPool2D = MaxPooling2D
AvgPool1D = AveragePooling1D
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalMaxPool1D = GlobalMaxPooling1D
MaxPool1D = MaxPooling1D
SeparableConvolution2D = SeparableConv2D
