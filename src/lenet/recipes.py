"""Ways to train that are known to work, by name."""

import math
from dataclasses import dataclass, replace
from typing import Any

from lenet import _checks
from lenet.errors import InputError
from lenet.optim import SCHEDULES

MOST = 10**9  # epochs, or images a step: more is a mistake, and overflows somewhere


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Parameters
    ----------
    name : str
    epochs : int
        Passes over the training images.
    batch_size : int
        Images a step of SGD.
    lr : float
        The learning rate, or its peak where the schedule changes it.
    momentum, weight_decay : float
        As for `SGD`.
    schedule : {"constant", "one_cycle", "paper_steps"}
    standardise : bool
        Whether the network sees (x - mean) / std of the training pixels instead of x in [0, 1].
    distort : bool
        Whether each image is put through a new random affine map in each epoch.
    vary : bool
        Whether it is besides bent, drawn by thinner and thicker pens, blurred, faint, on uneven grounds and noisy.
    rubbish : float
        Images of no digit to learn from as well, as a part of the training images: made of strokes, letters, pieces of
        digits and noise, they are to have the same probability for each class.
    validation : float
        The part of the training images that is held out to choose the best epoch by; 0 for none.
    patience : int, optional
        Stop after so many epochs in which the validation split did not improve; None goes on to the end.
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    standardise: bool = True
    distort: bool = False
    vary: bool = False
    rubbish: float = 0.0
    validation: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if name != "patience" or self.patience is not None:
                _checks.whole(getattr(self, name), name, most=MOST)
        lr, momentum, weight_decay, rubbish, validation = (
            _checks.number(getattr(self, name), name)
            for name in ("lr", "momentum", "weight_decay", "rubbish", "validation")
        )
        known = isinstance(self.schedule, str) and self.schedule in SCHEDULES
        checks = (
            ("lr", 0 < lr < math.inf, "above 0"),
            ("momentum", 0 <= momentum < 1, "from 0 to below 1"),
            ("weight_decay", 0 <= weight_decay < math.inf, "at least 0"),
            ("schedule", known, "one of " + ", ".join(SCHEDULES)),
            ("rubbish", 0 <= rubbish < math.inf, "at least 0"),
            ("validation", 0 <= validation < 1, "from 0 to below 1"),
        )
        for name, fits, wanted in checks:
            if not fits:
                raise InputError(f"{name} is {getattr(self, name)}; wanted: {wanted}.")
        if self.patience is not None and not self.validation:
            raise InputError("patience needs a validation split: give validation, such as 0.1.")

    def with_changes(self, **changes: Any) -> "Recipe":
        """Return the recipe with those of `changes` that are not None.

        Parameters
        ----------
        **changes : Any
            Under the names above.

        Returns
        -------
        Recipe

        Raises
        ------
        InputError, InputTypeError
            If a value is out of range.

        Examples
        --------
        >>> RECIPES["default"].with_changes(epochs=3, lr=None).epochs
        3
        """
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("seed", epochs=5, batch_size=4, lr=0.01, standardise=False),
        Recipe("default", epochs=12, batch_size=64, lr=0.5, momentum=0.9, schedule="one_cycle", validation=1 / 30),
        Recipe(
            "distorted",
            epochs=40,
            batch_size=32,
            lr=0.1,
            momentum=0.9,
            schedule="one_cycle",
            distort=True,
            validation=1 / 12,
        ),
        Recipe(
            "wild",
            epochs=120,
            batch_size=32,
            lr=0.08,
            momentum=0.9,
            schedule="one_cycle",
            distort=True,
            vary=True,
            rubbish=0.3,
            validation=1 / 12,
        ),
        Recipe(
            "small",
            epochs=200,
            batch_size=32,
            lr=0.05,
            momentum=0.9,
            schedule="one_cycle",
            distort=True,
            validation=0.1,
        ),
    )
}
