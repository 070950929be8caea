"""The cells of grids, and their texts."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from lenet.reading.results import Cell, Digit, Line
from lenet.reading.strokes import box_around


def turned(cells: Sequence[Cell], turns: int) -> tuple[Cell, ...]:
    """Return cells with the grids, rows and columns of the page after some quarter turns, counter-clockwise."""
    places = _grids_in_order(cells, turns)
    for _ in range(turns):
        last = {cell.grid: cell.column for cell in sorted(cells, key=lambda cell: cell.column)}  # of each grid
        cells = [replace(each, row=last[each.grid] - each.column, column=each.row) for each in cells]
    return tuple(replace(cell, grid=places[cell.grid]) for cell in cells)


def _grids_in_order(cells: Sequence[Cell], turns: int) -> dict[int, int]:
    """Return the place of each grid in reading order; those beside each other are in a row, from left to right."""
    extents: dict[int, tuple[int, int, int]] = {}  # left, top and bottom after the turns
    for grid in {cell.grid for cell in cells}:
        left, top, right, bottom = box_around(np.array([cell.box for cell in cells if cell.grid == grid]))
        for _ in range(turns):
            left, top, right, bottom = top, -right, bottom, -left
        extents[grid] = left, top, bottom
    rows: list[list[int]] = []
    for grid, (_, top, bottom) in sorted(extents.items(), key=lambda item: item[1][1]):
        if rows and top + bottom < 2 * extents[rows[-1][0]][2]:  # its middle is beside the first one
            rows[-1].append(grid)
        else:
            rows.append([grid])
    ordered = [grid for row in rows for grid in sorted(row, key=extents.__getitem__)]
    return {grid: place for place, grid in enumerate(ordered)}


def separated(line: Line, cells: Sequence[Cell]) -> Line:
    """Return a line with a space in its text between digits in different cells."""
    if not cells:
        return line
    text, places = "", _cells_of(line.digits, cells)
    parts, rest = _parts_of(line)
    for number, (before, digit) in enumerate(parts):
        if number and places[number] != places[number - 1] and " " not in before:
            dash = before.lstrip(".,:=")  # a dash begins the next number; other marks end the previous one
            before = f"{before.removesuffix(dash)} {dash}"
        text += before + digit.text
    return replace(line, text=text + rest)


def filled(cells: Sequence[Cell], lines: Iterable[Line]) -> tuple[Cell, ...]:
    """Return the cells of grids, in reading order, with the texts of the lines in them, and their confidences."""
    if not cells:
        return ()
    texts = [""] * (len(cells) + 1)  # the last is outside all cells
    confidences = [1.0] * len(texts)
    for line in lines:
        parts, rest = _parts_of(line)
        last = -1
        for (before, digit), place in zip(parts, _cells_of(line.digits, cells), strict=True):
            end, _, start = before.rpartition(" ")
            if place == last:
                texts[place] += before + digit.text
            else:
                texts[last] += end
                texts[place] += start.lstrip("+=") + digit.text  # no formula in a spreadsheet
            confidences[place] *= digit.probability
            last = place
        texts[last] += rest
    found = (
        replace(cell, text=text, confidence=confidence if text else 0.0)
        for cell, text, confidence in zip(cells, texts, confidences, strict=False)
    )
    return tuple(sorted(found, key=lambda cell: (cell.grid, cell.row, cell.column)))


def illegible(line: Line) -> Line:
    """Return a line with ? in place of its digits, and its marks."""
    parts, rest = _parts_of(line)
    digits = tuple(replace(digit, label=None, name=None) for digit in line.digits)
    return replace(line, digits=digits, text="".join(f"{before}?" for before, _ in parts) + rest)


def _cells_of(digits: Sequence[Digit], cells: Sequence[Cell]) -> list[int]:
    """Return the index of the cell that each digit is in; -1 for none."""
    boxes = np.array([cell.box for cell in cells]).reshape(-1, 2, 2)
    middles = np.array([digit.box for digit in digits]).reshape(-1, 1, 2, 2).mean(axis=2)
    around = ((boxes[:, 0] <= middles) & (middles <= boxes[:, 1])).all(axis=2)
    distances = np.where(around, np.abs(boxes.mean(axis=1) - middles).sum(axis=2), np.inf)  # boxes may overlap
    return [int(place) for place in np.where(around.any(axis=1), distances.argmin(axis=1), -1)]


def _parts_of(line: Line) -> tuple[list[tuple[str, Digit]], str]:
    """Return each digit of a line with the space or marks before it in the text, and the text after the last digit."""
    parts, start = [], 0
    for digit in line.digits:
        place = line.text.index(digit.text, start)
        parts.append((line.text[start:place], digit))
        start = place + len(digit.text)
    return parts, line.text[start:]
