"""The pictures that `predict` and `read` accept: files, folders, patterns and standard input."""

import argparse
import contextlib
import csv
import functools
import glob
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lenet._bar import Bar
from lenet._files import atomic_write, begins_with, check_replaceable, read_stream
from lenet.cli.options import at_most_one, check_png
from lenet.cli.output import error_text, note, printable, say, warn
from lenet.cli.processes import results_of
from lenet.errors import DataError, InputError, SaveError

PICTURES_HELP = (
    "a PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file, a folder of them, a quoted pattern such as 'scans/*.png', or - for "
    "standard input"
)
PROCESSES_HELP = "; for many pictures, number of processes (default: the same, but at most 8)"
STANDARD_INPUT = "-"
_OWN_FILES = ("/dev/fd/", "/dev/std", "/proc/")  # like standard input, these may be open in this process only
CHECK = "check"  # the column that tells what a person should check
_T = TypeVar("_T")
_NO_PICTURES = (
    "has no pictures; expected PNG, JPEG, BMP, GIF, TIFF, WebP or PNM files. Convert other formats, such as HEIC, to "
    "one of these."
)
_TO_CONVERT = (".pdf", ".heic", ".heif", ".avif")
_CONVERT = "is not a picture that lenet reads. Convert it to PNG or JPEG."
_NO_MATCH = "matches no file; expected the path of a picture, or a pattern."
MAX_BYTES = 200_000_000  # of a picture from standard input


def add_csv(parser: argparse.ArgumentParser, columns: str) -> None:
    """Add --csv."""
    parser.add_argument(
        "--csv", metavar="FILE", help=f"write a CSV file, or replace an earlier one, with the columns {columns}"
    )


def expanded(names: Sequence[str]) -> list[str]:
    """Return the names of all pictures, with folders and patterns replaced by the files in them or matching them.

    A warning lists the files of folders that are not pictures. A folder without pictures, a pattern that matches no
    file, and files of folders that must be converted first, such as PDF files, are `Unreadable`.
    """
    from lenet.data.image_folder import Unreadable, pictures_in, skipped

    found: list[str] = []
    for name in names:
        if not name:  # Path("") would be the current folder
            raise InputError("The name of a picture is empty; expected a path or a pattern.")
        if name == STANDARD_INPUT or os.path.isfile(name):  # noqa: PTH113 (Path.is_file may raise an error)
            found.append(name)
        elif os.path.isdir(name):  # noqa: PTH112
            files, others = pictures_in(Path(name))
            files += [Unreadable(Path(path), _CONVERT) for path in others if path.lower().endswith(_TO_CONVERT)]
            others = [path for path in others if not path.lower().endswith(_TO_CONVERT)]
            if files and others:
                warn(skipped(name, others))
            found += files or [Unreadable(Path(name), _NO_PICTURES)]
        elif glob.has_magic(name) and "://" not in name:
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
            files = [path for path in matches if not os.path.isdir(path)]  # noqa: PTH112
            found += files or [Unreadable(Path(name), _NO_MATCH)]
        else:
            found.append(name)  # reading it raises the error
    return found


def picture(name: str) -> str | BinaryIO:
    """Return the path of a picture, or a binary file with the content of standard input."""
    from lenet.data.csv import SUFFIXES

    if name.lower().endswith((*SUFFIXES, ".npy", ".npz", ".parquet")):
        raise DataError(
            f"{name} is a table or an array; expected a picture. `lenet evaluate` tests a model on a data set, and "
            "`lenet score` classifies the images of .npy, .parquet and .csv files."
        )
    if name != STANDARD_INPUT:
        return name
    if sys.stdin is None:
        raise InputError("Standard input is closed; expected a picture. Pass the path of a file instead.")
    content = read_stream(sys.stdin.buffer, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(
            f"Standard input has more than {MAX_BYTES:,} bytes; expected a smaller picture. Scale it down."
        )
    return io.BytesIO(content)


def rewound(file: str | BinaryIO) -> str | BinaryIO:
    """Rewind and return a result of `picture`, so that it can be read again."""
    if not isinstance(file, str):
        file.seek(0)
    return file


def read_each(
    arguments: argparse.Namespace,
    names: Sequence[str],
    read: Callable[[str], _T],
    table: "Table",
) -> Iterator[tuple[str, _T]]:
    """Yield the name of each picture and what a function returns for it; report pictures that cannot be read.

    `read` raises DataError, InputError or OSError for these, which get a row of the table. It must be picklable,
    because worker processes may call it. With --json, each gets a line; with --csv, there is a progress bar.
    """
    is_own = any(name == STANDARD_INPUT or name.startswith(_OWN_FILES) for name in names)
    results = results_of(functools.partial(_read_or_error, read), names, 1 if is_own else arguments.n_jobs)
    with Bar(shown=arguments.csv is not None and not arguments.quiet) as bar, contextlib.closing(results):
        for done, (name, found) in enumerate(zip(names, results, strict=True), 1):
            if isinstance(found, Exception):
                source, text = "Standard input" if name == STANDARD_INPUT else printable(name), error_text(found)
                is_named = text.startswith((f"{source}:", f"{source} "))
                print(f"lenet: error: {text if is_named else f'{source}: {text}'}", file=sys.stderr)
                if arguments.json:
                    say(json.dumps({"image": name, "error": text}))
                table.add_unread(name, text)
            else:
                yield name, found
            bar.update(done, len(names))


def _read_or_error(read: Callable[[str], _T], name: str) -> _T | Exception:
    """Return what a function returns for a picture, or the error it raises."""
    from lenet.data.image_folder import Unreadable

    try:
        if isinstance(name, Unreadable):
            raise DataError(name.message)
        return read(name)
    except (DataError, InputError, OSError) as error:
        return error


def check_csv(parser: argparse.ArgumentParser, arguments: argparse.Namespace, *headers: Sequence[str]) -> None:
    """Reject --csv with --json, a name that does not end in .csv, and a file that begins with none of the headers.

    Tables of earlier versions, whose last column is not yet CHECK, may be replaced, too.
    """
    if arguments.csv is None:
        return
    lines = [(_line_of(header) + "\n").encode() for header in headers]
    known = {*lines, *(line.replace(f",{CHECK}\n".encode(), b"\n") for line in lines)}
    at_most_one(parser, csv=arguments.csv, json=arguments.json)
    if Path(arguments.csv).suffix.lower() != ".csv":
        parser.error(f"--csv is {arguments.csv or 'an empty name'}; expected a name that ends in .csv.")
    for output in (arguments.csv, partial_name(arguments.csv)):
        check_replaceable(output, b"")
        if Path(output).exists() and not any(begins_with(Path(output), each, len(each)) for each in known):
            columns = " or ".join(",".join(each[:6]) + ",..." * (len(each) > 6) for each in headers)
            raise InputError(
                f"{output} exists and is not a table with the columns {columns}. Choose another name, or remove it "
                "first."
            )


def partial_name(output: str) -> str:
    """Return the name of the file that gets the rows of a table so far after an error or Ctrl-C."""
    return str(Path(output).with_suffix(".partial.csv"))


def check_drawing(parser: argparse.ArgumentParser, output: str | None, names: Sequence[str]) -> None:
    """Reject --show with several pictures, and a file that it must not write."""
    if output is None:
        return
    if len(names) > 1:
        parser.error(f"--show was given with {len(names)} pictures; expected one.")
    check_png(parser, "--show", output)


class Table:
    """The rows of --csv. Its first column is "image"; CHECK says why a person should look at a picture."""

    def __init__(self, header: Sequence[str]) -> None:
        self.header = header
        self.rows: list[Sequence[Any]] = []
        self.num_unread = 0  # pictures

    def add_unread(self, name: str, reason: str) -> None:
        """Add the row of a picture that could not be read."""
        known = {"image": name, CHECK: f"not read: {reason}"}
        self.rows.append([known.get(column, "") for column in self.header])
        self.num_unread += 1

    def write(self, output: str) -> None:
        """Write the table; ./ before a name that resembles a formula keeps spreadsheets from computing it."""
        rows = ((re.sub(r"\A(?=[=+@\t\r\n]|-.)", "./", name), *row) for name, *row in self.rows)
        write_csv(output, self.header, rows)


@contextlib.contextmanager
def written_table(arguments: argparse.Namespace, header: Sequence[str]) -> Iterator[Table]:
    """Yield a table to fill; at the end, write it to --csv, if it is given.

    After an error or Ctrl-C, write it to a file with another name, so that an earlier table is kept. It is also kept if
    no picture could be read.
    """
    table = Table(header)
    try:
        yield table
        if arguments.csv is not None and len(table.rows) == table.num_unread:
            note(f"No picture could be read, so {arguments.csv} was not written.", quiet=arguments.quiet)
        elif arguments.csv is not None:
            table.write(arguments.csv)
    except BaseException:
        if arguments.csv is not None and len(table.rows) > table.num_unread:
            output = partial_name(arguments.csv)
            with contextlib.suppress(SaveError):  # the error or Ctrl-C is more important
                table.write(output)
                note(f"{output} has the rows of the pictures read so far.")
        raise


def write_csv(output: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, replacing an existing file atomically."""
    lines = [_line_of(row) + "\n" for row in (header, *rows)]
    atomic_write(output, "".join(lines).encode("utf-8", "backslashreplace"))


def _line_of(row: Sequence[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)  # with its own line end, so that names with a carriage return are quoted
    return text.getvalue().removesuffix("\r\n")
