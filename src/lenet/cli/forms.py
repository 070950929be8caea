"""Read the fields of forms: `lenet read --fields`."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from lenet._files import atomic_write
from lenet.cli.inputs import check_csv, picture, read_each, rewound, write_csv
from lenet.cli.output import say

if TYPE_CHECKING:
    from lenet.model import LeNet5
    from lenet.reading import Field, FieldValue


def run_forms(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str], model: "LeNet5"
) -> int:
    """Read forms; report pictures that cannot be read, and continue with the others."""
    from lenet.reading import read_form
    from lenet.reading.drawing import drawn_fields
    from lenet.reading.forms import straightened
    from lenet.reading.pictures import as_grey

    fields, header = _fields(arguments, parser, model)
    options = {"rotate": not arguments.no_rotate, "n_jobs": arguments.n_jobs}
    if arguments.check_below is not None:
        options["check_below"] = arguments.check_below
    rows: list[list[object]] = []

    def read_one(name: str) -> "tuple[str | BinaryIO, tuple[FieldValue, ...]]":
        file = picture(name)
        return file, read_form(file, fields, model, **options)

    def add_unread(name: str, reason: str) -> None:
        rows.append([name, f"not read: {reason}", *[""] * (len(header) - 2)])

    num_read = 0
    for name, (file, values) in read_each(arguments, names, read_one, add_unread):
        num_read += 1
        if arguments.show is not None:
            atomic_write(arguments.show, drawn_fields(straightened(as_grey(rewound(file))), values))
        if arguments.csv is None:
            _show(name, values, arguments.json)
        columns = (part for value in values for part in (value.value, value.confidence))
        checks = (f"{value.name}: {', '.join(value.problems)}" for value in values if value.problems)
        rows.append([name, "; ".join(checks), *columns])
    if arguments.csv is not None and num_read:
        write_csv(arguments.csv, header, rows)
    return int(num_read < len(names))


def _fields(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, model: "LeNet5"
) -> "tuple[tuple[Field, ...], list[str]]":
    """Return the fields and the header of their table after checking the arguments."""
    from lenet.reading import load_fields
    from lenet.reading.forms import check_checksums

    for option in ("only_digits", "marks", "least"):
        if getattr(arguments, option):
            parser.error(f"--fields and --{option.replace('_', '-')} were both given; expected one of them.")
    fields = load_fields(arguments.fields)
    check_checksums(fields, model)  # raises its error once rather than for each form
    header = ["image", "check"]
    for field in fields:
        header += [field.name, f"{field.name}_confidence"]
    if len(set(header)) < len(header):
        parser.error(
            f"The columns of the table would be {', '.join(header)}; expected different names. Rename the fields."
        )
    if arguments.csv is not None:
        check_csv(parser, arguments, "image,check,")
    return fields, header


def _show(name: str, values: "Sequence[FieldValue]", as_json: bool) -> None:
    from lenet.reading.results import rounded_down

    if as_json:
        say(json.dumps({"image": name, "fields": [value.as_dict() for value in values]}))
        return
    for value in values:
        check = f" check: {', '.join(value.problems)}" if value.problems else ""
        say(f"{name}: {value.name}: {value.value} ({rounded_down(value.confidence, 2)}){check}")
