"""Exchange gradients and decisions between the processes of one training run."""

from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")


class Communicator(Protocol):
    """The processes that train one model together. Each has all of the data and takes the same steps."""

    rank: int
    size: int

    def share(self, n: int) -> slice:
        """Return this process's part of a batch of n images."""

    def all_reduce(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        """Sum the gradients of all processes in place, and return the sums of the numbers."""

    def broadcast(self, value: T) -> T:
        """Return the value of the first process in all of them."""


class SingleProcess:
    """A training run of one process."""

    rank, size = 0, 1

    def share(self, n: int) -> slice:
        """Return the whole batch."""
        return slice(0, n)

    def all_reduce(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        """Return the numbers unchanged."""
        return numbers

    def broadcast(self, value: T) -> T:
        """Return the value."""
        return value
