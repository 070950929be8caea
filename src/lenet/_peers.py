"""What of a training is this process's, and what all of its processes know together."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")


class Peers(Protocol):
    """The processes that train one model together, each of which has all of the data and takes the same steps."""

    size: int

    def share(self, n: int) -> slice:
        """Return which of the n images of a batch are this process's."""

    def add(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        """Add up all processes' gradients, in place, and numbers, which are returned."""

    def told(self, make: Callable[[], T]) -> T:
        """Return what the first process makes; the others make nothing."""


class Alone:
    """One process, which does all of it; `lenet.scale.mpi.Ranks` is several."""

    size = 1

    def share(self, n: int) -> slice:
        """Return all of them."""
        return slice(0, n)

    def add(self, gradient: NDArray[Any], *numbers: float) -> tuple[float, ...]:
        """Return the numbers as they are."""
        return numbers

    def told(self, make: Callable[[], T]) -> T:
        """Return what this process makes."""
        return make()
