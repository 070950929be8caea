"""The result of reading a picture: its lines, and the digits of each."""

import math
from dataclasses import dataclass, replace
from typing import Any


def rounded_down(number: float, decimals: int) -> str:
    """Return a probability or percentage with some decimals, rounded down: only certainty is shown as 1 or 100%.

    Examples
    --------
    >>> rounded_down(0.9996, 3)
    '0.999'
    """
    unit = 10**decimals
    return f"{math.floor(unit * number + 1e-9) / unit:.{decimals}f}"  # 100 * 0.29 is slightly below 29


@dataclass(frozen=True)
class Digit:
    """A digit in a picture, or a non-digit among digits.

    Parameters
    ----------
    box : tuple of four int
        Left, top, right and bottom in pixels of the picture; right and bottom are exclusive.
    label : int or None
        The index of the class, which is the digit with the shipped weights; None for a non-digit.
    probability : float
        The probability of this digit, or of a non-digit, in this place, over all readings of the line; in [0, 1]. It
        does not include doubt about the number of digits, as the line's confidence does.
    second : int
        The index of the most probable class other than the label.
    second_probability : float
        The probability of `second` in the same place; in [0, 1].
    name : str or None
        The name of the label's class; by default, its number.

    Examples
    --------
    >>> seven = Digit((10, 5, 30, 33), 7, 0.99, second=1, second_probability=0.01)
    >>> seven.label, seven.box
    (7, (10, 5, 30, 33))
    """

    box: tuple[int, int, int, int]
    label: int | None
    probability: float
    second: int
    second_probability: float
    name: str | None = None

    @property
    def text(self) -> str:
        """The name of the label's class; ? for a non-digit."""
        return "?" if self.label is None else self.name or str(self.label)

    def as_dict(self) -> dict[str, Any]:
        """Return the digit as lists, numbers and strings, for JSON.

        Returns
        -------
        dict
            "box", "label", "class" (the text; None for a non-digit), "probability", "second" and "second_probability".
        """
        return {
            "box": list(self.box),
            "label": self.label,
            "class": None if self.label is None else self.text,
            "probability": self.probability,
            "second": self.second,
            "second_probability": self.second_probability,
        }


@dataclass(frozen=True)
class Line:
    """A line of digits, from left to right.

    Parameters
    ----------
    digits : tuple of Digit
        At least one.
    confidence : float
        The probability of these digits among all readings of the line, in [0, 1]. Non-digits do not lower it.
    text : str
        The digits, with "?" for each non-digit, and a space for each gap wider than 0.9 times the height of the writing
        and between the cells of a grid. If `read` was called with ``marks=True``, points, commas, colons, dashes and
        the signs +, x (for multiplication), /, = and ° replace the spaces beside them.

    Examples
    --------
    >>> seven = Digit((10, 5, 30, 33), 7, 0.99, 1, 0.01)
    >>> one = Digit((40, 6, 48, 34), 1, 0.9, 7, 0.1)
    >>> Line((seven, one), confidence=0.89, text="71").box
    (10, 5, 48, 34)
    """

    digits: tuple[Digit, ...]
    confidence: float
    text: str

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of all digits together, in pixels of the picture."""
        lefts, tops, rights, bottoms = zip(*(digit.box for digit in self.digits), strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


@dataclass(frozen=True)
class Cell:
    """A cell of a grid, such as a table or a Sudoku.

    Parameters
    ----------
    grid, row, column : int
        The number of the grid in the picture, and the place in it, all from 0.
    box : tuple of four int
        Left, top, right and bottom in pixels of the picture.
    text : str, default ""
        The digits in the cell, from left to right, with "?" for each non-digit, and marks as in the lines; empty for an
        empty cell.
    confidence : float, default 0
        The product of the probabilities of its digits and non-digits, in [0, 1]; 0 for an empty cell.

    Examples
    --------
    >>> cell = Cell(grid=0, row=2, column=4, box=(90, 50, 110, 70), text="7", confidence=0.98)
    >>> Reading(cells=(cell,)).as_dict()["cells"][0]["text"]
    '7'
    """

    grid: int
    row: int
    column: int
    box: tuple[int, int, int, int]
    text: str = ""
    confidence: float = 0.0


@dataclass(frozen=True)
class Reading:
    """The lines of digits in a picture.

    Parameters
    ----------
    lines : tuple of Line, default ()
        In reading order; empty if the picture has no digits.
    rotation : int, default 0
        The degrees by which the picture was turned counter-clockwise before it was read: 0, 90, 180 or 270. Boxes
        refer to the picture as it was given.
    cells : tuple of Cell, default ()
        The cells of all grids, by grid, row and column. Their digits are in the lines, too.

    Examples
    --------
    >>> seven = Digit((10, 5, 30, 33), 7, 0.99, 1, 0.01)
    >>> Reading((Line((seven,), 0.99, "7"), Line((seven,), 0.99, "7"))).text.split()
    ['7', '7']
    """

    lines: tuple[Line, ...] = ()
    rotation: int = 0
    cells: tuple[Cell, ...] = ()

    @property
    def text(self) -> str:
        """The texts of the lines, separated by line feeds."""
        return "\n".join(line.text for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the reading as a dict for JSON.

        Returns
        -------
        dict
            "lines" is a list with a dict for each line: "text", "confidence", "box", and "digits", a list with the
            dict of each digit. "rotation" is a number of degrees. "cells" is a list with a dict for each cell: "grid",
            "row", "column", "box", "text" and "confidence".
        """
        return {
            "lines": [
                {
                    "text": line.text,
                    "confidence": line.confidence,
                    "box": list(line.box),
                    "digits": [digit.as_dict() for digit in line.digits],
                }
                for line in self.lines
            ],
            "rotation": self.rotation,
            "cells": [{**vars(cell), "box": list(cell.box)} for cell in self.cells],
        }


def with_turned_boxes(reading: Reading, width: int) -> Reading:
    """Return a reading with its boxes after a counter-clockwise quarter turn of a picture of this width."""
    lines = [
        replace(line, digits=tuple(replace(digit, box=turned_box(digit.box, width)) for digit in line.digits))
        for line in reading.lines
    ]
    cells = [replace(cell, box=turned_box(cell.box, width)) for cell in reading.cells]
    return replace(reading, lines=tuple(lines), cells=tuple(cells))


def turned_box(box: tuple[int, int, int, int], width: int) -> tuple[int, int, int, int]:
    """Return a box after a counter-clockwise quarter turn of a picture of this width."""
    left, top, right, bottom = box
    return top, width - right, bottom, width - left
