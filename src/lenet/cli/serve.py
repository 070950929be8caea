"""Serve models over HTTP: the Open Inference Protocol, pictures, and a page that shows the network think.

The environment variable LENET_TOKEN, where it is set, holds what clients must send as "Authorization: Bearer", or
LENET_TOKEN_FILE names a file that does. A model is loaded anew when its file changes, and all are on SIGHUP. SIGTERM
and Ctrl-C end it when all requests are answered.
"""

import argparse
import math
import os
from collections.abc import Mapping
from pathlib import Path

from lenet.cli.options import load_model

TOKEN = "LENET_TOKEN"  # noqa: S105 # nosec B105 # its name
LONGEST_TOKEN = 4096  # bytes
_GREATEST = 1e9  # MiB, millions of pixels or seconds: more is a mistake


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet serve`."""
    parser.add_argument(
        "--model", action="append", metavar="[NAME=]FILE",
        help="weights, as for lenet predict, under a name; several times for several models (default: mnist)",
    )  # fmt: skip
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, for this machine alone; 0.0.0.0 for all)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0 chooses a free one (default: 8000)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--max-body", type=_positive, default=16, metavar="MIB", help="of a request (default: 16)")
    parser.add_argument("--max-batch", type=int, default=1024, metavar="N", help="images of a request (default: 1024)")
    parser.add_argument(
        "--max-pixels", type=_positive, default=25, metavar="MILLIONS", help="of a picture (default: 25)"
    )
    parser.add_argument(
        "--max-in-flight", type=int, default=32, metavar="N",
        help="pictures and large requests that are computed or wait, of a worker (default: 32)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_positive, default=10, metavar="SECONDS", help="for a request to arrive (default: 10)"
    )
    parser.add_argument(
        "--deadline", type=_positive, default=30, metavar="SECONDS", help="for its answer to be computed (default: 30)"
    )
    parser.add_argument(
        "--allow-control", action="store_true", help=f"let clients load and unload models; {TOKEN} has to be set"
    )
    parser.add_argument(
        "--log-level", choices=("info", "warning", "error"), default="info",
        help="info has a line for each request (default: info)",
    )  # fmt: skip


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet serve`."""
    from lenet.errors import InputError
    from lenet.serving import Limits, serve

    token = token_of(os.environ)
    if arguments.allow_control and token is None:
        parser.error(f"--allow-control: set {TOKEN} first, that not everybody may load and unload models")
    try:
        limits = Limits(
            body=math.ceil(arguments.max_body * 2**20),
            batch=arguments.max_batch,
            pixels=math.ceil(arguments.max_pixels * 1e6),
            in_flight=arguments.max_in_flight,
            receive_seconds=arguments.timeout,
            request_seconds=arguments.deadline,
        )
    except InputError as error:
        parser.error(str(error))
    if arguments.workers < 1:
        parser.error(f"--workers {arguments.workers}: give at least 1")
    if not 0 <= arguments.port < 65536:
        parser.error(f"--port {arguments.port}: give one from 0 to 65535")
    if arguments.workers > 1 and arguments.allow_control:
        parser.error("--allow-control is for one worker: others would not know what was loaded")
    models = named(arguments.model or ["mnist"], parser)
    serve(
        models, load_model, host=arguments.host, port=arguments.port, workers=arguments.workers, limits=limits,
        token=token, allow_control=arguments.allow_control, log_level=arguments.log_level,
        on_ready=lambda url: print(f"lenet serves {', '.join(models)} on {url} (Ctrl-C ends it)", flush=True),
    )  # fmt: skip
    return 0


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= _GREATEST:
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0 and up to {_GREATEST:g}")
    return number


_positive.__name__ = "number"  # argparse says it when float() fails


def token_of(environment: Mapping[str, str]) -> str | None:
    """Return the token that the environment has, itself or in a file; a line's end there does not count.

    Raises
    ------
    InputError
        If the file holds no such text.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> token_of({"LENET_TOKEN": "sesame"})
    'sesame'
    """
    from lenet._files import read_at_most
    from lenet.errors import InputError

    path = environment.get(f"{TOKEN}_FILE")
    if path is None or TOKEN in environment:
        return environment.get(TOKEN)
    content = read_at_most(path, LONGEST_TOKEN)
    if content is None or not content.isascii():
        raise InputError(f"{path}, which {TOKEN}_FILE names, holds no token: at most {LONGEST_TOKEN} bytes of ASCII.")
    return content.decode().rstrip("\r\n")


def named(options: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the files by the names that the options give them, or by their own.

    Examples
    --------
    >>> named(["mnist", "receipts=runs/train-3", "zips.safetensors"], argparse.ArgumentParser())
    {'mnist': 'mnist', 'receipts': 'runs/train-3', 'zips': 'zips.safetensors'}
    """
    models: dict[str, str] = {}
    for option in options:
        name, equals, file = option.partition("=")
        if not equals:
            name, file = Path(option).stem, option
        if not name or not file:
            parser.error(f"--model {option}: give a name and a file")
        if name in models:
            parser.error(f"--model {option}: {name} is there already, give it another name")
        models[name] = file
    return models
