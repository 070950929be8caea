"""Defects have strict thresholds, depend only on their seeds, and spoil the requested fraction of the images."""

import numpy as np
import pytest

import lenet
from lenet.training.augment import defects
from lenet.training.augment.defects import DEFECTS, random_defects, spoil
from lenet.training.augment.distortions import random_distortions

DIGITS = lenet.data.load_digits().X_test[:40]
IMAGE = (DIGITS[0] / 255).astype(np.float32)
Y, X = np.mgrid[:28, :28]


class Scripted:
    """A generator that returns given values in turn, whatever is requested."""

    def __init__(self, *values):
        self.values = list(values)

    def __getattr__(self, _):
        return lambda *_: self.values.pop(0)


def changed_by(name, *values):
    rng = Scripted(*values)
    found = getattr(defects, f"_{name}")(IMAGE, rng)
    assert not rng.values
    return found


# ---- each defect -----------------------------------------------------------------------------------------


def test_grains_replace_squares():
    drawn, levels = np.ones((14, 14), np.float32), np.full((14, 14), 0.25, np.float32)
    drawn[3, 5], drawn[4, 5] = 0, 0.125
    found = changed_by("grains", 2, drawn, 0.125, levels, 0.9)
    expected = IMAGE.copy()
    expected[6:8, 10:12] = 0.25
    np.testing.assert_array_equal(found, expected)


def test_grains_of_two_levels_are_white_from_a_threshold_on():
    levels = np.full((28, 28), 0.25, np.float32)
    levels[5, 6], levels[7, 8] = 0.5, 0.75
    found = changed_by("grains", 1, np.zeros((28, 28), np.float32), 0.1, levels, 0.5, 0.5)
    np.testing.assert_array_equal(found, levels >= 0.5)


def test_blocks_of_two_levels_are_white_above_a_threshold():
    grey = np.full((28, 28), 0.375, np.float32)
    assert not defects._blocks(grey, Scripted(2, 0, 0.0, 0.375)).any()
    assert defects._blocks(grey, Scripted(2, 0, 0.0, 0.374)).all()


def test_an_outline_is_that_of_the_ink_above_a_threshold():
    grey = np.full((28, 28), 0.375, np.float32)
    assert not defects._outline(grey, Scripted(0.0, 0.375, 0, 1.0)).any()
    rim = (X == 0) | (X == 27) | (Y == 0) | (Y == 27)
    np.testing.assert_array_equal(defects._outline(grey, Scripted(0.0, 0.374, 0, 1.0)), rim)


@pytest.mark.parametrize("defect", sorted(set(DEFECTS), key=lambda each: each.__name__))
def test_a_defect_changes_most_images_and_leaves_most_of_the_digit(defect):
    rng = np.random.default_rng(0)
    before = (DIGITS / 255).astype(np.float32)
    after = np.stack([defect(image, rng).clip(0, 1) for image in before])
    assert after.shape == before.shape
    assert (np.abs(after - before).max(axis=(1, 2)) > 0.05).mean() > 0.9
    pairs = zip(before, after, strict=True)
    alike = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs if other.std() > 0]
    assert np.median(alike) > 0.3


# ---- which images, and their seeds -------------------------------------------------------------------------


def test_the_given_fraction_of_images_is_spoiled():
    seeds = random_defects(20_000, np.random.default_rng(0), 0.15)
    assert seeds.dtype == np.uint64
    assert (seeds > 0).mean() == pytest.approx(0.15, abs=0.01)
    assert len(np.unique(seeds[seeds > 0])) == (seeds > 0).sum()
    assert not random_defects(100, np.random.default_rng(0), 0).any()
    assert random_defects(100, np.random.default_rng(0), 1).all()


class Lowest(np.random.Generator):
    """A generator that draws the lowest numbers of each range."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def random(self, n):
        return np.zeros(n)

    def integers(self, low, high, n, dtype):
        return np.full(n, low, dtype)


def test_the_lowest_seed_is_1_and_a_fraction_of_0_spoils_nothing():
    assert random_defects(3, Lowest(), 1).tolist() == [1, 1, 1]
    assert random_defects(3, Lowest(), 0).tolist() == [0, 0, 0]


def test_defects_depend_on_the_image_and_its_seed_alone():
    seeds = random_defects(40, np.random.default_rng(0), 0.5)
    found = spoil(DIGITS, seeds)
    np.testing.assert_array_equal(found[seeds == 0], DIGITS[seeds == 0])
    assert (found != DIGITS).any(axis=(1, 2))[seeds > 0].mean() > 0.9
    for i in range(40):
        np.testing.assert_array_equal(spoil(DIGITS[i : i + 1], seeds[i : i + 1])[0], found[i])
    np.testing.assert_array_equal(spoil(DIGITS, seeds.astype(">u8")), found)


def test_kinds_and_second_defects_have_their_frequencies(monkeypatch):
    def mark(value):
        return lambda image, rng: image + np.float32(value / 255)

    monkeypatch.setattr(defects, "DEFECTS", (mark(1), mark(16)))
    images = np.zeros((4000, 28, 28), np.uint8)
    found = spoil(images, random_defects(4000, np.random.default_rng(0), 1))[:, 0, 0]
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == [1, 2, 16, 17, 32]
    np.testing.assert_allclose(counts / 4000, [0.35, 0.075, 0.35, 0.15, 0.075], atol=0.025)


def test_a_second_defect_follows_if_the_first_random_number_is_below_its_fraction(monkeypatch):
    monkeypatch.setattr(defects, "DEFECTS", (lambda image, rng: image + np.float32(1 / 255),))
    first = np.random.default_rng(5).random()
    for fraction, count in ((first, 1), (np.nextafter(first, 1), 2)):
        monkeypatch.setattr(defects, "SECOND_DEFECT", fraction)
        assert (spoil(np.zeros((1, 28, 28), np.uint8), np.array([5], np.uint64)) == count).all()


def test_defects_get_and_return_fractions_of_255(monkeypatch):
    levels = []
    monkeypatch.setattr(defects, "DEFECTS", (lambda image, rng: levels.append(image) or image,))
    image = np.arange(784, dtype=np.uint8).reshape(1, 28, 28)
    np.testing.assert_array_equal(spoil(image, np.array([5], np.uint64)), image)
    np.testing.assert_allclose(levels[0], image[0] / 255, rtol=1e-6)


def test_levels_are_rounded_and_cut(monkeypatch):
    values = np.linspace(-0.1, 1.1, 784, dtype=np.float32).reshape(28, 28)
    monkeypatch.setattr(defects, "DEFECTS", (lambda image, rng: values,))
    found = spoil(np.zeros((1, 28, 28), np.uint8), np.array([5], np.uint64))[0]
    assert np.abs(found - 255.0 * values.clip(0, 1)).max() <= 0.5001


# ---- with other distortions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("distort", "vary"), [(False, False), (True, False), (True, True)])
def test_defects_follow_the_other_distortions(distort, vary):
    plain = random_distortions(40, np.random.default_rng(3), distort=distort, vary=vary, defects=0)
    both = random_distortions(40, np.random.default_rng(3), distort=distort, vary=vary, defects=0.5)
    before = plain.apply(DIGITS) if plain else DIGITS
    assert 10 < (both.seeds > 0).sum() < 30
    np.testing.assert_array_equal(both.apply(DIGITS), spoil(before, both.seeds))
    np.testing.assert_array_equal(both[5:9].apply(DIGITS[5:9]), both.apply(DIGITS)[5:9])


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, "x", None])
def test_a_fraction_that_is_refused_draws_nothing(value):
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises((lenet.errors.InputError, lenet.errors.InputTypeError), match="defects is "):
        random_distortions(4, rng, distort=True, vary=True, defects=value)
    assert rng.bit_generator.state == state


def test_seeds_of_another_type_or_number_are_refused():
    with pytest.raises(lenet.errors.InputTypeError, match="seeds has dtype int64; expected unsigned integers"):
        spoil(DIGITS, np.zeros(40, np.int64))
    with pytest.raises(lenet.errors.InputError, match=r"seeds has shape \(3,\); expected \(40,\)"):
        spoil(DIGITS, np.zeros(3, np.uint64))


def test_training_with_defects_repeats_for_any_number_of_threads():
    recipe = lenet.training.Recipe("short", epochs=1, batch_size=32, lr=0.1, vary=True, defects=0.5)
    trained = []
    for n_jobs in (1, 2):
        model = lenet.LeNet5(seed=0)
        lenet.train(model, DIGITS, np.arange(40) % 10, recipe, n_jobs=n_jobs)
        trained.append(model.parameters.flat.copy())
    np.testing.assert_array_equal(*trained)
