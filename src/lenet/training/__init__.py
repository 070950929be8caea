"""Training: SGD, recipes, the loop over epochs, and the folders that runs leave."""

from lenet.training.loop import Epoch, State, train
from lenet.training.optim import SCHEDULES, SGD
from lenet.training.recipes import RECIPES, Recipe
from lenet.training.runs import Run

__all__ = ["RECIPES", "SCHEDULES", "SGD", "Epoch", "Recipe", "Run", "State", "train"]
