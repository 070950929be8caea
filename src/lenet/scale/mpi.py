"""One training by the ranks of `mpiexec`: each learns from its share of every batch, and all take the same steps."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet._extras import require
from lenet.errors import ConfigurationError, MissingExtraError

T = TypeVar("T")


class Ranks:
    """The ranks of an MPI communicator, for the `peers` of `lenet.train`.

    Each rank calls `lenet.train` with the same images, labels, recipe and seed; the weights that training starts from
    are those of rank 0, and all end with the same ones. They are those of one process but for rounding, as gradients
    are added up in another order. Each step has one all-reduce, of the gradient. An error on one rank has to end
    the others, which would wait for it: `lenet train --mpi` sees to it, and so does `mpiexec -n 4 python -m mpi4py
    PROGRAM` for programs of your own.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        All ranks of `mpiexec` by default.

    Attributes
    ----------
    comm : mpi4py.MPI.Comm
    rank, size : int
        Which of how many this process is.

    Raises
    ------
    MissingExtraError
        Without `pip install 'lenet[mpi]'`, or without an MPI library.
    ConfigurationError
        If mpiexec belongs to another MPI library, so that each of its processes would train alone.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = lenet.recipes.RECIPES["small"].with_changes(epochs=1)
    >>> state = lenet.train(lenet.LeNet5(seed=0), X[:200], y[:200], recipe, n_jobs=1, peers=Ranks())
    >>> len(state.history)
    1
    """

    def __init__(self, comm: Any = None):
        try:
            mpi = require("mpi4py.MPI", "mpi")
        except RuntimeError as error:
            raise MissingExtraError(
                "mpi4py finds no MPI library: install your system's, or run python -m pip install mpich."
            ) from error
        self.comm = mpi.COMM_WORLD if comm is None else comm
        self.rank, self.size = int(self.comm.Get_rank()), int(self.comm.Get_size())
        if comm is None and self.size == 1 and max(map(_number_in, ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))) > 1:
            raise ConfigurationError(
                "mpiexec has started several processes, and each is alone: it belongs to another MPI than mpi4py's. "
                "Start them by the mpiexec of the one that python -m mpi4py --mpi-library names."
            )
        self._in_place = mpi.IN_PLACE
        self._sums = np.empty(0)

    def share(self, n: int) -> slice:
        """Return which of the n images of a batch are this rank's: as many as others', but for one.

        Parameters
        ----------
        n : int

        Returns
        -------
        slice
        """
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def add(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        """Add up all ranks' gradients, in place, and numbers, which are returned: one message, in the gradient's type.

        Parameters
        ----------
        gradient : ndarray of float32 or float64, shape (parameters,)
        *numbers : float

        Returns
        -------
        tuple of float
            The sums of the numbers.
        """
        n = len(gradient)
        if self._sums.shape != (n + len(numbers),) or self._sums.dtype != gradient.dtype:
            self._sums = np.empty(n + len(numbers), gradient.dtype)
        with np.errstate(over="ignore"):  # the sum tells: it is not finite then
            self._sums[:n], self._sums[n:] = gradient, numbers
        self.comm.Allreduce(self._in_place, self._sums)
        gradient[...] = self._sums[:n]
        return tuple(self._sums[n:].tolist())

    def told(self, make: Callable[[], T]) -> T:
        """Return what rank 0 makes, on all ranks.

        Parameters
        ----------
        make : callable
            Called without arguments, on rank 0 alone; what it returns is pickled for the others.

        Returns
        -------
        Any
        """
        made: T = self.comm.bcast(make() if self.rank == 0 else None)
        return made


def _number_in(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0
