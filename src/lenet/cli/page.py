"""Write the page that shows the network at work, with a model in it, as one HTML file that needs no server."""

import argparse
from pathlib import Path

from lenet.cli.options import add_model, load_model
from lenet.cli.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet page`."""
    parser.add_argument("output", metavar="FILE.html", help="output file; an existing page of lenet is replaced")
    add_model(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet page`."""
    from lenet._files import atomic_write, begins_with
    from lenet.errors import InputError
    from lenet.serving.models import Served
    from lenet.serving.page import MARK, model_document, page_html

    output = Path(arguments.output)
    if output.suffix.lower() not in (".html", ".htm"):
        parser.error(f"{output}: expected a name that ends in .html")
    if output.exists() and not begins_with(output, MARK):
        raise InputError(f"{output} is not a page of lenet, and would be replaced. Choose another name.")
    served = Served(Path(arguments.model).stem, load_model(arguments.model))
    atomic_write(output, page_html(model_document(served.model, served.name, served.version)))
    say(f"{output}: open it in a browser")
    return 0
