"""From a person's picture to the 28x28 image that the network reads."""

from lenet.reading.pictures import prepare, read_picture

__all__ = ["prepare", "read_picture"]
