"""Exchange gradients and decisions between the processes of one training run."""

from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")


class Communicator(Protocol):
    """The processes that train one model together. Each has all of the data and takes the same steps."""

    rank: int
    size: int

    def share(self, n: int) -> slice:
        """Return this process's part of a batch of n images; the parts differ in size by at most one image."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def all_reduce(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        """Sum the gradients of all processes, shape (p,), in place, and return the sum of each of the numbers."""

    def broadcast(self, value: T) -> T:
        """Return the value of the first process in all processes; those of the others are ignored."""


class SingleProcess(Communicator):
    """A training run with one process."""

    rank, size = 0, 1

    def all_reduce(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        return numbers

    def broadcast(self, value: T) -> T:
        return value
