"""What rank 0 broadcasts to the other ranks of `lenet train --mpi`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lenet.training.recipes import Recipe


@dataclass(frozen=True)
class Job:
    """A training: its data, recipe and seed."""

    X: "NDArray[Any]"
    y: "NDArray[Any]"
    num_classes: int
    recipe: "Recipe"
    seed: int
