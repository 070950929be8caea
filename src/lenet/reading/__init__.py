"""From a person's picture to the 28x28 image that the network reads, and to the digits that it says."""

from lenet.reading.pictures import read_picture
from lenet.reading.preparing import prepare
from lenet.reading.reader import Digit, Line, Reading, read

__all__ = ["Digit", "Line", "Reading", "prepare", "read", "read_picture"]
