"""Serve models over HTTP: the Open Inference Protocol, pictures, and a page that shows the network at work.

If the environment variable LENET_TOKEN is set, or LENET_TOKEN_FILE names a file with a token, clients must send it as
"Authorization: Bearer TOKEN". Each option except --quiet also has an environment variable: LENET_PORT=8080 is --port
8080, and LENET_MODEL=a=x.safetensors,b=y.safetensors is --model twice. The server reloads a model when its file
changes, and all models on SIGHUP. On SIGTERM or Ctrl-C, it finishes the requests in progress and exits.
"""

import argparse
import contextlib
import difflib
import math
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lenet.cli.options import COUNT, note_weights_only, number_type, usage_errors
from lenet.cli.output import say, warn
from lenet.serving.tokens import CONTROL_TOKEN, TOKEN, token_of

if TYPE_CHECKING:
    from lenet.serving import Limits

_SETTINGS = (
    "model", "host", "port", "uds", "workers", "max_body", "max_batch", "max_pixels", "max_in_flight", "timeout",
    "deadline", "drain", "log_level",
)  # fmt: skip
_VARIABLES = [
    TOKEN, f"{TOKEN}_FILE", CONTROL_TOKEN, f"{CONTROL_TOKEN}_FILE", "LENET_ALLOW_CONTROL", "LENET_DATA",
    "LENET_NUM_THREADS", "LENET_CPU",
    *(f"LENET_{name.upper()}" for name in _SETTINGS),
]  # fmt: skip
_MIN_SIMILARITY = 0.85  # of a misspelt name to the right one, as difflib computes it
_MAX_LIMIT = 1e9  # MiB, millions of pixels or seconds; larger values are mistakes

_positive = number_type(float, lambda x: 0 < x <= _MAX_LIMIT, f"a number above 0 and at most {_MAX_LIMIT:g}")
_from_0 = number_type(float, lambda x: 0 <= x <= _MAX_LIMIT, f"a number from 0 to {_MAX_LIMIT:g}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet serve`."""
    parser.add_argument(
        "--model", action="append", dest="models", metavar="[NAME=]FILE",
        help="weights, as for lenet predict, with an optional name; repeat for several models (default: mnist)",
    )  # fmt: skip
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on (default: 127.0.0.1, this machine only; 0.0.0.0 for all interfaces)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen on; 0 chooses a free one (default: 8000)"
    )
    parser.add_argument(
        "--uds", metavar="PATH", help="path of a Unix socket to listen on, instead of --host and --port"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="number of worker processes (default: 1)")
    _add_limits(parser)
    parser.add_argument(
        "--allow-control", action="store_true",
        help="allow clients to load and unload models; requires one worker, and "
        f"{TOKEN}, {CONTROL_TOKEN}, or either with the suffix _FILE",
    )  # fmt: skip
    parser.add_argument(
        "--log-level", choices=("info", "warning", "error"), default="info",
        help="lowest level to log; requests are logged as info, or higher from status 500 on (default: info)",
    )  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="omit the address, and log warnings and errors only")
    settings = _settings(os.environ)
    variables = ", ".join(f"LENET_{name.upper()}" for name in settings)
    source = f" (set in the environment: {variables})" if settings else ""
    parser.set_defaults(**{"model": "mnist"} | settings, source=source)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-body", type=_positive, default=16, metavar="MIB", help="maximum size of a request body (default: 16 MiB)"
    )
    parser.add_argument(
        "--max-batch", type=COUNT, default=1024, metavar="N",
        help="maximum number of images per request (default: 1024)",
    )  # fmt: skip
    parser.add_argument(
        "--max-pixels", type=_positive, default=25, metavar="MILLIONS",
        help="maximum number of pixels per picture (default: 25 million)",
    )  # fmt: skip
    parser.add_argument(
        "--max-in-flight", type=COUNT, default=256, metavar="N",
        help="maximum number of pictures, and of large requests, that a worker accepts at a time (default: 256)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_positive, default=10, metavar="SECONDS",
        help="time limit for a client to send a request, or to read a response (default: 10 s)",
    )  # fmt: skip
    parser.add_argument(
        "--deadline", type=_positive, default=30, metavar="SECONDS",
        help="time limit for computing a response, including the wait for a thread (default: 30 s)",
    )  # fmt: skip
    parser.add_argument(
        "--drain", type=_from_0, default=1, metavar="SECONDS",
        help="time after SIGTERM during which the server is not ready but accepts connections, for load balancers "
        "(default: 1 s)",
    )  # fmt: skip


def _settings(environment: Mapping[str, str]) -> dict[str, str | bool]:
    """Return the options that environment variables set; the parser converts the texts.

    Examples
    --------
    >>> _settings({"LENET_PORT": "8080", "LENET_MODEL": "mnist,receipts=runs/train-3", "LENET_ALLOW_CONTROL": "0"})
    {'model': 'mnist,receipts=runs/train-3', 'port': '8080'}
    """
    given = {name: environment.get(f"LENET_{name.upper()}") for name in (*_SETTINGS, "allow_control")}
    if (given["port"] or "").startswith("tcp://"):  # Kubernetes sets it for a service whose name is lenet
        del given["port"]
    settings: dict[str, str | bool] = {name: text for name, text in given.items() if text}
    if str(settings.pop("allow_control", "0")).lower() in ("1", "true", "yes", "on"):
        settings["allow_control"] = True
    return settings


def _misspelt(environment: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that are probably misspelt, and their names; others may belong to other programs.

    Examples
    --------
    >>> list(_misspelt(["LENET_PORT", "LENET_TOKNE", "LENET_SERVICE_PORT"]))
    [('LENET_TOKNE', 'LENET_TOKEN')]
    """
    for name in sorted(set(environment).difference(_VARIABLES)):
        if name.startswith("LENET_"):
            for meant in difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=_MIN_SIMILARITY):
                yield name, meant


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet serve`."""
    _prepare_process()
    from lenet.serving import serve
    from lenet.serving.limits.capacity import exit_if_working
    from lenet.serving.listening import check_address
    from lenet.serving.logs import check_level
    from lenet.serving.server import check_workers

    for name, meant in _misspelt(os.environ):
        warn(f"The environment variable {name} has no effect; expected {meant}.")
    token, control_token = (token_of(os.environ, variable) for variable in (TOKEN, CONTROL_TOKEN))
    models = named(arguments.models or arguments.model.split(","), parser)
    with usage_errors(parser, r"^\w+"):
        check_level(arguments.log_level)
        check_address(arguments.host, arguments.port, arguments.uds)
        check_workers(arguments.workers, allow_control=arguments.allow_control, has_token=bool(token or control_token))
    for file in models.values():
        note_weights_only(file, quiet=arguments.quiet)
    log_level = "warning" if arguments.quiet and arguments.log_level == "info" else arguments.log_level

    def on_ready(url: str) -> None:
        if not arguments.quiet:
            say(f"lenet serves {', '.join(models)} at {url} (stop it with Ctrl-C)")

    serve(
        models, host=arguments.host, port=arguments.port, uds=arguments.uds, workers=arguments.workers,
        limits=limits_of(arguments), token=token, allow_control=arguments.allow_control, control_token=control_token,
        log_level=log_level, on_ready=on_ready,
    )  # fmt: skip
    exit_if_working()
    return 0


def _prepare_process() -> None:
    """Set up the process before NumPy and the server are imported."""
    if hasattr(signal, "SIGHUP"):
        with contextlib.suppress(ValueError):  # not the main thread, which `serve` reports
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server handles it: it would end the process
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy and OpenCV would each start a thread per core
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # of another server; several workers get a folder of their own


def limits_of(arguments: argparse.Namespace) -> "Limits":
    """Return the limits that the options set."""
    from lenet.serving import Limits

    body = math.ceil(arguments.max_body * 2**20)
    return Limits(
        body=body,
        buffered=max(Limits.buffered, 2 * body),  # a compressed body counts with both of its sizes
        batch=arguments.max_batch,
        pixels=math.ceil(arguments.max_pixels * 1e6),
        in_flight=arguments.max_in_flight,
        receive_seconds=arguments.timeout,
        request_seconds=arguments.deadline,
        drain_seconds=arguments.drain,
    )


def named(options: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the file of each model by the model's name, which defaults to the name of the file without its suffix.

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
            parser.error(f"--model is {option or 'empty'}; expected FILE or NAME=FILE.")
        if name in models:
            parser.error(f"--model {option} repeats the name {name}; expected distinct names. Choose another name.")
        models[name] = file
    return models
