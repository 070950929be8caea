"""The optimiser of each recipe."""

from lenet.model import LeNet5
from lenet.training import foof, recipes
from lenet.training.curvature import DiagonalLevenbergMarquardt
from lenet.training.optim import SGD
from lenet.training.recipes import LEVENBERG_MARQUARDT, Recipe


def optimizer_of(recipe: Recipe, model: LeNet5) -> SGD:
    """Return the optimiser that a recipe names, with its settings, for a model.

    Raises InputError if the optimiser does not suit the model.
    """
    if recipe.optimizer == LEVENBERG_MARQUARDT:
        return DiagonalLevenbergMarquardt(model, recipe.lr)
    kind = foof.FOOF if recipe.optimizer == recipes.FOOF else SGD
    return kind(model, recipe.lr, recipe.momentum, recipe.weight_decay)
