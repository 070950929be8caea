"""Read numbers, or pages of numbers, from pictures, line by line."""

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from lenet._files import atomic_write
from lenet.cli.inputs import (
    CHECK,
    PICTURES_HELP,
    PROCESSES_HELP,
    add_csv,
    check_csv,
    check_drawing,
    expanded,
    picture,
    read_each,
    rewound,
    written_table,
)
from lenet.cli.options import CONFIDENCE, add_common, add_model, at_most_one, load_model
from lenet.cli.output import note, say

if TYPE_CHECKING:
    from lenet.model import LeNet5
    from lenet.reading import Field, FieldValue, Reading

_T = TypeVar("_T")
COLUMNS = ("image", "line", "text", "confidence", CHECK)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet read`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=PICTURES_HELP)
    parser.add_argument(
        "--least",
        type=CONFIDENCE,
        default=0.0,
        metavar="X",
        help="omit lines whose confidence is below X (0 to 1); in table cells, ? replaces the digits of such lines",
    )
    parser.add_argument(
        "--only-digits",
        action="store_true",
        help="read every character except marks as a digit, never as ?",
    )
    parser.add_argument(
        "--marks",
        action="store_true",
        help="keep points, commas, colons, dashes, degree signs and the signs +, x, / and =",
    )
    parser.add_argument(
        "--no-rotate", action="store_true", help="do not rotate pictures that are on their side or upside down"
    )
    parser.add_argument(
        "--show",
        metavar="PNG",
        help="write the picture with boxes, digits and probabilities to a PNG file; with --fields, the sheet with its "
        "fields",
    )
    parser.add_argument("--fields", metavar="JSON", help="read only the fields of a form, as described in a JSON file")
    parser.add_argument(
        "--check-below",
        type=CONFIDENCE,
        metavar="X",
        help="with --fields, flag fields whose confidence is below X (default: 0.9)",
    )
    add_csv(
        parser,
        f"{', '.join(COLUMNS)}; line is 0 for a picture without digits, and {CHECK} says why a picture could not be "
        "read; with --fields, one row for each form",
    )
    add_model(parser)
    add_common(parser, PROCESSES_HELP)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet read`; report pictures that cannot be read, and continue with the others."""
    from lenet.reading import read, read_picture
    from lenet.reading.drawing import drawn
    from lenet.reading.reader import characters_of
    from lenet.reading.tables import filled, illegible

    if arguments.check_below is not None and arguments.fields is None:
        parser.error("--check-below requires --fields.")
    names = expanded(arguments.images)
    model = load_model(arguments.model, quiet=arguments.quiet)
    characters_of(model)  # raises its error once rather than for each picture
    check_drawing(parser, arguments.show, names)
    if arguments.fields is not None:
        return run_forms(arguments, parser, names, model)
    check_csv(parser, arguments, COLUMNS)
    options = {"only_digits": arguments.only_digits, "marks": arguments.marks, **shared_options(arguments, names)}
    read_one = functools.partial(with_file, read, model=model, **options)
    with written_table(arguments, COLUMNS) as table:
        for name, (file, found) in read_each(arguments, names, read_one, table):
            lines = tuple(line for line in found.lines if line.confidence >= arguments.least)
            in_cells = (line if line.confidence >= arguments.least else illegible(line) for line in found.lines)
            reading = replace(found, lines=lines, cells=filled(found.cells, in_cells))
            note_turn(name, found.rotation, arguments)
            if arguments.csv is None:
                show(name, reading, arguments.json, arguments.least if found.lines else None)
            table.rows += [(name, number, line.text, line.confidence, "") for number, line in enumerate(lines, 1)]
            if not lines:
                table.rows.append((name, 0, "", "", ""))
            if arguments.show is not None:
                atomic_write(arguments.show, drawn(read_picture(rewound(file), colour=True), reading))
    return int(table.num_unread > 0)


def shared_options(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return the options of `read` and `read_form`; several pictures are read with one thread each."""
    return {"rotate": not arguments.no_rotate, "n_jobs": arguments.n_jobs if len(names) == 1 else 1}


def with_file(read: Callable[..., _T], name: str, **options: Any) -> tuple[str | BinaryIO, _T]:
    """Return the path of a picture, or standard input, and what a function reads from it."""
    file = picture(name)
    return file, read(file, **options)


def note_turn(name: str, rotation: int, arguments: argparse.Namespace) -> None:
    """Note that a picture was turned, unless the output is JSON, which contains the rotation."""
    if rotation and not arguments.json:
        text = f"{name} was turned by {rotation} degrees, counter-clockwise. If this is wrong, pass --no-rotate."
        note(text, quiet=arguments.quiet)


def show(name: str, reading: "Reading", as_json: bool, least: float | None = None) -> None:
    """Print a reading. `least` is the minimum confidence of its lines; None if the picture has no digits."""
    from lenet.reading.results import rounded_down

    if as_json:
        say(json.dumps({"image": name, **reading.as_dict()}))
        return
    for line in reading.lines:
        say(f"{name}: {line.text} ({rounded_down(line.confidence, 2)})")
    if not reading.lines:
        say(f"{name}: " + ("no digits" if least is None else f"no line with a confidence of at least {least:g}"))


def run_forms(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str], model: "LeNet5"
) -> int:
    """Run `lenet read --fields`; report pictures that cannot be read, and continue with the others."""
    from lenet.reading import read_form
    from lenet.reading.drawing import drawn_fields
    from lenet.reading.forms import straightened
    from lenet.reading.pictures import as_grey

    fields, header = fields_of(arguments, parser, model)
    options = shared_options(arguments, names)
    if arguments.check_below is not None:
        options["check_below"] = arguments.check_below
    read_one = functools.partial(with_file, read_form, fields=fields, model=model, **options)
    with written_table(arguments, header) as table:
        for name, (file, values) in read_each(arguments, names, read_one, table):
            note_turn(name, values[0].rotation, arguments)
            if arguments.csv is None:
                show_fields(name, values, arguments.json)
            columns = (part for value in values for part in (value.value, value.confidence))
            checks = (f"{value.name}: {', '.join(value.problems)}" for value in values if value.problems)
            table.rows.append([name, "; ".join(checks), *columns])
            if arguments.show is not None:
                atomic_write(arguments.show, drawn_fields(straightened(as_grey(rewound(file))), values))
    return int(table.num_unread > 0)


def fields_of(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, model: "LeNet5"
) -> "tuple[tuple[Field, ...], list[str]]":
    """Return the fields and the header of their table after checking the arguments."""
    from lenet.reading import load_fields
    from lenet.reading.fields import columns_of
    from lenet.reading.forms import check_checksums

    others = {name: getattr(arguments, name) or None for name in ("only_digits", "marks", "least")}
    at_most_one(parser, fields=arguments.fields, **others)
    fields = load_fields(arguments.fields)
    check_checksums(fields, model)  # raises its error once rather than for each form
    columns = columns_of(fields)
    check_csv(parser, arguments, columns)
    return fields, columns


def show_fields(name: str, values: "Sequence[FieldValue]", as_json: bool) -> None:
    """Print the values of the fields of a form."""
    from lenet.reading.results import rounded_down

    if as_json:
        say(json.dumps({"image": name, "fields": [value.as_dict() for value in values]}))
        return
    for value in values:
        check = f" check: {', '.join(value.problems)}" if value.problems else ""
        say(f"{name}: {value.name}: {value.value} ({rounded_down(value.confidence, 2)}){check}")
