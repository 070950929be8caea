"""Training: SGD, recipes, the loop over epochs, and run folders."""

from typing import TYPE_CHECKING

from lenet._lazy import lazy_attributes

__all__ = ["RECIPES", "SCHEDULES", "SGD", "Epoch", "Recipe", "Run", "State", "train", "transfer"]

if TYPE_CHECKING:
    from lenet.training.fine_tuning import transfer
    from lenet.training.loop import train
    from lenet.training.optim import SCHEDULES, SGD
    from lenet.training.recipes import RECIPES, Recipe
    from lenet.training.runs import Run
    from lenet.training.state import Epoch, State
else:  # hidden from type checkers, which would accept any name
    __getattr__, __dir__ = lazy_attributes(
        "lenet.training",
        {
            "RECIPES": "recipes", "Recipe": "recipes", "Run": "runs", "SCHEDULES": "optim", "SGD": "optim",
            "Epoch": "state", "State": "state", "train": "loop", "transfer": "fine_tuning",
        },
        {
            "augment", "checkpoint", "communication", "curvature", "fine_tuning", "foof", "loop", "mpi", "optim",
            "recipes", "runs", "splits", "state", "training_set",
        },
    )  # fmt: skip
