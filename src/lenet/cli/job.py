"""The training job that rank 0 of `lenet train --mpi` broadcasts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lenet.training.recipes import Recipe


@dataclass(frozen=True)
class Job:
    """The data, recipe and seed of a training run."""

    X: "NDArray[Any]"
    y: "NDArray[Any]"
    num_classes: int
    recipe: "Recipe"
    seed: int
