"""From a person's picture to the 28x28 image that the network reads, and to the digits that it says.

One digit goes through `pictures`, `ink` (with `sheet`) and `preparing`. A page goes through `pictures`, then `lines`,
which takes `ink`, erases `rules`, turns it level (`levelling`) and chains `strokes` (`chaining`); each line is cut
(`pieces`), joined in all ways (`segments`), and read along the best path (`paths`). `reader` does it all, and
`drawing` shows it.
"""

from lenet.reading.pictures import read_picture
from lenet.reading.preparing import prepare
from lenet.reading.reader import Digit, Line, Reading, read

__all__ = ["Digit", "Line", "Reading", "prepare", "read", "read_picture"]
