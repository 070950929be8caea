"""The layers of LeNet-5, each with its forward and backward pass."""

from lenet.layers.avg_pool2d import AvgPool2d
from lenet.layers.base import Layer
from lenet.layers.conv2d import Conv2d, col2im, im2col
from lenet.layers.flatten import Flatten
from lenet.layers.linear import Linear
from lenet.layers.sigmoid import Sigmoid

__all__ = ["AvgPool2d", "Conv2d", "Flatten", "Layer", "Linear", "Sigmoid", "col2im", "im2col"]
