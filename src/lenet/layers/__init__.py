"""The layers of LeNet-5 as it is taught today and of the network of 1998, with forward and backward passes."""

from lenet.layers.activations import ScaledTanh, Sigmoid
from lenet.layers.base import Layer
from lenet.layers.conv2d import Conv2d, col2im, im2col
from lenet.layers.flatten import Flatten
from lenet.layers.linear import Linear
from lenet.layers.pooling import AvgPool2d, Subsample2d
from lenet.layers.rbf import RBF
from lenet.layers.sparse_conv2d import SparseConv2d

__all__ = [
    "RBF", "AvgPool2d", "Conv2d", "Flatten", "Layer", "Linear", "ScaledTanh", "Sigmoid", "SparseConv2d", "Subsample2d",
    "col2im", "im2col",
]  # fmt: skip
