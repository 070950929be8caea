"""Recipes: the published settings of each, the defaults, and the range of each setting."""

from dataclasses import asdict

import numpy as np
import pytest

from lenet.errors import InputError, InputTypeError
from lenet.training.recipes import CHECKS, RECIPES, Recipe, recipe_named

DEFAULTS = {
    "momentum": 0, "weight_decay": 0, "schedule": "constant", "standardise": True, "distort": False, "vary": False,
    "defects": 0, "drawn_digits": 0, "non_digits": 0, "validation": 0, "patience": None, "optimizer": "sgd",
}  # fmt: skip
SMALL = {
    "epochs": 200, "batch_size": 32, "lr": 0.05, "momentum": 0.9, "schedule": "one_cycle", "distort": True,
    "validation": 0.1,
}  # fmt: skip
WILD = {
    **SMALL, "epochs": 60, "lr": 0.02, "standardise": "image", "vary": True, "defects": 0.15, "non_digits": 0.3,
    "validation": 1 / 12, "optimizer": "foof",
}  # fmt: skip
PUBLISHED = {
    "seed": {"epochs": 5, "batch_size": 4, "lr": 0.01, "standardise": False},  # docs/seed.md
    "default": {**SMALL, "epochs": 9, "batch_size": 64, "lr": 0.5, "validation": 1 / 30},
    "wild": WILD,
    "drawn": {**WILD, "drawn_digits": 0.2},
    "paper": {  # section III.B of the paper, whose batches have one image
        "epochs": 20, "batch_size": 16, "lr": 0.008, "schedule": "paper_steps", "standardise": "paper",
        "optimizer": "levenberg_marquardt",
    },
    "small": SMALL,
    "transfer": {**SMALL, "lr": 0.1},
    "adapt": {**SMALL, "lr": 0.01},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_settings_of_a_recipe_are_those_of_the_published_results(name):
    assert asdict(RECIPES[name]) == {"name": name, **DEFAULTS, **PUBLISHED[name]}


def test_no_other_recipe_is_published():
    assert list(RECIPES) == list(PUBLISHED)


def test_a_recipe_adds_nothing_by_default():
    assert asdict(Recipe("mine", 3, 32, 0.1)) == {"name": "mine", "epochs": 3, "batch_size": 32, "lr": 0.1, **DEFAULTS}


def test_the_changes_of_a_recipe_are_the_fields_that_differ_from_the_published_one():
    assert all(recipe.changes == {} for recipe in RECIPES.values())
    assert RECIPES["wild"].with_changes(lr=0.02, epochs=3, distort=False).changes == {"epochs": 3, "distort": False}
    assert Recipe("mine", 3, 32, 0.1).changes == {}


COUNT = [1, 2, 999_999_999, 10**9], [0, -1, 10**9 + 1, 2.0, True, "2", None]
BELOW_ONE = [0, 0.0, 0.5, 0.999], [-0.001, 1, 1.0, np.nan, "0", None]
UP_TO_100 = [0, 1.5, 100], [-0.001, 100.001, np.nan, "0", None]
FLAG = [True, False, np.True_], [0, 1, "yes", None]
RANGES = {
    "epochs": COUNT,
    "batch_size": COUNT,
    "patience": COUNT,
    "lr": ([1e-30, 1, 1e30], [0, -1, np.inf, np.nan, "1", None]),
    "momentum": BELOW_ONE,
    "weight_decay": ([0, 0.1, 1, 1e30], [-0.001, np.inf, np.nan, "1", None]),
    "defects": ([0, 0.5, 1], [-0.001, 1.001, np.nan, "1", None]),
    "drawn_digits": UP_TO_100,
    "non_digits": UP_TO_100,
    "validation": BELOW_ONE,
    "distort": FLAG,
    "vary": FLAG,
    "schedule": (["constant", "one_cycle", "paper_steps"], ["cosine", "", None, 1]),
    "standardise": ([True, False, np.False_, "image", "paper"], ["images", "", 0, 1, None]),
    "optimizer": (["sgd", "foof", "levenberg_marquardt"], ["adam", "", None, 1]),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in RANGES for value in RANGES[field][0]])
def test_a_setting_within_its_range_is_accepted(field, value):
    CHECKS[field](value, "--option")


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in RANGES for value in RANGES[field][1]])
def test_a_setting_out_of_range_is_an_error_that_names_it(field, value):
    with pytest.raises((InputError, InputTypeError), match=r"^--option is "):
        CHECKS[field](value, "--option")
    if value is not None:
        with pytest.raises((InputError, InputTypeError), match=f"^{field} is "):
            Recipe(**{"name": "mine", "epochs": 3, "batch_size": 32, "lr": 0.1, "validation": 0.1, field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schedule", "cosine", "x is 'cosine'; expected one of constant, one_cycle, paper_steps."),
        ("optimizer", 3, "x is 3; expected one of sgd, foof, levenberg_marquardt."),
        ("standardise", "no", 'x is \'no\'; expected True, False, "image" or "paper".'),
        ("batch_size", 2 * 10**9, "x is too large; expected at most 1,000,000,000."),
    ],
)
def test_the_error_lists_the_choices(field, value, message):
    with pytest.raises(InputError) as caught:
        CHECKS[field](value, "x")
    assert str(caught.value) == message


def test_the_name_of_a_recipe_is_a_string():
    with pytest.raises(InputTypeError, match=r"^name is 3; expected a string\.$"):
        Recipe(3, 3, 32, 0.1)


def test_patience_requires_a_validation_split():
    assert Recipe("mine", 3, 32, 0.1, validation=0.1, patience=1).patience == 1
    assert Recipe("mine", 3, 32, 0.1, validation=0.1).patience is None
    with pytest.raises(InputError, match=r"^patience requires held-out images\. Set validation"):
        Recipe("mine", 3, 32, 0.1, patience=1)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_levenberg_marquardt_has_neither_momentum_nor_weight_decay(momentum, weight_decay):
    settings = {"name": "mine", "epochs": 3, "batch_size": 32, "lr": 0.1}
    assert Recipe(**settings, momentum=momentum, weight_decay=weight_decay).optimizer == "sgd"
    assert Recipe(**settings, optimizer="levenberg_marquardt").momentum == 0
    with pytest.raises(InputError) as caught:
        Recipe(**settings, optimizer="levenberg_marquardt", momentum=momentum, weight_decay=weight_decay)
    assert str(caught.value) == (
        f"momentum is {momentum} and weight_decay is {weight_decay}; expected 0 with the optimizer levenberg_marquardt."
    )


def test_changes_of_none_leave_a_field_unchanged():
    recipe = Recipe("mine", 3, 32, 0.1, momentum=0.5)
    assert recipe.with_changes(epochs=4, lr=None, momentum=0.0) == Recipe("mine", 4, 32, 0.1)
    assert recipe.epochs == 3


def test_a_recipe_is_found_by_its_name():
    recipe = Recipe("mine", 3, 32, 0.1)
    assert recipe_named(recipe) is recipe
    assert recipe_named("wild") is RECIPES["wild"]


@pytest.mark.parametrize(("recipe", "shown"), [("none", "'none'"), (None, "None"), (["seed"], r"\['seed'\]")])
def test_the_error_for_an_unknown_recipe_lists_the_known_ones(recipe, shown):
    with pytest.raises(InputError, match=rf"^recipe is {shown}; expected one of seed, default, wild, drawn"):
        recipe_named(recipe)
