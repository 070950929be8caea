"""Train one model with the ranks of `mpiexec`: each computes the gradient of its part of every batch."""

import os
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import ConfigurationError, MissingExtraError
from lenet.training.communication import Communicator

T = TypeVar("T")


class Ranks(Communicator):
    """The ranks of an MPI communicator, for the argument `comm` of `lenet.train`.

    Each rank calls `lenet.train` with the same images, labels, recipe and seed. Training starts from the weights of
    rank 0, and all ranks end with the same weights. They differ from those of a single process only by rounding,
    because gradients are summed in a different order. Each step has one all-reduce of the gradient.

    An error on one rank must end the others, which would otherwise wait for it. ``lenet train --mpi`` ends them; run
    your own programs with ``mpiexec -n 4 python -m mpi4py PROGRAM``.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        By default, the communicator of all ranks of ``mpiexec``.

    Attributes
    ----------
    comm : mpi4py.MPI.Comm
        The communicator.
    rank, size : int
        The number of this process, from 0, and the number of processes.

    Raises
    ------
    MissingExtraError
        If the extra ``lenet[mpi]`` or an MPI library is not installed.
    ConfigurationError
        If ``mpiexec`` belongs to another MPI library, so that each of its processes would train alone.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = lenet.training.RECIPES["small"].with_changes(epochs=1)
    >>> model = lenet.LeNet5(seed=0)
    >>> state = lenet.train(model, X[:200], y[:200], recipe, n_jobs=1, comm=Ranks())
    >>> len(state.history)
    1
    """

    def __init__(self, comm: Any = None):
        try:
            mpi = require("mpi4py.MPI", "mpi")
        except MissingExtraError as error:
            if not isinstance(error.__context__, RuntimeError):  # mpi4py raises it if it cannot load a library
                raise
            raise MissingExtraError(
                "mpi4py cannot find an MPI library. Install one with your system's package manager, or run "
                "python -m pip install mpich."
            ) from error
        self.comm = mpi.COMM_WORLD if comm is None else comm
        self.rank, self.size = int(self.comm.Get_rank()), int(self.comm.Get_size())
        if comm is None and self.size == 1 and max(map(_number_in, ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))) > 1:
            raise ConfigurationError(
                "mpiexec started several processes, but mpi4py uses another MPI library, so each process runs alone. "
                "Use the mpiexec of the library that python -m mpi4py --mpi-library names."
            )
        self._in_place = mpi.IN_PLACE
        self._sums = np.empty(0)

    def all_reduce(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        n = len(gradient)  # the numbers travel with the gradient, in its type
        if self._sums.shape != (n + len(numbers),) or self._sums.dtype != gradient.dtype:
            self._sums = np.empty(n + len(numbers), gradient.dtype)
        with np.errstate(over="ignore"):  # an infinite sum is detected later
            self._sums[:n], self._sums[n:] = gradient, numbers
        self.comm.Allreduce(self._in_place, self._sums)
        gradient[...] = self._sums[:n]
        return tuple(self._sums[n:].tolist())

    def broadcast(self, value: T) -> T:
        received: T = self.comm.bcast(value if self.rank == 0 else None)
        return received


def _number_in(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0
