"""`lenet train --mpi`: rank 0 does what the command does, the others train along, and an error of one ends all."""

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from lenet.cli.options import error_line
from lenet.errors import LenetError

if TYPE_CHECKING:
    from lenet.scale.mpi import Ranks


def train_together(arguments: argparse.Namespace, lead: "Callable[[Ranks], int]") -> int:
    """Return the exit code of a training that rank 0 leads."""
    from lenet._fused.threads import n_jobs_beside_others
    from lenet.scale.mpi import Ranks

    ranks = Ranks()
    if arguments.n_jobs is None:
        arguments.n_jobs = n_jobs_beside_others()
    with all_or_none(ranks):
        return lead(ranks) if ranks.rank == 0 else follow(ranks, arguments.n_jobs)


def follow(ranks: "Ranks", n_jobs: int | None) -> int:
    """Train along, on what rank 0 has read; write and show nothing."""
    from lenet.cli.train import Job, StopSignals
    from lenet.model import LeNet5
    from lenet.training import train

    job = ranks.told(lambda: cast(Job, None))  # rank 0 makes it
    model = LeNet5(seed=0, num_classes=job.num_classes)
    with StopSignals() as signals:
        state = train(
            model, job.X, job.y, job.recipe, seed=job.seed, n_jobs=n_jobs, peers=ranks,
            on_step=lambda _: bool(signals.received),
        )  # fmt: skip
    return 128 + (signals.received or signal.SIGINT) if state.step else 0


@contextlib.contextmanager
def all_or_none(ranks: "Ranks") -> Iterator[None]:
    """End all ranks if this one fails, since they would wait for it forever; say why, once if all fail alike."""
    try:
        yield
    except BaseException as error:
        if ranks.size == 1:
            raise
        if ranks.rank:
            time.sleep(3)  # in which rank 0, if it fails too, tells of it and ends this one
        if isinstance(error, LenetError | OSError | MemoryError):
            print(f"{error_line(error)} (rank {ranks.rank})" if ranks.rank else error_line(error), file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print("lenet: interrupted", file=sys.stderr)
        elif not isinstance(error, SystemExit):  # which has told of itself
            traceback.print_exc()
        sys.stderr.flush()
        time.sleep(0.5)  # mpiexec passes on nothing that is on its way when all are ended
        code = 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, SystemExit) else 1
        ranks.comm.Abort(code)
        os._exit(code)  # where Abort comes back before this process has ended
