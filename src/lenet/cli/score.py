"""Classify the images in large files on all cores or on a Dask cluster.

The files may be .npy, Parquet, CSV or Zarr, on this machine or at addresses such as s3://bucket/in.npy. The output
contains the most probable digit of each image and its probability. This command requires Dask: pip install
'lenet[dask]'.
"""

import argparse
import contextlib
import json
import time
from typing import TYPE_CHECKING

from lenet.cli.options import add_model, add_quiet, at_most_one, load_model
from lenet.cli.output import say
from lenet.errors import WorkerError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet score`."""
    parser.add_argument("images", nargs="+", metavar="IMAGES", help=".npy, .parquet or .csv files, or Zarr folders")
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="output file, with the suffix .parquet, .zarr or .npy"
    )
    parser.add_argument(
        "--column", metavar="NAME", help="column of Parquet files (default: image, or 784 columns of pixels)"
    )
    parser.add_argument("--probabilities", action="store_true", help="also write the probabilities of all classes")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="address of a Dask cluster, such as tcp://head:8786")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of processes to start on this machine, if --scheduler is not given (default: LENET_NUM_THREADS, "
        "OMP_NUM_THREADS, or all cores)",
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    add_quiet(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet score`."""
    from lenet.scale import score
    from lenet.scale.outputs import check_free

    at_most_one(parser, workers=arguments.workers, scheduler=arguments.scheduler)
    check_free(arguments.out)
    model = load_model(arguments.model, quiet=arguments.quiet)
    start = time.perf_counter()
    with cluster(arguments.scheduler) as client:
        rows = score(
            arguments.images, arguments.out, model=model, client=client, workers=arguments.workers,
            column=arguments.column, probabilities=arguments.probabilities, progress=not arguments.quiet,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    if arguments.json:
        say(json.dumps({"out": arguments.out, "images": rows, "seconds": seconds}))
    elif not arguments.quiet:
        say(f"{arguments.out}: {rows:,} images in {seconds:.1f} s")
    return 0


def cluster(address: str | None) -> "AbstractContextManager[Any]":
    """Return a client of the scheduler at an address; without an address, a context manager that yields None."""
    from lenet._extras import require

    if address is None:
        return contextlib.nullcontext()
    try:
        client: AbstractContextManager[Any] = require("distributed", "dask").Client(address, timeout=10)
    except (OSError, ValueError, TypeError) as error:
        raise WorkerError(
            f"No scheduler answers at {address} ({error}). Correct the address, or start a scheduler there."
        ) from error
    return client
