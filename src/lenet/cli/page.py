"""Write the drawing page, including a model, as one HTML file that needs no server."""

import argparse
from pathlib import Path

from lenet._files import atomic_write, check_replaceable
from lenet.cli.options import add_model, add_quiet, load_model
from lenet.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet page`."""
    parser.add_argument("output", metavar="FILE.html", help="output file; replaces only a page that lenet wrote")
    add_model(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet page`."""
    from lenet.serving.models import Served
    from lenet.serving.page import MARK, model_document, page_html

    output = Path(arguments.output)
    if output.suffix.lower() not in (".html", ".htm"):
        parser.error(f"{output} has an unknown suffix; expected .html or .htm.")
    check_replaceable(output, MARK)
    served = Served(Path(arguments.model).stem, load_model(arguments.model, quiet=arguments.quiet))
    atomic_write(output, page_html(model_document(served.model, served.name, served.version)))
    if not arguments.quiet:
        say(f"Open {output} in a browser.")
    return 0
