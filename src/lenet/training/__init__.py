"""Training: SGD, recipes, the loop over epochs, and the folders that runs leave."""

from lenet.training.loop import train
from lenet.training.optim import SCHEDULES, SGD
from lenet.training.recipes import RECIPES, Recipe
from lenet.training.runs import Run
from lenet.training.state import Epoch, State

__all__ = ["RECIPES", "SCHEDULES", "SGD", "Epoch", "Recipe", "Run", "State", "train"]
