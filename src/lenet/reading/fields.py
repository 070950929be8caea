"""The fields of a form: where they are, which values are valid, and what was read."""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from lenet import _checks
from lenet._files import read_at_most
from lenet.errors import DataError, InputError, InputTypeError

MAX_FIELDS, MAX_DIGITS = 1000, 64
_MAX_BYTES = 1_000_000  # of a file of fields
_NAME = re.compile(r"[^\W\d_][\w -]{0,63}")


@dataclass(frozen=True)
class Checksum:
    """A sum of terms, one for each digit, that the modulus divides if a number is valid."""

    modulus: int
    term: Callable[[int, int], int]  # of a digit and its place from the right, from 0
    lengths: tuple[int, ...] = ()  # allowed numbers of digits; if empty, any number


CHECKSUMS = {
    "luhn": Checksum(10, lambda digit, place: digit if place % 2 == 0 else 2 * digit - 9 * (digit > 4)),
    "ean": Checksum(10, lambda digit, place: digit * (1 + 2 * (place % 2)), (8, 12, 13, 14)),
    "mod11": Checksum(11, lambda digit, place: digit * (place + 1)),
}


@dataclass(frozen=True)
class Field:
    """A field of a form: its name, its place, and the values that it may have.

    Parameters
    ----------
    name : str
        A letter and up to 63 letters, digits, spaces, hyphens and underscores. "image" and "check" are columns of the
        table, so a form has no fields of these names.
    box : tuple of four float, optional
        Left, top, width and height, as fractions of the width and the height of the sheet of paper.
    cell : tuple of two int, optional
        Row and column in a grid, from 0. A field has either a box or a cell, except as below.
    grid : tuple of two int or int, default 0
        The numbers of rows and columns of the grid. If several grids have the same, also give a box that contains the
        middle of this one. A single integer is the number of the grid, as in `Cell`; it selects another grid if an
        earlier one is not found in the picture.
    digits : int, optional
        The number of digits, at most 64.
    checksum : str, optional
        "luhn" (payment cards), "ean" (EAN-8, UPC-A, EAN-13, ISBN-13 and GTIN-14: 8, 12, 13 or 14 digits, unless
        `digits` is given) or "mod11" (weights 1, 2, 3 and so on from the right: ISBN-10 without X, NHS numbers).
    optional : bool, default False
        Whether the field may be empty.

    Raises
    ------
    InputError, InputTypeError
        If an argument is out of range or of another type.

    Examples
    --------
    >>> card = Field("card", box=(0.1, 0.2, 0.6, 0.05), checksum="luhn")
    >>> card.problems("79927398713"), card.problems("79927398731")
    ((), ('checksum',))
    """

    name: str
    box: tuple[float, float, float, float] | None = None
    cell: tuple[int, int] | None = None
    grid: tuple[int, int] | int = 0
    digits: int | None = None
    checksum: str | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InputError(
                f"A field has the name {_checks.short_repr(self.name)}; expected a letter, followed by "
                "up to 63 letters, digits, spaces, hyphens or underscores."
            )
        what = f"of the field {self.name}"
        if hasattr(self.grid, "__index__"):
            shape = None
            _checks.whole(self.grid, f"grid {what}", 0)
        else:
            rows, columns = (_checks.whole(each, f"grid {what}") for each in _values(self.grid, 2, f"grid {what}"))
            shape = rows, columns
            object.__setattr__(self, "grid", shape)
        self._check_place(has_shape=shape is not None)
        if self.box is not None:
            object.__setattr__(self, "box", _checked_box(self.box, f"box {what}"))
        if self.cell is not None:
            row, column = (_checks.whole(each, f"cell {what}", 0) for each in _values(self.cell, 2, f"cell {what}"))
            object.__setattr__(self, "cell", (row, column))
            if shape is not None and not (row < rows and column < columns):
                raise InputError(
                    f"cell {what} is {[row, column]}; expected a row below {rows} and a column below {columns}, "
                    "as in its grid."
                )
        if self.digits is not None:
            _checks.whole(self.digits, f"digits {what}", 1, MAX_DIGITS)
        if self.checksum is not None and not (isinstance(self.checksum, str) and self.checksum in CHECKSUMS):
            raise InputError(
                f"checksum {what} is {_checks.short_repr(self.checksum)}; expected {', '.join(CHECKSUMS)}."
            )
        _checks.boolean(self.optional, f"optional {what}")

    def _check_place(self, *, has_shape: bool) -> None:
        """Raise InputError unless there is a box, or a cell, or both with the shape of a grid."""
        has_box, has_cell = self.box is not None, self.cell is not None
        if not has_box and not has_cell:
            found = "neither a box nor a cell"
        elif not has_cell and self.grid != 0:
            found = "a grid, but no cell"
        elif has_box and has_cell and not has_shape:
            found = "both a box and a cell"
        else:
            return
        raise InputError(
            f"The field {self.name} has {found}; expected a box or a cell, or both with the rows and columns of a grid."
        )

    def problems(self, value: str) -> tuple[str, ...]:
        """Return why a value is invalid.

        Parameters
        ----------
        value : str
            Digits, or the names of other classes, with "?" for each non-digit.

        Returns
        -------
        tuple of str
            "empty" (unless the field is optional), "non-digit" (a "?" or, if the field has a checksum, anything but
            digits), "digits" (a wrong number of characters for the field or its checksum) and "checksum"; empty for a
            valid value.
        """
        if not value:
            return () if self.optional else ("empty",)
        is_number, checksum = value.isdecimal(), CHECKSUMS.get(self.checksum or "")
        found = ["non-digit"] if "?" in value or (checksum is not None and not is_number) else []
        lengths = checksum.lengths if checksum is not None else ()
        if self.digits is not None:
            lengths = (self.digits,)
        if lengths and len(value) not in lengths:
            found.append("digits")
        if checksum is not None and is_number:
            terms = (checksum.term(int(digit), place) for place, digit in enumerate(reversed(value)))
            if sum(terms) % checksum.modulus:
                found.append("checksum")
        return tuple(found)


@dataclass(frozen=True)
class FieldValue:
    """The value of a field on one form.

    Parameters
    ----------
    name : str
        The name of the field.
    value : str
        The digits, with "?" for each non-digit; empty if there are none.
    confidence : float
        The probability of these digits, in [0, 1].
    problems : tuple of str
        Why a person should check the value: "confidence" (it is low), "empty", "non-digit", "digits" (their number is
        wrong), "checksum" (it fails), "mark" (the value leaves out a point, a comma, a dash or a sign), "edge" (the
        border of the field cuts a digit) or "no cell" (the grid or the cell was not found, or several grids have the
        shape); empty if there is no reason.
    box : tuple of four int, optional
        Left, top, right and bottom of the field in pixels of the straightened sheet; None if the cell was not found.
    rotation : int, default 0
        The degrees by which the sheet was turned counter-clockwise before it was read: 0, 90, 180 or 270. The box
        refers to the sheet before this turn.

    Examples
    --------
    >>> FieldValue("total", "512", 0.42, ("confidence",)).as_dict()["problems"]
    ['confidence']
    """

    name: str
    value: str
    confidence: float
    problems: tuple[str, ...]
    box: tuple[int, int, int, int] | None = None
    rotation: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the value as lists, numbers and strings, for JSON.

        Returns
        -------
        dict
        """
        box = None if self.box is None else list(self.box)
        return {**asdict(self), "problems": list(self.problems), "box": box}


def load_fields(file: str | os.PathLike[str]) -> tuple[Field, ...]:
    """Load the fields of a form from a JSON file: a list of objects with the parameters of `Field`.

    Parameters
    ----------
    file : path-like

    Returns
    -------
    tuple of Field

    Raises
    ------
    DataError
        If the file is larger than 1 MB, is not such a list, or has an invalid field, an unknown key or two columns of
        one name.
    InputTypeError
        If `file` is neither a str nor path-like.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "fields.json")
    >>> _ = path.write_text('[{"name": "total", "box": [0.6, 0.8, 0.3, 0.1], "digits": 4}]')
    >>> load_fields(path)[0].digits
    4
    """
    if not isinstance(file, str | os.PathLike):
        raise InputTypeError(f"file is {_checks.short_repr(file)}; expected the path of a JSON file of fields.")
    content = read_at_most(file, _MAX_BYTES)
    if content is None:
        raise DataError(f"{file} has more than {_MAX_BYTES:,} bytes; expected a JSON list of fields.")
    if not content.strip():
        raise DataError(f"{file} is empty; expected a JSON list of fields.")
    try:
        entries = json.loads(content, object_pairs_hook=_object)
        if isinstance(entries, list):
            return checked_fields([_field(entry, number) for number, entry in enumerate(entries, 1)])
    except (InputError, InputTypeError) as error:
        raise DataError(f"{file}: {error}") from None
    except RecursionError:
        raise DataError(f"{file} has too many nested lists; expected a JSON list of fields.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not encoded in UTF-8; expected a JSON list of fields. Save it as UTF-8.") from None
    except ValueError as error:
        reason = str(error)
        if isinstance(error, json.JSONDecodeError):
            reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise DataError(f"{file} is not JSON ({reason}); expected a JSON list of fields.") from None
    raise DataError(f"{file} is not a list; expected a JSON list of fields.")


def checked_fields(values: Any) -> tuple[Field, ...]:
    """Return fields as a tuple after checking their types, names and number; load them if a path is given."""
    if isinstance(values, str | os.PathLike):
        return load_fields(values)
    if not isinstance(values, list | tuple) or not all(isinstance(each, Field) for each in values):
        has_dicts = isinstance(values, list | tuple) and any(isinstance(each, dict) for each in values)
        advice = " Convert each dict with Field(**entry)." if has_dicts else ""
        raise InputTypeError(f"fields is {_checks.short_repr(values)}; expected a path or a list of Field.{advice}")
    if not 1 <= len(values) <= MAX_FIELDS:
        raise InputError(f"There are {len(values):,} fields; expected 1 to {MAX_FIELDS:,}.")
    columns_of(values)
    return tuple(values)


def columns_of(fields: Sequence[Field]) -> list[str]:
    """Return the columns of a table of forms, or raise InputError if two would have the same name."""
    columns = dict.fromkeys(("image", "check"))
    for number, field in enumerate(fields, 1):
        for column in (field.name, f"{field.name}_confidence"):
            if column in columns:
                raise InputError(
                    f"Field {number} has the name {field.name}, but there is already a column {column}; expected a "
                    "name other than image, check and those of other fields, with or without _confidence. Rename it."
                )
            columns[column] = None
    return list(columns)


def _checked_box(box: object, name: str) -> tuple[float, float, float, float]:
    left, top, width, height = (_checks.number(each, name) for each in _values(box, 4, name))
    extents = ((left, left + width), (top, top + height))
    if not all(0 <= start < min(1, stop) and stop <= 1.001 for start, stop in extents):  # rounded fractions
        raise InputError(
            f"{name} is {_checks.short_repr(box)}; expected left, top, width and height of a box inside the sheet, as "
            "fractions from 0 to 1. Divide pixels by the sheet's width or height."
        )
    return left, top, width, height


def _values(value: object, count: int, name: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise InputTypeError(f"{name} is {_checks.short_repr(value)}; expected a list of {count} numbers.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | tuple[tuple[str, Any], ...]:
    """Return a JSON object as a dict, or as its pairs if a key is repeated."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else tuple(pairs)


def _field(entry: Any, number: int) -> Field:
    """Return the field that an entry of a file describes, or raise InputError with the number of the entry."""
    known = {each.name for each in fields(Field)}
    try:
        if isinstance(entry, tuple):
            name, keys = dict(entry).get("name"), [key for key, _ in entry]
            raise InputError(
                f"The field {_checks.short_repr(name)} has the keys {_checks.short_repr(keys)}; expected each once."
            )
        if not isinstance(entry, dict) or "name" not in entry:
            raise InputTypeError(f"A field is {_checks.short_repr(entry)}; expected an object with a name.")
        if not isinstance(entry.get("optional", False), bool):
            shown = json.dumps(entry["optional"])[:60]
            raise InputError(
                f"optional of the field {_checks.short_repr(entry['name'])} is {shown}; expected true or false."
            )
        for key in entry.keys() - known:
            raise InputError(
                f"The field {_checks.short_repr(entry['name'])} has the key {_checks.short_repr(key)}; expected "
                f"{', '.join(sorted(known))}."
            )
        return Field(**entry)
    except (InputError, InputTypeError) as error:
        raise InputError(f"entry {number}: {error}") from None
