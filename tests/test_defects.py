"""Defects agree with SciPy, depend only on their seeds, and spoil the requested fraction of the images."""

import numpy as np
import pytest

import lenet
from lenet.training.augment import defects
from lenet.training.augment.defects import DEFECTS, random_defects, spoil
from lenet.training.augment.distortions import random_distortions

ndimage = pytest.importorskip("scipy.ndimage")

DIGITS = lenet.data.load_digits().X_test[:40]
IMAGE = (DIGITS[0] / 255).astype(np.float32)
CROSS = ndimage.generate_binary_structure(2, 1)
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


def test_bands_have_other_paper_and_ink():
    # Vertical, less than `reach` from a line 5 pixels right of the middle: white, inverted, with half the contrast.
    for reach, columns in ((2.0, [17, 18, 19, 20]), (1.5, [18, 19])):
        band = changed_by("bands", 0, 0.0, 0.0, 1.0, 1, 5.0, reach, 1.0, 1, -0.5)
        inside = np.isin(X, columns)
        np.testing.assert_allclose(band, np.where(inside, 1 - IMAGE / 2, IMAGE), atol=1e-6)
    # Above and below, more than 8 pixels from a line half a pixel below the middle: grey, without ink.
    sides = changed_by("bands", 1, 0.0, 0.0, 0.0, -0.5, 8.0, 0.0, 0.3, 0.0)
    np.testing.assert_allclose(sides, np.where(abs(Y - 14) > 8, 0.3, IMAGE), atol=1e-6)


class Extreme:
    """A generator that returns one end of each range, and 0 for the other distributions."""

    def __init__(self, end):
        self.end = end

    def uniform(self, *limits):
        return limits[self.end]

    def __getattr__(self, _):
        return lambda *_: 0


@pytest.mark.parametrize(("end", "left", "right"), [(0, 6, 17), (1, 3, 27)])
def test_bands_at_the_sides_leave_6_to_13_pixels_around_a_line_near_the_middle(end, left, right):
    """The line is 2 pixels to the left or right of the middle, between the columns 13 and 14."""
    found = defects._bands(np.ones((28, 28), np.float32), Extreme(end))
    assert np.flatnonzero((found == 1).all(axis=0)).tolist() == [*range(left, right + 1)]


@pytest.mark.parametrize(
    ("side", "expected"), [(0.0, np.maximum), (1.0, lambda image, ink: np.minimum(image, 1 - ink))]
)
def test_a_line_is_drawn_in_ink_or_in_paper(side, expected):
    # At 90 degrees and 3.5 pixels from the middle, without waves and dashes; width 1.5, darkness 0.8.
    found = changed_by("lines", 1, np.pi / 2, 0.0, 1.0, -3.5, 1.0, 1.5, 0.8, 1.0, side)
    ink = np.where(Y == 17, 0.8, np.where(abs(Y - 17) == 1, 0.4, 0))
    np.testing.assert_allclose(found, expected(IMAGE, ink), atol=1e-5)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_rules_grids_and_dots_repeat_at_their_pitch(kind):
    found = changed_by("ruling", 0.0, 0, kind, 4.0, np.array([0.5, 0.5]), 0.9, 1.0, 0.9, 1.0)
    vertical, horizontal = X % 4 == 3, Y % 4 == 0
    ink = (vertical, vertical | horizontal, vertical & horizontal)[kind]
    np.testing.assert_allclose(found, np.maximum(IMAGE, 0.9 * ink), atol=1e-5)


@pytest.mark.parametrize("kind", [0, 2])
def test_rules_and_dots_turn_by_a_right_angle(kind):
    found = changed_by("ruling", 0.0, 1, kind, 4.0, np.array([0.5, 0.5]), 0.9, 1.0, 0.9, 1.0)
    ink = (Y % 4 == 0, (Y % 4 == 0) & (X % 4 == 0))[kind // 2]  # x becomes y, and y becomes 27 - x
    np.testing.assert_allclose(found, np.maximum(IMAGE, 0.9 * ink), atol=1e-5)


def test_grains_replace_2_to_25_percent_of_the_pixels():
    grey = np.full((28, 28), 0.5, np.float32)
    replaced = [(defects._grains(grey, np.random.default_rng(seed)) != 0.5).mean() for seed in range(200)]
    assert np.mean(replaced) == pytest.approx((0.02 + 0.25) / 2, abs=0.015)


@pytest.mark.parametrize(("shape", "inside"), [(0.0, np.maximum(abs(X - 9) / 3, abs(Y - 14) / 4) < 1),
                                               (1.0, ((X - 9) / 3) ** 2 + ((Y - 14) / 4) ** 2 < 1)])  # fmt: skip
def test_a_patch_is_a_rectangle_or_an_ellipse(shape, inside):
    found = changed_by("patches", 1, 14.0, 4.0, 9.0, 3.0, shape, 0.3, 0.7)
    np.testing.assert_allclose(found, np.where(inside, 0.7, IMAGE), atol=1e-6)


def test_levels_change_as_a_power_law():
    np.testing.assert_allclose(changed_by("levels", 0.5, 0.2, 1.0), 0.2 + 0.5 * IMAGE.astype(float) ** 2, atol=1e-6)


def field(points):
    """A field of random levels, interpolated by SciPy, from 0 to 1."""
    found = ndimage.map_coordinates(points, np.mgrid[:28, :28] * (len(points) - 1) / 27, order=1)
    return (found - found.min()) / (found.max() - found.min())


def test_clouds_are_an_interpolated_field():
    points = np.random.default_rng(0).random((5, 5)).astype(np.float32)
    found = changed_by("clouds", 0.4, 5, points)
    np.testing.assert_allclose(found, 0.6 * IMAGE + 0.4 * field(points), atol=1e-5)


def test_blots_cover_where_the_field_is_high():
    points = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    found = changed_by("blots", 8, points, 0.7, 1e6, 1.0, 0)
    np.testing.assert_allclose(found, np.where(field(points) > 0.7, 0, IMAGE), atol=1e-5)


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


@pytest.mark.parametrize(("kind", "factor"), [(0.0, 1), (1.0, 2 * IMAGE)])
def test_noise_is_added_to_all_pixels_or_in_proportion(kind, factor):
    noise = np.random.default_rng(0).normal(size=(28, 28))
    np.testing.assert_allclose(changed_by("noise", 0.1, noise, kind), IMAGE + factor * noise, atol=1e-5)


def test_noise_has_a_deviation_of_0_05_to_0_35():
    grey = np.full((28, 28), 0.5, np.float32)  # on which noise in proportion to twice the ink is the same as on paper
    deviations = [defects._noise(grey, np.random.default_rng(seed)).std() for seed in range(200)]
    assert (min(deviations), max(deviations)) == pytest.approx((0.05, 0.35), abs=0.02)


def test_a_smear_is_a_mean_along_a_line_or_over_a_square():
    along = changed_by("smear", 5, 0.0, 1.0)
    np.testing.assert_allclose(along, ndimage.uniform_filter1d(IMAGE, 5, axis=1, mode="constant"), atol=1e-6)
    square = changed_by("smear", 4, 0.0, 0.0)
    centred = ndimage.uniform_filter(IMAGE, 3, mode="constant", origin=-1)
    np.testing.assert_allclose(square, centred, atol=1e-6)


def test_scattered_pixels_come_from_their_places():
    moved = np.zeros((2, 28, 28))
    moved[1] = 3
    found = changed_by("scatter", 1.0, moved)
    np.testing.assert_array_equal(found[:, :-3], IMAGE[:, 3:])


def test_blocks_are_means():
    found = changed_by("blocks", 2, 0, 1.0)
    means = IMAGE.reshape(14, 2, 14, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found, np.kron(means, np.ones((2, 2))), atol=1e-6)
    two_levels = changed_by("blocks", 2, 0, 0.0, 0.4)
    np.testing.assert_array_equal(two_levels, np.kron(means > 0.4, np.ones((2, 2))))
    grey = np.full((28, 28), 0.375, np.float32)
    assert not defects._blocks(grey, Scripted(2, 0, 0.0, 0.375)).any()
    assert defects._blocks(grey, Scripted(2, 0, 0.0, 0.374)).all()


@pytest.mark.parametrize(("kind", "edges"), [
    (0, lambda x: x - ndimage.grey_erosion(x, footprint=CROSS, mode="constant")),
    (1, lambda x: ndimage.grey_dilation(x, footprint=CROSS, mode="constant") - x),
    (2, lambda x: ndimage.morphological_gradient(x, footprint=CROSS, mode="constant")),
])  # fmt: skip
def test_outlines_are_morphological_gradients(kind, edges):
    np.testing.assert_allclose(changed_by("outline", 1.0, kind, 0.7), 0.7 * edges(IMAGE), atol=1e-6)
    ink = (IMAGE > 0.5).astype(np.float32)
    np.testing.assert_allclose(changed_by("outline", 0.0, 0.5, kind, 0.7), 0.7 * edges(ink), atol=1e-6)


def test_an_outline_is_that_of_the_ink_above_a_threshold():
    grey = np.full((28, 28), 0.375, np.float32)
    assert not defects._outline(grey, Scripted(0.0, 0.375, 0, 1.0)).any()
    rim = (X == 0) | (X == 27) | (Y == 0) | (Y == 27)
    np.testing.assert_array_equal(defects._outline(grey, Scripted(0.0, 0.374, 0, 1.0)), rim)


def test_a_misplaced_digit_is_an_affine_map_of_it():
    angle, slant, scale, shift = 0.3, 0.2, 1.3, (2.5, -1.5)
    found = changed_by("misplacement", angle, slant, scale, np.array(shift))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * turn @ [[1, slant], [0, 1]]
    by_rows = matrix[::-1, ::-1]
    offset = 13.5 + np.array(shift[::-1]) - by_rows @ [13.5, 13.5]
    expected = ndimage.affine_transform(IMAGE.astype(float), by_rows, offset, order=1, mode="grid-constant")
    np.testing.assert_allclose(found, expected, atol=1e-6)


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
    plain = random_distortions(40, np.random.default_rng(3), distort=distort, vary=vary)
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


def test_defects_require_bytes_and_an_error_changes_nothing():
    model = lenet.LeNet5(seed=0)
    before = model.parameters.flat.copy()
    recipe = lenet.training.Recipe("short", epochs=1, batch_size=32, lr=0.1, defects=0.5)
    with pytest.raises(lenet.errors.InputError, match=r"has defects\. Pass uint8, or a recipe without defects\."):
        lenet.train(model, DIGITS / 255, np.arange(40) % 10, recipe)
    np.testing.assert_array_equal(model.parameters.flat, before)
