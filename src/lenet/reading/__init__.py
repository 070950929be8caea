"""Read handwritten digits in pictures: prepare one digit for the network, or read a page of them.

`prepare` takes one digit through `pictures`, `ink` and `single_digit`; `as_mnist` skips the first two. `ink` looks for
a `sheet` and dark `panels` in a `coarse` picture. `read` takes a page through these steps, each of which takes the
result of the previous one:

1. `pictures`: from a file or an array to grey levels (`pixels`).
2. `page`: from grey levels to a page of `ink`; of a slide, only its `photographs`.
3. `boxes`, `grids` (of `cells`) and `frames`: from a page to one without their lines.
4. `lines`: from a page to the lines of its `strokes` (`grouping`), without `rules` and level (`skew`).
5. `pieces`: from a line to pieces: wide strokes that are not legible digits are cut along `seams`.
6. `segments`: from pieces to all groups of neighbours, with the network's probabilities, `signs` and other `features`.
   Neighbours may share the walls of their `loops`.
7. `views`: from segments to segments with better probabilities for the uncertain ones.
8. `graph`: from segments to a graph with learned weights.
9. `paths`: from a graph to its best path.

`reader` runs the steps, treats the digits in `words` as letters, adds `marks` and the texts of `tables`, and returns
the `results`, which `drawing` draws. Unless nearly all digits are clearly legible and have the shape of upright digits,
it also runs the last six steps on the page after quarter turns (`orientation`).

`read_form` reads the strokes in each of a form's `fields` in the same way (`forms`), and chooses the most probable of
the `valid` values.
"""

from lenet.reading.fields import Field, FieldValue, load_fields
from lenet.reading.forms import read_form
from lenet.reading.pictures import read_picture
from lenet.reading.reader import read
from lenet.reading.results import Cell, Digit, Line, Reading
from lenet.reading.single_digit import as_mnist, prepare

__all__ = [
    "Cell",
    "Digit",
    "Field",
    "FieldValue",
    "Line",
    "Reading",
    "as_mnist",
    "load_fields",
    "prepare",
    "read",
    "read_form",
    "read_picture",
]
