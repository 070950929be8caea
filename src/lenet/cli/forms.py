"""Read the fields of forms: `lenet read --fields`."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lenet.cli.inputs import check_csv, picture, write_csv
from lenet.cli.options import error_line
from lenet.cli.output import say

if TYPE_CHECKING:
    from lenet.model import LeNet5
    from lenet.reading import FieldValue


def run_forms(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str], model: "LeNet5"
) -> int:
    """Read forms; pictures that cannot be read are reported, and the others are read."""
    from lenet.errors import DataError, InputError
    from lenet.reading import load_fields, read_form
    from lenet.scale.bar import Bar

    for option in ("show", "only_digits", "least"):
        if getattr(arguments, option):
            parser.error(f"--fields and --{option.replace('_', '-')} were both given; expected one of them.")
    fields = load_fields(arguments.fields)
    header = ["image", "check"]
    for field in fields:
        header += [field.name, f"{field.name}_confidence"]
    if len(set(header)) < len(header):
        parser.error(f"The columns of the table are {', '.join(header)}; expected different names. Rename the fields.")
    if arguments.csv is not None:
        check_csv(parser, arguments, header)
    rows: list[list[object]] = []
    failed = False
    with Bar(len(names), shown=arguments.csv is not None and not arguments.quiet) as bar:
        for done, name in enumerate(names, 1):
            try:
                values = read_form(
                    picture(name),
                    fields,
                    model,
                    check_below=arguments.check_below,
                    rotate=not arguments.no_rotate,
                    n_jobs=arguments.n_jobs,
                )
            except (DataError, InputError, OSError) as error:
                print(error_line(error), file=sys.stderr)
                failed = True
                continue
            if arguments.csv is None:
                _show(name, values, arguments.json)
            columns = (part for value in values for part in (value.value, value.confidence))
            rows.append([name, "; ".join(value.name for value in values if value.problems), *columns])
            bar.update(done)
    if arguments.csv is not None:
        write_csv(arguments.csv, header, rows)
    return int(failed)


def _show(name: str, values: "Sequence[FieldValue]", as_json: bool) -> None:
    if as_json:
        say(json.dumps({"image": name, "fields": [value.as_dict() for value in values]}))
        return
    for value in values:
        check = f" check: {', '.join(value.problems)}" if value.problems else ""
        say(f"{name}: {value.name}: {value.value} ({value.confidence:.2f}){check}")
