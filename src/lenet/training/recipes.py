"""Recipes: the settings of training runs, and the predefined ones."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from lenet import _checks
from lenet.errors import InputError, InputTypeError
from lenet.model import LeNet5
from lenet.training.curvature import DiagonalLevenbergMarquardt
from lenet.training.foof import FOOF
from lenet.training.optim import SCHEDULES, SGD

IMAGE, PAPER = "image", "paper"  # besides True and False
OPTIMIZERS: dict[str, type[SGD]] = {"sgd": SGD, "foof": FOOF, "levenberg_marquardt": DiagonalLevenbergMarquardt}
MAX_COUNT = 10**9  # epochs, images per step; larger values are mistakes and overflow


def _one_of(names: Iterable[str]) -> Callable[[object, str], None]:
    def check(value: object, name: str) -> None:
        if not (isinstance(value, str) and value in names):
            raise InputError(f"{name} is {_checks.short_repr(value)}; expected one of {', '.join(names)}.")

    return check


def _check_standardise(value: object, name: str) -> None:
    if not (isinstance(value, bool | np.bool_) or (isinstance(value, str) and value in (IMAGE, PAPER))):
        raise InputError(f'{name} is {_checks.short_repr(value)}; expected True, False, "{IMAGE}" or "{PAPER}".')


_check_count = partial(_checks.whole, at_most=MAX_COUNT)
CHECKS: dict[str, Callable[[Any, str], object]] = {  # by field; each takes a value, and its name for errors
    "epochs": _check_count,
    "batch_size": _check_count,
    "patience": _check_count,
    "lr": _checks.positive,
    "momentum": partial(_checks.non_negative, below=1),
    "weight_decay": _checks.non_negative,
    "defects": _checks.fraction,
    "drawn_digits": partial(_checks.fraction, at_most=100),
    "non_digits": partial(_checks.fraction, at_most=100),
    "validation": partial(_checks.non_negative, below=1),
    "distort": _checks.boolean,
    "vary": _checks.boolean,
    "schedule": _one_of(SCHEDULES),
    "standardise": _check_standardise,
    "optimizer": _one_of(OPTIMIZERS),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Parameters
    ----------
    name : str
        Name of the recipe, saved in the metadata of the trained model.
    epochs : int
        Number of passes over the training set, from 1 to 1,000,000,000.
    batch_size : int
        Images per step of SGD, from 1 to 1,000,000,000.
    lr : float
        The learning rate, or its peak if the schedule changes it; above 0.
    momentum, weight_decay : float, default 0
        As for `lenet.SGD`.
    schedule : {"constant", "one_cycle", "paper_steps"}, default "constant"
        The learning rate schedule; see `lenet.training.optim`.
    standardise : bool, "image" or "paper", default True
        Whether to standardise pixels with the mean and standard deviation of the training set; "image" for those of
        each image (see `LeNet5`); "paper" for -0.1 (background) to 1.175 (ink), as in 1998. With True, a model that
        standardises each image by its own pixels continues to do so.
    distort : bool, default False
        Whether to apply a new random affine map to each image in each epoch.
    vary : bool, default False
        Whether to also bend, thicken, thin, blur and fade images, and to add uneven and noisy backgrounds. It implies
        `distort`.
    defects : float, default 0
        The fraction of the images to spoil in each epoch, after any distortion, in [0, 1]: with lines, noise, spots,
        low contrast and other defects; see `lenet.training.augment.defects`.
    drawn_digits : float, default 0
        Images of drawn digits to add to each epoch, as a fraction of the training set, from 0 to 100: printed, or in
        handwritten forms that MNIST lacks; see `lenet.training.augment.drawn_digits`. The classes must be the ten
        digits.
    non_digits : float, default 0
        Images of non-digits to add to each epoch, as a fraction of the training set, from 0 to 100: strokes, letters,
        pieces of digits and noise. The network learns uniform class probabilities for them.
    validation : float, default 0
        Fraction of each class to hold out for choosing the best epoch, in [0, 1); 0 for none.
    patience : int, optional
        Number of epochs without an improvement of the validation loss after which training stops; by default, it does
        not stop early. It requires a validation split.
    optimizer : {"sgd", "foof", "levenberg_marquardt"}, default "sgd"
        "foof" is `lenet.training.foof.FOOF`, which needs fewer epochs than SGD, for networks like `LeNet5`.
        "levenberg_marquardt" is the optimizer of the 1998 paper,
        `lenet.training.curvature.DiagonalLevenbergMarquardt`. It requires a `LeNet1998`, and has neither momentum nor
        weight decay.

    Raises
    ------
    InputError, InputTypeError
        If a value is out of range or of the wrong type, `patience` is given without a validation split, or momentum
        or weight_decay is not 0 with the optimizer "levenberg_marquardt".

    Examples
    --------
    >>> recipe = Recipe("mine", epochs=3, batch_size=32, lr=0.1)
    >>> recipe.schedule, recipe.momentum
    ('constant', 0.0)
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    standardise: bool | str = True
    distort: bool = False
    vary: bool = False
    defects: float = 0.0
    drawn_digits: float = 0.0
    non_digits: float = 0.0
    validation: float = 0.0
    patience: int | None = None
    optimizer: str = "sgd"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InputTypeError(f"name is {_checks.short_repr(self.name)}; expected a string.")
        for name, check in CHECKS.items():
            if name != "patience" or self.patience is not None:
                check(getattr(self, name), name)
        if self.patience is not None and not self.validation:
            raise InputError("patience requires held-out images. Set validation, for example to 0.1.")
        if self.optimizer == "levenberg_marquardt" and (self.momentum or self.weight_decay):
            raise InputError(
                f"momentum is {self.momentum} and weight_decay is {self.weight_decay}; expected 0 with the optimizer "
                "levenberg_marquardt."
            )

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that differ from the published recipe of the same name; empty if there is none.

        Examples
        --------
        >>> RECIPES["default"].with_changes(epochs=3, lr=0.5).changes
        {'epochs': 3}
        """
        published = asdict(RECIPES.get(self.name, self))
        return {name: value for name, value in asdict(self).items() if value != published[name]}

    def with_changes(self, **changes: Any) -> "Recipe":
        """Return a copy with some fields replaced.

        Parameters
        ----------
        **changes : Any
            Fields and their values; None leaves a field unchanged.

        Returns
        -------
        Recipe

        Raises
        ------
        InputError, InputTypeError
            As for the class.
        TypeError
            If there is no such field.

        Examples
        --------
        >>> RECIPES["default"].with_changes(epochs=3, lr=None).epochs
        3
        """
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


_SMALL = Recipe(
    "small", epochs=200, batch_size=32, lr=0.05, momentum=0.9, schedule="one_cycle", distort=True, validation=0.1
)
_WILD = Recipe(
    "wild", epochs=60, batch_size=32, lr=0.02, momentum=0.9, schedule="one_cycle", standardise="image", distort=True,
    vary=True, defects=0.15, non_digits=0.3, validation=1 / 12, optimizer="foof",
)  # fmt: skip
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("seed", epochs=5, batch_size=4, lr=0.01, standardise=False),
        replace(_SMALL, name="default", epochs=9, batch_size=64, lr=0.5, validation=1 / 30),
        _WILD,
        replace(_WILD, name="drawn", drawn_digits=0.2),
        Recipe(  # the paper updates after every image, with a learning rate of 0.0005
            "paper", epochs=20, batch_size=16, lr=16 * 0.0005, schedule="paper_steps", standardise=PAPER,
            optimizer="levenberg_marquardt",
        ),
        _SMALL,
        replace(_SMALL, name="transfer", lr=0.1),  # `python -m benchmarks.transfer` compares the rates
        replace(_SMALL, name="adapt", lr=0.01),
    )
}  # fmt: skip


def recipe_named(recipe: Recipe | str) -> Recipe:
    """Look up a recipe by name; a `Recipe` is returned unchanged.

    Parameters
    ----------
    recipe : Recipe or str
        A recipe, or the name of one in `lenet.training.RECIPES`.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        If there is no recipe with this name.

    Examples
    --------
    >>> recipe_named("seed").batch_size
    4
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise InputError(f"recipe is {_checks.short_repr(recipe)}; expected one of {', '.join(RECIPES)}.")
    return RECIPES[recipe]


def optimizer_of(recipe: Recipe, model: LeNet5) -> SGD:
    """Return the optimizer of a recipe for a model; raise InputError if it does not suit the model."""
    kind = OPTIMIZERS[recipe.optimizer]
    if kind is DiagonalLevenbergMarquardt:  # it has neither momentum nor weight decay
        return kind(model, recipe.lr)
    return kind(model, recipe.lr, recipe.momentum, recipe.weight_decay)
