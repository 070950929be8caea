"""The data of a training run: splits, weights, and the images that a recipe adds."""

import numpy as np
import pytest

from lenet import LeNet5
from lenet.errors import InputError
from lenet.training import training_set
from lenet.training.recipes import Recipe
from lenet.training.splits import split
from lenet.training.training_set import TrainingSet, check_classes

N = 20
X = np.random.default_rng(0).integers(0, 256, (N, 28, 28), np.uint8)
Y = np.arange(N) % 10
MODEL = LeNet5(seed=0)


def prepare(X=X, y=Y, sample_weight=None, model=MODEL, seed=3, **settings):
    recipe = Recipe("mine", epochs=1, batch_size=4, lr=0.1, **settings)
    return TrainingSet.prepare(X, y, sample_weight, model, recipe, seed)


@pytest.fixture
def drawn(monkeypatch):
    """Draws of images whose pixels are all 100 (digits, labelled 5, 6, 5, ...) or 200 (non-digits)."""
    drawn = []

    def draw_digits(count, rng):
        drawn.append(("digits", count, rng.random()))
        return np.full((count, 28, 28), 100, np.uint8), np.arange(count) % 2 + 5

    def draw_others(count, digits, rng):
        drawn.append(("others", count, rng.random(), digits))
        return np.full((count, 28, 28), 200, np.uint8)

    monkeypatch.setattr(training_set, "drawn_digits", draw_digits)
    monkeypatch.setattr(training_set, "non_digits", draw_others)
    return drawn


def test_without_a_validation_split_all_images_are_members():
    data = prepare()
    assert data.X is X
    assert (data.added.shape, data.sample_weight, data.num_labelled) == ((0, 28, 28), None, N)
    for found in (data.y, data.targets):
        np.testing.assert_array_equal(found, Y)
    np.testing.assert_array_equal(data.members, np.arange(N))
    assert len(data.parts.validation) == 0


def test_members_are_the_training_images_then_the_added_ones(drawn):
    data, parts = prepare(validation=0.5, drawn_digits=0.3, non_digits=0.2), split(Y, 0.5, 3)
    np.testing.assert_array_equal(data.parts.train, parts.train)
    np.testing.assert_array_equal(data.parts.validation, parts.validation)
    np.testing.assert_array_equal(data.members, [*parts.train, *range(N, N + 5)])
    np.testing.assert_array_equal(data.added[:, 0, 0], [100, 100, 100, 200, 200])
    np.testing.assert_array_equal(data.y, [*Y, 5, 6, 5, -1, -1])
    np.testing.assert_array_equal(data.targets, data.y)
    assert data.num_labelled == 10 + 3


def test_images_are_drawn_in_proportion_to_the_training_split_by_generators_of_their_own(drawn):
    data = prepare(validation=0.5, drawn_digits=0.26, non_digits=1.54, seed=7)
    digits, others = drawn
    assert digits == ("digits", 3, np.random.default_rng([7, 1, 2]).random())
    assert others[:3] == ("others", 15, np.random.default_rng([7, 1, 1]).random())
    np.testing.assert_array_equal(others[3], X[data.parts.train])


@pytest.mark.parametrize(
    ("settings", "kinds"), [({"drawn_digits": 0.1}, ["digits"]), ({"non_digits": 0.1}, ["others"]), ({}, [])]
)
def test_only_the_kinds_of_the_recipe_are_drawn(drawn, settings, kinds):
    data = prepare(**settings)
    assert [kind for kind, *_ in drawn] == kinds
    assert len(data.added) == 2 * len(kinds)
    assert data.y.dtype == np.int64


@pytest.mark.parametrize("soft", [False, True])
def test_each_epoch_has_added_images_of_its_own(drawn, soft):
    recipe = Recipe("mine", epochs=2, batch_size=4, lr=0.1, validation=0.5, drawn_digits=0.3, non_digits=0.2)
    y, weights = 0.5 * np.eye(10)[Y] + 0.05 if soft else Y, np.linspace(0, 2, N)
    first = TrainingSet.prepare(X, y, weights, MODEL, recipe, 3)
    del drawn[:]
    second = first.with_images_of(2, recipe, 3)
    (_, count, digits_number), (_, others, others_number, given) = drawn
    assert (count, others) == (3, 2)
    assert digits_number == np.random.default_rng([3, 2, 2]).random()
    assert others_number == np.random.default_rng([3, 2, 1]).random()
    np.testing.assert_array_equal(given, X[first.parts.train])
    for name in ("X", "added", "y", "targets", "sample_weight", "members"):  # these draws have equal pixels and labels
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    assert second.added is not first.added
    assert second.parts is first.parts


def test_a_recipe_that_adds_nothing_keeps_the_training_set():
    data = prepare()
    assert data.with_images_of(2, Recipe("mine", epochs=2, batch_size=4, lr=0.1), 3) is data


@pytest.mark.parametrize("indices", [[3, 0, 19], [21, 3, 24, 0], [22, 20]])
def test_a_batch_has_given_and_added_images_in_its_order(drawn, indices):
    weights = np.linspace(0, 2, N)
    data = prepare(sample_weight=weights, drawn_digits=0.1, non_digits=0.15)
    images, targets, labels, found = data.batch(np.array(indices))
    pixels = [X[k] if k < N else np.full((28, 28), 100 if k < 22 else 200) for k in indices]
    np.testing.assert_array_equal(images, pixels)
    assert images.dtype == np.uint8
    expected = [Y[k] if k < N else [5, 6, -1, -1, -1][k - N] for k in indices]
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(targets, expected)
    np.testing.assert_allclose(found, [weights[k] if k < N else 1 for k in indices])


def test_probabilities_continue_for_added_images(drawn):
    soft = 0.5 * np.eye(10)[Y] + 0.05
    data = prepare(y=soft, drawn_digits=0.1, non_digits=0.05)
    assert data.targets.dtype == np.float32
    np.testing.assert_allclose(data.targets, [*soft, np.eye(10)[5], np.eye(10)[6], np.full(10, 0.1)], rtol=1e-6)
    np.testing.assert_array_equal(data.y, [*Y, 5, 6, -1])
    np.testing.assert_array_equal(data.batch(np.array([4, 21]))[1], data.targets[[4, 21]])


def test_weights_have_a_mean_of_1_in_both_splits(drawn):
    weights = np.arange(1.0, N + 1)
    data = prepare(sample_weight=weights, validation=0.5, non_digits=0.1)
    for part in data.parts:
        np.testing.assert_allclose(data.sample_weight[part], weights[part] / weights[part].mean())
    assert data.sample_weight[N:].tolist() == [1]


def test_weights_of_0_in_a_whole_split_are_an_error():
    held_out = split(Y, 0.5, 3).validation
    weights = np.ones(N)
    weights[held_out] = 0
    prepare(sample_weight=weights)
    with pytest.raises(InputError, match=r"^sample_weight has "):
        prepare(sample_weight=weights, validation=0.5)
    with pytest.raises(InputError, match=r"^sample_weight has "):
        prepare(sample_weight=1 - weights, validation=0.5)


@pytest.mark.parametrize(("given", "dtype"), [(np.float64, np.float32), (np.float32, np.float64), (">f4", np.float32)])
def test_floats_become_those_of_the_model(given, dtype):
    data = prepare(X=(X / 255).astype(given), model=LeNet5(seed=0, dtype=dtype))
    assert data.X.dtype == dtype
    assert data.X.flags.c_contiguous
    np.testing.assert_allclose(data.X, X / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "off"),
    [("vary", True, False), ("defects", 0.5, 0), ("drawn_digits", 0.5, 0), ("non_digits", 0.5, 0)],
)
def test_added_and_varied_images_require_bytes(field, value, off):
    with pytest.raises(InputError) as caught:
        prepare(X=(X / 255).astype(np.float64), **{field: value})
    assert str(caught.value) == (
        f"X has dtype float64; expected uint8, because the recipe sets {field}. Pass uint8, or use "
        f"recipe.with_changes({field}={off})."
    )
    assert prepare(X=(X / 255).astype(np.float32), **{field: off}).members.tolist() == list(range(N))


def test_bytes_of_0_and_1_are_an_error_but_floats_are_not():
    ones = (X > 127).astype(np.uint8)
    with pytest.raises(InputError, match=r"^X has integer pixels of 0 and 1 only; expected 0 to 255"):
        prepare(X=ones)
    assert prepare(X=2 * ones).X.max() == 2
    assert prepare(X=0 * ones).X.max() == 0
    assert prepare(X=ones.astype(np.float32)).X.max() == 1


def test_drawn_digits_require_the_classes_of_digits():
    digits, letters = tuple("0123456789"), tuple("ABCDEFGHIJ")
    adds = Recipe("mine", epochs=1, batch_size=4, lr=0.1, drawn_digits=0.1)
    check_classes(digits, adds)
    check_classes(letters, adds.with_changes(drawn_digits=0))
    for wrong in (letters, digits[:9], digits[::-1]):
        with pytest.raises(InputError, match="expected the ten digits, because the recipe has drawn_digits"):
            check_classes(wrong, adds)
    model = LeNet5(seed=0)
    model.classes = letters
    with pytest.raises(InputError, match=r"^The classes are \('A', "):
        prepare(model=model, drawn_digits=0.1)
