"""Classify pictures of one digit each, dark on light or light on dark, or the rows of a CSV file of pixels."""

import argparse
import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

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
    write_csv,
    written_table,
)
from lenet.cli.options import add_common, add_model, load_model, note_other_size, printed_log, usage_errors
from lenet.cli.output import note, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet.model import LeNet5
    from lenet.rejection import RejectionRule

OF_PICTURES = ("image", "class", "probability", "is_digit", CHECK)
OF_ROWS = ("ImageId", "Label")  # as Kaggle's Digit Recognizer expects
ROWS_AT_ONCE = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet predict`."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help=f"{PICTURES_HELP}; or a .csv file with 784 pixels per row"
    )
    parser.add_argument(
        "--reject-at", type=float, metavar="RATE",
        help="print \"unsure\" for the least certain digits, so that the error rate of the others is at most RATE, "
        "such as 0.002, on images like the calibration set",
    )  # fmt: skip
    parser.add_argument(
        "--as-mnist", action="store_true", help="convert rows of pixels as `lenet evaluate --as-mnist` does"
    )
    parser.add_argument("--show", metavar="PNG", help="write the network's input, enlarged ten times, to a PNG file")
    add_csv(
        parser,
        f"{', '.join(OF_PICTURES)}. is_digit is False if the picture resembles none of the classes, and empty if the "
        f"model cannot tell. {CHECK} says why a picture was rejected or could not be read. For a .csv file, the "
        f"columns are {' and '.join(OF_ROWS)}",
    )
    add_model(parser)
    add_common(parser, PROCESSES_HELP)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet predict`; report pictures that cannot be read, and continue with the others."""
    from lenet.data.csv import SUFFIXES
    from lenet.rejection import RejectionRule

    names = expanded(arguments.images)
    check_csv(parser, arguments, OF_PICTURES, OF_ROWS)
    tables = [name for name in names if name.lower().endswith(SUFFIXES)]
    if tables and (len(names) > 1 or arguments.show is not None):
        parser.error(f"{tables[0]} is a table; expected no other input and no --show.")
    if arguments.as_mnist and not tables:
        parser.error("--as-mnist was given with pictures; expected a .csv file. Omit it.")
    model = load_model(arguments.model, quiet=arguments.quiet)
    check_drawing(parser, arguments.show, names)
    with contextlib.nullcontext() if arguments.reject_at is None else usage_errors(parser, "reject_at"):
        rule = RejectionRule.from_metadata(model.metadata, arguments.reject_at)
    if arguments.reject_at is not None and not rule.min_digit_score:
        note(
            f"{arguments.model} cannot reject pictures that resemble none of its classes. To enable this, call "
            "lenet.evaluation.calibrate with at least 1,000 images.",
            quiet=arguments.quiet,
        )
    if tables:
        return predict_rows(tables[0], model, rule, arguments)
    return predict_pictures(names, model, rule, arguments)


def predict_pictures(names: list[str], model: "LeNet5", rule: "RejectionRule", arguments: argparse.Namespace) -> int:
    """Print the answers for all pictures, or write them to a table; return the exit code."""
    from lenet.reading.drawing import enlarged

    classes, refused = model.classes, False
    with written_table(arguments, OF_PICTURES) as table:
        prepare = functools.partial(prepared, raw="raw" in model.metadata)
        for name, image in read_each(arguments, names, prepare, table):
            [answer] = rule._as_dicts(model.predict_proba(image, n_jobs=arguments.n_jobs), classes)
            refused |= answer["is_digit"] is False
            if arguments.csv is None:
                say(json.dumps({"image": name, **answer}) if arguments.json else f"{name}: {in_words(answer, classes)}")
            why = rejection(answer, classes)
            table.rows.append((name, answer["class"], max(answer["probabilities"]), answer["is_digit"], why))
            if arguments.show is not None:
                atomic_write(arguments.show, enlarged(image))
    if refused and _are_digits(classes) and not arguments.json:
        note("To read pictures of several digits, run `lenet read`.", quiet=arguments.quiet)
    return int(table.num_unread > 0)


def prepared(name: str, raw: bool) -> "NDArray[np.uint8]":
    """Return the digit in a picture as the network's input; if `raw`, convert only its colours."""
    from lenet.data.pictures import image_of
    from lenet.reading import read_picture

    return image_of(read_picture(picture(name)), name, raw)


def predict_rows(table: str, model: "LeNet5", rule: "RejectionRule", arguments: argparse.Namespace) -> int:
    """Print the answers for all rows, or write them to a table."""
    classes = model.classes
    answers = rows_of(table, model, rule, arguments)
    if arguments.csv is None:
        for number, answer in enumerate(answers, 1):
            name = {"image": table, "row": number}
            say(json.dumps(name | answer) if arguments.json else f"{table}, row {number}: {in_words(answer, classes)}")
        return 0
    # Without --reject-at, each row gets a class: a submission must have an answer for every row.
    any_class = arguments.reject_at is None
    chosen = (classes[answer["likeliest"]] if any_class else answer["class"] for answer in answers)
    write_csv(arguments.csv, OF_ROWS, enumerate(chosen, 1))
    return 0


def rows_of(
    table: str, model: "LeNet5", rule: "RejectionRule", arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the answer for each row of a table."""
    from lenet.data.csv import read_csv
    from lenet.reading import as_mnist

    with printed_log(quiet=arguments.quiet):
        images, _, _ = read_csv(table)
    note_other_size(model, images, converted=arguments.as_mnist, quiet=arguments.quiet)
    for start in range(0, len(images), ROWS_AT_ONCE):
        block = images[start : start + ROWS_AT_ONCE]
        block = as_mnist(block) if arguments.as_mnist else block
        probabilities = model.predict_proba(block, n_jobs=arguments.n_jobs)
        yield from rule._as_dicts(probabilities, model.classes)


def in_words(answer: dict[str, Any], classes: Sequence[str]) -> str:
    """Return an answer in words."""
    from lenet.reading.results import rounded_down

    why = rejection(answer, classes)
    if answer["is_digit"] is False:
        return f"{why} (digit score {rounded_down(answer['digit_score'], 3)})"
    probability = answer["probabilities"][answer["likeliest"]]
    return f"{why or classes[answer['likeliest']]} ({rounded_down(probability, 3)})"


def rejection(answer: dict[str, Any], classes: Sequence[str]) -> str:
    """Return why an answer was rejected, or "" if it was accepted."""
    if answer["is_digit"] is False:
        return "not a digit" if _are_digits(classes) else "not one of the classes"
    return "" if answer["label"] is not None else f"unsure; most likely {classes[answer['likeliest']]}"


def _are_digits(classes: Sequence[str]) -> bool:
    return "".join(classes).isdecimal()
