"""`lenet train --mpi`: rank 0 runs the command, the others only train, and an error on one rank ends them all."""

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lenet.cli.output import error_line
from lenet.errors import LenetError

if TYPE_CHECKING:
    from lenet.training.mpi import Ranks


def train_together(arguments: argparse.Namespace, lead: "Callable[[Ranks], int]") -> int:
    """Run the command on rank 0 and the training on the other ranks; return the exit code."""
    from lenet._fused.threads import n_jobs_per_process
    from lenet.training.mpi import Ranks

    ranks = Ranks()
    if arguments.n_jobs is None:
        arguments.n_jobs = n_jobs_per_process()
    with all_or_none(ranks):
        return lead(ranks) if ranks.rank == 0 else follow(ranks, arguments.n_jobs)


def follow(ranks: "Ranks", n_jobs: int | None) -> int:
    """Train on the data of rank 0; write and print nothing."""
    from lenet._extras import require
    from lenet.cli.signals import StopSignals
    from lenet.training.loop import train

    received: Any = ranks.broadcast(None)
    threadpool_limits = require("threadpoolctl", "train").threadpool_limits
    model, X, y, recipe, seed = received
    with StopSignals() as signals, threadpool_limits(1, "blas"):  # as for rank 0
        state = train(
            model, X, y, recipe, seed=seed, n_jobs=n_jobs, comm=ranks, on_step=lambda _: bool(signals.received),
        )  # fmt: skip
    return 128 + (signals.received or signal.SIGINT) if state.step else 0


@contextlib.contextmanager
def all_or_none(ranks: "Ranks") -> Iterator[None]:
    """End all ranks if this one fails, since the others would wait for it; report an error of all ranks only once."""
    try:
        yield
    except BaseException as error:
        if ranks.size == 1:
            raise
        if ranks.rank:
            time.sleep(3)  # time for rank 0, if it fails too, to report it and end this one
        if isinstance(error, LenetError | OSError | MemoryError):
            print(f"{error_line(error)} (rank {ranks.rank})" if ranks.rank else error_line(error), file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print("lenet: interrupted", file=sys.stderr)
        elif not isinstance(error, SystemExit):  # argparse has printed its message
            traceback.print_exc()
        sys.stderr.flush()
        time.sleep(0.5)  # mpiexec drops output that is in flight when it ends the ranks
        code = 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, SystemExit) else 1
        ranks.comm.Abort(code)
        os._exit(code)  # Abort may return before the process ends
