"""Tables with a row per image: 784 columns of pixels, and one of labels."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from lenet._checks import SIDE, short_repr
from lenet.data.dataset import MAX_IMAGES, check_levels, check_polarity
from lenet.data.image_folder import SUFFIXES as PICTURES
from lenet.errors import DataError

PIXELS = SIDE * SIDE
LABELS = ("label", "labels", "class", "target", "digit", "y")  # usual names of the column, in lower case
IDS = ("id", "imageid", "image_id", "index", "__index_level_0__", "")  # the last two: pandas' index
_MAX_DIGITS = 9  # of a number at the end of a name
_MAX_LABEL = 10**9
_MISSING = re.compile(r"(#(N/A|[A-Z0/]+[!?]))?")  # empty, or an error of a spreadsheet, such as #REF!


class Table(NamedTuple):
    """The rows of a table."""

    X: NDArray[np.uint8]  # (n, 28, 28)
    y: NDArray[np.int64] | None  # (n,): the labels, if there are any
    classes: tuple[str, ...] | None  # the names of the classes, if the labels are names


def pixel_columns(
    names: Sequence[str], source: str, rows: Sequence[Sequence[str]] = ()
) -> tuple[int | None, list[int]]:
    """Return the index of the label column, if there is one, and the indices of the 784 pixel columns.

    If no column has a usual name for labels, they are in one of 785 columns: the only one whose name does not end in a
    number; else the last, if the given rows have text there and not in the first; else the first. Errors name the
    source.

    Examples
    --------
    >>> label, pixels = pixel_columns(["label", *(f"pixel{k}" for k in range(784))], "table")
    >>> label, pixels[0], pixels[-1]
    (0, 1, 784)
    """
    ignored = _ignored(names)
    label = label_column(names, source)
    pixels = [place for place in range(len(names)) if place != label and place not in ignored]
    if label is None and len(pixels) == PIXELS + 1:
        whole = [row for row in rows if len(row) == len(names)]
        first_is_text, last_is_text = (any(is_text(row[pixels[end]]) for row in whole) for end in (0, -1))
        unnumbered = [place for place in pixels if not names[place][-1:].isdecimal()]
        label = unnumbered[0] if len(unnumbered) == 1 else pixels[-1 if last_is_text and not first_is_text else 0]
        pixels.remove(label)
    if len(pixels) != PIXELS:
        columns = "one column" if len(names) == 1 else f"{len(names)} columns"
        others = [short_repr(names[place]) for place in pixels if not names[place][-1:].isdecimal()]
        if len(pixels) > PIXELS and others:
            columns += f", among them {', '.join(others[:3])}"
        elif label is not None:
            columns += f": {short_repr(names[label])} and {len(pixels)} other{'s' * (len(pixels) != 1)}"
        advice = "To train on images of other sizes, save them as .npz."
        if len(pixels) < PIXELS and any(field.lower().endswith(PICTURES) for row in rows for field in row):
            advice = "To train on picture files, put them into one subfolder per class, and pass the whole folder."
        raise DataError(
            f"{source} has {columns}; expected {PIXELS} pixels per row (28x28), and a column {LABELS[0]!r} for "
            f"training. {advice}"
        )
    return label, _in_order(pixels, names)


def _ignored(names: Sequence[str]) -> list[int]:
    """Return the indices of columns of row numbers, and of those that pandas calls unnamed, unless most are unnamed."""
    unnamed = [place for place, name in enumerate(names) if re.fullmatch(r"unnamed: [\d.]+", name.lower())]
    ids = [place for place, name in enumerate(names) if name.lower() in IDS]
    return ids if len(unnamed) > len(names) / 2 else ids + unnamed


def _in_order(pixels: list[int], names: Sequence[str]) -> list[int]:
    """Return columns in the order of the numbers at the ends of their names, if all have different ones."""
    endings = {place: names[place][len(names[place].rstrip("0123456789")) :] for place in pixels}
    numbers = {place: int(ending) for place, ending in endings.items() if 0 < len(ending) <= _MAX_DIGITS}
    return sorted(pixels, key=numbers.__getitem__) if len(set(numbers.values())) == len(pixels) else pixels


def label_column(names: Sequence[str], source: str) -> int | None:
    """Return the index of the column with the name of labels, or None; raise DataError if there are several."""
    found = [place for place, name in enumerate(names) if name.lower() in LABELS]
    if len(found) > 1:
        first, second = names[found[0]], names[found[1]]
        raise DataError(f"{source} has the columns {first} and {second}; expected one column of labels. Drop one.")
    return found[0] if found else None


def is_text(field: str) -> bool:
    """Return whether a field of a CSV file is not a number and not empty."""
    return bool(field) and not re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", field)


def numbered(labels: Sequence[str], source: str) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Return labels as numbers, and the names of the classes unless the labels are already numbers.

    Examples
    --------
    >>> numbered(["cat", "dog", "cat"], "table")
    (array([0, 1, 0]), ('cat', 'dog'))
    """
    labels = [normalize("NFC", label) for label in labels]
    names = sorted(set(labels))
    if empty := [row for row, label in enumerate(labels) if _MISSING.fullmatch(label)]:
        raise DataError(f"{source} has no label in row {empty[0] + 1:,}; expected one in each row.")
    if any(map(is_text, names)):
        numbers = {name: number for number, name in enumerate(names)}
        return np.array([numbers[label] for label in labels], np.int64), tuple(names)
    values = {name: float(name) for name in names}
    if wrong := [name for name, value in values.items() if not (value.is_integer() and 0 <= value < _MAX_LABEL)]:
        raise DataError(f"{source} has the label {wrong[0]}; expected integers from 0 to {_MAX_LABEL - 1:,}, or names.")
    whole = [name for name in names if name.isdecimal()]  # parts of a table may have 1 and 1.0
    spelled = {values[name]: name for name in whole}
    if other := [name for name in whole if spelled[values[name]] != name]:
        same = spelled[values[other[0]]]
        raise DataError(f"{source} has the labels {other[0]} and {same}; expected one spelling of each number.")
    return np.array([int(values[label]) for label in labels], np.int64), None


def images_of_rows(parts: Iterable[tuple[NDArray[Any], list[str]]], name: str) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the images and labels of a table, given in parts: pixels as for `read_csv`, (n, 784), and labels."""
    blocks: list[tuple[NDArray[np.uint8], bool]] = []  # images, and whether they were decimals
    labels: list[str] = []
    count = 0
    for pixels, some in parts:
        blocks.append(_as_bytes(pixels, name, count))
        count += len(pixels)
        labels += some
        if count > MAX_IMAGES:
            raise DataError(f"{name} has more than {MAX_IMAGES:,} rows. Split it into several files.")
    if any(decimal for _, decimal in blocks):
        for images, decimal in blocks:
            if not decimal:  # these rows happen to have only 0.0 and 1.0
                if images.max() > 1:
                    raise _mixed(name)
                images *= 255
    found = np.concatenate([images for images, _ in blocks] or [np.empty((0, SIDE, SIDE), np.uint8)])
    check_levels(found, name)
    check_polarity(found, name)
    return found, labels


def _as_bytes(values: NDArray[Any], name: str, start: int) -> tuple[NDArray[np.uint8], bool]:
    """Return rows of pixels as bytes, and whether they are decimals in [0, 1]; `start` rows precede them."""
    numbers = values.astype(np.float32, copy=False)
    valid = (numbers >= 0) & (numbers <= 255)  # NaN, for missing values and text, fails both
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        value = numbers[row, column]
        pixel = "a missing or non-numeric pixel" if np.isnan(value) else f"the pixel {value:g}"
        raise DataError(f"{name} has {pixel} in row {start + row + 1:,}; expected 0 (background) to 255 (ink).")
    decimal = bool((numbers % 1).any())
    if decimal:
        if numbers.max() > 1:
            raise _mixed(name)
        numbers = np.rint(numbers * 255)
    return numbers.astype(np.uint8).reshape(len(numbers), SIDE, SIDE), decimal


def _mixed(name: str) -> DataError:
    return DataError(
        f"{name} mixes decimals and numbers above 1; expected integers from 0 to 255, or decimals in [0, 1]."
    )
