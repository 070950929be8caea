"""Ink and paper agree with sorted pixels, windows and loops, written from the descriptions of the functions."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from lenet._mnist_form import reduced, resized
from lenet.data import load_digits
from lenet.reading import ink as module
from lenet.reading.ink import (
    blur_of,
    coarsened,
    deblurred,
    find_darkness,
    is_dark_on_light,
    normalised,
    strengthened,
)

cv2 = pytest.importorskip("cv2")
ndimage = pytest.importorskip("scipy.ndimage")


def windowed(reduce, image, size, mode="edge", **options):
    """A function of the square windows around each pixel; windows of even size reach further up and to the left."""
    before, after = size // 2, (size - 1) // 2
    padded = np.pad(image, ((before, after), (before, after)), mode, **options)
    return reduce(sliding_window_view(padded, (size, size)), axis=(2, 3))


def closed(image, size):
    dilated = windowed(np.max, image, size, "constant", constant_values=0)
    return windowed(np.min, dilated, size, "constant", constant_values=255)


def random_picture(seed, shape, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, shape, np.uint8)


# The size of the picture of the paper


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1024, 512), (256, 128)),  # the longer side becomes 256
        ((300, 257), (256, 219)),
        ((600, 100), (384, 64)),  # the shorter side stays at least 64
        ((100, 900), (64, 576)),
        ((256, 90), (256, 90)),
        ((900, 63), (900, 63)),
    ],
)
def test_the_coarse_picture_has_sides_of_256_and_at_least_64_pixels(shape, expected):
    assert coarsened(np.zeros(shape, np.uint8)).shape == expected


# Dark or light ink


def is_dark_by_definition(grey):
    """The decision for a picture that is neither narrow nor mostly of one level; None if it is close."""
    height, width = grey.shape
    size = max(3, min(height, width) // 4) | 1
    local = grey - windowed(np.mean, grey.astype(float), size)
    local -= local.mean()
    skewness = (local**3).mean() / (local**2).mean() ** 1.5
    midrange = (int(grey.min()) + int(grey.max())) / 2
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    frame = 0 if 0.1 <= (border > midrange).mean() <= 0.9 else round(0.04 * min(height, width))
    inner = grey[frame : height - frame, frame : width - frame]
    border = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    difference = (np.median(border) - midrange) / 128 - skewness
    return None if abs(difference) < 1e-3 else bool(difference > 0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(9, 14), (16, 11), (5, 5)])
def test_ink_is_dark_if_the_local_contrast_is_skewed_towards_dark_relative_to_the_border(seed, shape):
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(20):
        picture = (255 * rng.beta(*rng.uniform(0.3, 3, 2), shape)).astype(np.uint8)
        picture[0], picture[0, 0], picture[-1, -1] = rng.integers(0, 256), 0, 255  # the border affects the decision
        picture[2, :3] = 0, 255, 0
        expected = is_dark_by_definition(picture)
        if expected is not None and 1 / 3 <= (picture > 127.5).mean() <= 2 / 3:
            results.append((is_dark_on_light(picture, cropped=True), expected))
    assert len(results) > 3
    assert all(found == expected for found, expected in results)


def narrow_stroke(height, spots=0):
    """A dark stroke that fills a picture but for its left column, with light spots in the middle third."""
    picture = np.full((height, 6), 50, np.uint8)
    picture[:, 0] = picture[10 : 10 + spots, 2] = 200
    return picture


@pytest.mark.parametrize(("spots", "all_ink"), [(2, True), (3, False)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_narrow_picture_is_ink_if_98_percent_of_its_middle_third_are_alike(spots, all_ink, inverted):
    """There are 100 pixels in the middle third."""
    picture = narrow_stroke(50, spots)
    assert is_dark_on_light(255 - picture if inverted else picture, cropped=True) is (all_ink is not inverted)


@pytest.mark.parametrize(("height", "cropped", "is_narrow"), [(15, True, True), (14, True, False), (15, False, False)])
@pytest.mark.parametrize("inverted", [False, True])
def test_narrow_pictures_are_at_least_two_and_a_half_times_as_high_as_wide(height, cropped, is_narrow, inverted):
    picture = narrow_stroke(height)
    assert is_dark_on_light(255 - picture if inverted else picture, cropped=cropped) is (is_narrow is not inverted)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_tall_picture_with_an_even_border_is_paper_with_ink(inverted):
    """Such as a receipt; its middle third has less than 2% of ink."""
    picture = np.full((60, 12), 200, np.uint8)
    picture[10:12, 3:9] = 50
    assert is_dark_on_light(255 - picture if inverted else picture, cropped=True) is not inverted


@pytest.mark.parametrize(("dark", "at_border", "is_measured"), [(99, 0, False), (101, 0, True), (99, 1, True)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_border_without_ink_decides_if_the_ink_covers_less_than_a_third(dark, at_border, is_measured, inverted):
    """The local contrast, which spots lighter than the paper dominate, says the opposite."""
    picture, inside = np.full((15, 20), 127, np.uint8), np.full((13, 18), 127, np.uint8)
    inside.flat[: dark - at_border] = 50
    inside[-3::2, ::3] = 200
    picture[1:-1, 1:-1] = inside
    picture[-1, 3 : 3 + at_border] = 50
    picture = 255 - picture if inverted else picture
    assert is_dark_by_definition(picture) is inverted
    assert is_dark_on_light(picture, cropped=True) is (is_measured is inverted)


def test_ink_that_covers_exactly_a_third_is_measured():
    picture = np.full((15, 20), 127, np.uint8)
    picture[1:11, 1:11] = 50
    picture[-3:-1:2, 1:-1:3] = picture[12, ::2] = 200
    assert is_dark_by_definition(picture) is is_dark_on_light(picture, cropped=True) is False


@pytest.mark.parametrize("width", [1, 4, 8])
def test_a_frame_along_the_border_does_not_make_dark_ink_light(width):
    """As around a field that was cut out of a form; MNIST's first test digits, six times as large."""
    for digit in load_digits().X_test[:20]:
        field = cv2.resize(np.pad(digit, 4), None, fx=6, fy=6)
        field[:width] = field[-width:] = field[:, :width] = field[:, -width:] = 255
        assert is_dark_on_light(255 - field, cropped=True)
        assert not is_dark_on_light(field, cropped=True)


def test_a_field_that_is_open_on_one_side_has_a_frame():
    for digit in load_digits().X_test[:20]:
        field = cv2.resize(np.pad(digit, 4), None, fx=6, fy=6)
        field[-4:] = field[:, :4] = field[:, -4:] = 255
        assert is_dark_on_light(255 - field, cropped=False)
        assert not is_dark_on_light(field, cropped=False)


@pytest.mark.parametrize("seed", range(3))
def test_a_reflection_does_not_make_dark_ink_light(seed):
    """Relative to windows of half the picture, its middle would be lighter than the ink is dark."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-60:60, -80:80]
    picture = 100 + rng.normal(0, 1, (120, 160)) + 100 * np.exp(-((x / 60) ** 2) - (y / 48) ** 2)
    for left in range(10, 150, 20):
        picture[70:90, left : left + 3] -= 25
    assert is_dark_on_light(np.rint(picture).astype(np.uint8), cropped=True)
    assert not is_dark_on_light(np.rint(255 - picture).astype(np.uint8), cropped=True)


# The levels of ink


def noise_by_sorting(levels):
    """The median and five standard deviations, each 1.5 times the distance within which half of the pixels lie."""
    ordered = sorted(levels)
    median = ordered[(len(ordered) + 1) // 2 - 1]
    distance = next(d for d in range(256) if 2 * sum(abs(x - median) <= d for x in ordered) >= len(ordered))
    return median + 5 * 1.5 * distance


def otsu_by_loops(levels):
    """The threshold with the greatest variance between the classes, or infinity if they are not distinct."""
    levels = np.asarray(levels, float)
    best, threshold, paper = 0.0, np.inf, 1.0
    for level in range(255):
        low, high = levels[levels <= level], levels[levels > level]
        between = low.size * high.size * (low.mean() - high.mean()) ** 2 if low.size and high.size else 0.0
        if between > best:
            best, threshold, paper = between, level, low.size / levels.size
    return threshold if best > 0.68 * levels.var() * levels.size**2 and paper <= 0.9 else np.inf


def histogram(levels):
    return np.bincount(levels, minlength=256).astype(np.float32)


@pytest.mark.parametrize("count", [4, 5, 10, 11, 40])
@pytest.mark.parametrize("middle", [0, 2, 100, 253])
def test_the_noise_of_paper_of_one_class_is_its_median_and_five_deviations(monkeypatch, middle, count):
    monkeypatch.setattr(module, "_threshold", lambda counts: np.inf)
    rng = np.random.default_rng(0)
    for _ in range(8):
        levels = rng.laplace(middle, 4, count).round().clip(0, 255).astype(int).tolist()
        assert module._noise(histogram(levels)) == noise_by_sorting(levels)


@pytest.mark.parametrize(
    "levels", [[0, 0, 0, 0, 9], [7, 7, 8, 8, 9, 12], [10, 20, 30, 31, 33, 200], [0, 0, 0, 3, 3], [254, 255, 255]]
)
def test_three_quarters_of_otsus_threshold_limit_the_noise(levels):
    assert module._noise(histogram(levels)) == min(0.75 * otsu_by_loops(levels), noise_by_sorting(levels))


@pytest.mark.parametrize("dark", [1, 40, 99, 100, 101, 400])
def test_otsus_threshold_is_that_of_two_distinct_classes_with_at_most_nine_tenths_of_paper(dark):
    rng = np.random.default_rng(0)
    levels = np.concatenate([rng.integers(20, 31, 900), rng.integers(180, 250, dark)])
    threshold = otsu_by_loops(levels)
    assert (threshold < np.inf) is (dark >= 100)
    assert module._threshold(histogram(levels)) == threshold


@pytest.mark.parametrize(("half", "fraction"), [(13, 0.703), (14, 0.671)])
def test_two_classes_are_distinct_if_they_explain_more_than_0_68_of_the_variance(half, fraction):
    levels = [100 - half, 100 + half, 140 - half, 140 + half]
    assert np.var([100, 140]) / np.var(levels) == pytest.approx(fraction, abs=1e-3)
    assert module._threshold(histogram(levels)) == (100 + half if fraction > 0.68 else np.inf)


@pytest.mark.parametrize("levels", [[7], [0, 0], [3, 3, 3]])
def test_one_level_has_no_threshold_and_two_pixels_may_have_one(levels):
    assert module._threshold(histogram(levels)) == np.inf
    assert module._threshold(histogram([10, 20])) == 10


def stretched(darkness, low, full):
    """Ink that grows from 0 at the level `low` to 255 at `full`; OpenCV may round it to a neighbouring level."""
    return np.rint(np.rint((darkness - float(low)).clip(0)) * 255 / (full - low)).clip(0, 255)


def page_with(levels):
    darkness = np.zeros((10, 20), np.uint8)
    darkness.flat[3 : 3 + len(levels)] = levels
    return darkness


@pytest.mark.parametrize(
    ("levels", "full"),
    [
        ([25, 25, 25, 25], 25),
        ([24, 200, 200, 200, 200], 200),  # paper up to the level 24
        ([30, 40, 50, 60, 90], 60),  # four fifths of the ink are at most this dark
        ([30, 40, 50, 60, 90, 91], 90),
        ([255] * 4, 255),
    ],
)
def test_the_darkest_fifth_of_the_ink_becomes_255(levels, full):
    darkness = page_with(levels)
    np.testing.assert_allclose(normalised(darkness), stretched(darkness, 0, full), atol=1)


@pytest.mark.parametrize("levels", [[24] * 9, [200] * 3, [], [24] * 9 + [200] * 3])
def test_fewer_than_4_pixels_darker_than_24_are_no_ink(levels):
    darkness = page_with(levels)
    found = normalised(darkness)
    assert found.shape == darkness.shape
    assert not found.any()


@pytest.mark.parametrize(
    ("paper", "dark", "low", "full"),
    [
        ([6, 8, 10, 12], [200] * 5, 8 + 15, 200),  # half of the paper is within two levels of its median
        ([6, 8, 10, 12], [40] * 5 + [22, 30], 20, 40),  # at most half of the darkness of ink
        ([0, 10, 20, 29], [200] * 5, 10 + 75, 200),
        ([0, 10, 20, 29], [85, 85, 86, 86, 86, 86, 90], 43, 86),
    ],
)
def test_the_noise_of_paper_is_not_ink(paper, dark, low, full):
    darkness = np.array([paper * 5] * 10 + [dark + [paper[1]] * (20 - len(dark))], np.uint8)
    assert low in (noise_by_sorting(darkness.ravel().tolist()), full / 2)
    np.testing.assert_allclose(normalised(darkness), stretched(darkness, low, full), atol=1)


@pytest.mark.parametrize(("pale", "is_ink"), [(30, True), (31, False)])
@pytest.mark.parametrize(("level", "counts"), [(11, True), (10, False)])
def test_a_quarter_of_the_ink_is_darker_than_noise(pale, is_ink, level, counts):
    """Grain of blank paper has few pixels darker than 24, but many more that are nearly as dark as its darkest."""
    darkness = page_with([29] * 10 + [level] * pale)
    assert math.ceil(29 * 96 / 255) == 11  # the level of ink, if the darkest pixels have 29
    assert normalised(darkness).any() == (is_ink or not counts)


@pytest.mark.parametrize(("height", "counts_every_row"), [(1023, True), (1024, False)])
def test_every_second_row_of_a_million_pixels_is_counted(height, counts_every_row):
    darkness = np.zeros((height, 1024), np.uint8)
    darkness[1:9:2, 3] = 200
    assert normalised(darkness).any() == counts_every_row


@pytest.mark.parametrize("seed", range(3))
def test_the_blur_of_strokes_follows_from_their_contrast_and_slope(seed):
    darkness, ink = random_picture(seed, (9, 14)), random_picture(seed + 10, (9, 14))
    contrast = np.quantile([darkness[at] for at in np.ndindex(9, 14) if ink[at] >= 96], 0.65)
    slopes = []
    for y, x in np.ndindex(9, 14):
        for other in ((y + 1, x), (y, x + 1)):
            if other[0] < 9 and other[1] < 14 and (ink[y, x] >= 96) != (ink[other] >= 96):
                slopes.append(abs(int(darkness[y, x]) - int(darkness[other])))
    assert blur_of(darkness, ink) == pytest.approx(1.15 * contrast / (np.sqrt(2 * np.pi) * np.quantile(slopes, 0.75)))


@pytest.mark.parametrize("blur", [0.7, 1.5, 2.5])
def test_the_blur_of_a_blurred_ring_is_found(blur):
    ring = np.zeros((60, 60))
    ring[10:50, 10:50] = 200
    ring[18:42, 18:42] = 0
    seen = ndimage.gaussian_filter(ring, blur).round().astype(np.uint8)
    assert blur_of(seen, seen) == pytest.approx(blur, rel=0.2)


@pytest.mark.parametrize("blur", [1.0, 2.0, 3.0])
def test_the_blur_of_a_stroke_four_times_as_wide_is_found(blur):
    """The blur makes its core paler, too."""
    stroke = np.zeros((80, 60))
    stroke[10:70, 30 : 30 + int(4 * blur)] = 200
    seen = ndimage.gaussian_filter(stroke, blur).round().astype(np.uint8)
    assert blur_of(seen, seen) == pytest.approx(blur, rel=0.08)


def test_there_is_no_blur_without_edges():
    assert blur_of(np.full((5, 5), 200, np.uint8), np.full((5, 5), 95, np.uint8)) == 0
    assert blur_of(np.full((5, 5), 200, np.uint8), np.full((5, 5), 255, np.uint8)) == 0


def test_a_flat_picture_with_an_edge_has_much_blur():
    assert blur_of(np.full((5, 5), 200, np.uint8), np.diag([255] * 5).astype(np.uint8)) > 50


def test_strong_blur_is_undone_in_a_smaller_picture(monkeypatch):
    """An edge between 50 and 200 with a blur of 12 pixels becomes steeper, in at most 3 pixels of blur at a time."""
    blurs = []

    def blur(picture, size, deviation):
        blurs.append((picture.shape, deviation))
        return cv2.GaussianBlur(picture, size, deviation)

    names = ("resize", "convertScaleAbs", "INTER_LINEAR", "INTER_AREA")
    monkeypatch.setattr(
        module, "cv2", SimpleNamespace(GaussianBlur=blur, **{name: getattr(cv2, name) for name in names})
    )
    edge = np.full((120, 200), 50.0)
    edge[:, 100:] = 200
    seen = ndimage.gaussian_filter(edge, 12.0).round().astype(np.uint8)
    found = deblurred(seen, 12.0)
    assert found.shape == seen.shape
    assert set(blurs) == {((30, 50), 3.0)}
    assert int(found[60, 106]) - int(found[60, 94]) > 1.5 * (int(seen[60, 106]) - int(seen[60, 94]))


@pytest.mark.parametrize(("blur", "changes"), [(0.49, False), (0.5, True)])
def test_less_than_half_a_pixel_of_blur_is_left(blur, changes):
    darkness = random_picture(0, (20, 30), 90, 150)
    assert np.array_equal(deblurred(darkness, blur), darkness) != changes


def test_deblurring_follows_the_formula_of_richardson():
    darkness = random_picture(0, (20, 30), 90, 150)

    def blurred(picture):
        return ndimage.gaussian_filter(picture, 1.5, mode="mirror", truncate=4)

    seen = estimate = darkness + 1.0
    for _ in range(40):
        estimate = estimate * blurred(seen / blurred(estimate))
    np.testing.assert_allclose(deblurred(darkness, 1.5), (estimate - 1).clip(0, 255), atol=1)


def test_deblurring_opens_the_loop_of_a_small_digit():
    """A ring of 3 pixels with a hole of 3 pixels, 200 levels dark, was blurred until its hole was nearly as dark."""
    ring = np.zeros((30, 30))
    ring[10:19, 10:19] = 200
    ring[13:16, 13:16] = 0
    seen = ndimage.gaussian_filter(ring, 2.0)
    assert seen[14, 14] > 0.9 * seen[14, 11]
    found = deblurred(seen.round().astype(np.uint8), 2.0)
    assert found[14, 14] < 0.75 * found[14, 11]


@pytest.mark.parametrize("seed", range(3))
def test_strengthened_ink_is_stretched_to_the_darkness_of_its_core(seed):
    darkness, ink = random_picture(seed, (9, 14)), random_picture(seed + 10, (9, 14))
    ink[:3], ink[3, :4] = 0, 1
    core = np.sort(darkness[ink >= 96])
    full = core[int(np.ceil(0.65 * len(core))) - 1]
    expected = np.where(ink > 0, stretched(darkness, 0.15 * full, full), 0)
    np.testing.assert_allclose(strengthened(ink, darkness), expected, atol=1)


def test_ink_without_strokes_is_not_strengthened_and_levels_of_0_and_1_are_paper():
    darkness = random_picture(0, (4, 5))
    ink = np.full((4, 5), 95, np.uint8)
    assert strengthened(ink, darkness) is ink
    found = strengthened(np.full((1, 4), 96, np.uint8), np.array([[0, 0, 1, 0]], np.uint8))
    np.testing.assert_allclose(found, stretched(np.array([[0, 0, 1, 0]]), 0.3, 2), atol=1)


# The paper


def paper_by_definition(coarse):
    """Dark parts narrower than 31% of a side become the level around them; a shadow continues beyond the border."""
    height, width = coarse.shape
    size = max(3, min(height, width) * 31 // 100, min(max(height, width) // 2, 21)) | 1
    border = np.concatenate([coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]])
    if int(border.max()) - int(border.min()) <= 16:
        levels = closed(coarse, size)
    else:
        margin = size // 2
        smooth = windowed(np.median, coarse, 3).astype(int)
        continued = np.pad(smooth, margin, "reflect", reflect_type="odd")
        around = np.minimum(np.pad(smooth, margin, "reflect"), continued).clip(0, 255)
        levels = windowed(np.median, closed(around, size), size // 4 | 1)[margin:-margin, margin:-margin]
    means = windowed(np.mean, levels, max(1, size // 16), "reflect")
    return np.maximum(np.rint(means), 1)


@pytest.mark.parametrize(("shape", "seed"), [((24, 17), 0), ((8, 40), 1), ((50, 30), 2), ((101, 100), 3), ((9, 9), 4)])
@pytest.mark.parametrize("border", ["even", "uneven"])
def test_the_paper_is_that_of_the_definition(shape, seed, border):
    rng = np.random.default_rng(seed)
    light = 150 + 60 * np.sin(np.add.outer(np.arange(shape[0]) / 9, np.arange(shape[1]) / 7))
    coarse = (light + rng.integers(-20, 21, shape)).astype(np.uint8)
    coarse[shape[0] // 4 : shape[0] // 2, 2:-2] = 30
    if border == "even":
        coarse[[0, -1]] = coarse[:, [0, -1]] = 140
        coarse[0, 3], coarse[-1, 2] = 150, 134
    np.testing.assert_allclose(module._paper(coarse), paper_by_definition(coarse), atol=1)


@pytest.mark.parametrize("steps", [16, 17])
def test_the_border_of_even_paper_has_levels_that_differ_by_16_at_most(steps):
    coarse = random_picture(0, (20, 30), 20, 220)
    coarse[[0, -1]] = coarse[:, [0, -1]] = 120
    coarse[0, 5] += steps
    np.testing.assert_allclose(module._paper(coarse), paper_by_definition(coarse), atol=0.51)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((60, 90), 21),  # as the shorter side is small
        ((90, 120), 27),  # 0.31 of it, made odd
        ((8, 6), 5),  # half of the longer side at most
        ((5, 7), 3),
        ((30, 30), 15),
        ((41, 40), 21),
    ],
)
def test_dark_parts_narrower_than_the_window_become_paper(shape, size):
    for length, removed in ((size - 1, True), (size, False)):
        coarse = np.full(np.add(shape, 2 * size), 200, np.uint8)
        picture = coarse[: shape[0], : shape[1]].copy()
        start = (shape[1] - length) // 2
        if start <= 0:
            continue
        picture[1:-1, start : start + length] = 90
        found = module._paper(picture)
        assert (found == 200).all() == removed


def test_black_paper_has_the_level_1():
    np.testing.assert_array_equal(module._paper(np.zeros((8, 9), np.uint8)), np.ones((8, 9)))
    coarse = np.zeros((30, 30), np.uint8)
    coarse[:, 20:] = 9
    assert np.unique(module._paper(coarse)).tolist() == [1, 9]


def test_a_shadow_beyond_the_border_is_not_darker_than_black():
    found = module._extrapolated(np.tile(np.array([0, 30, 60, 90], np.uint8), (4, 1)), 2)
    np.testing.assert_array_equal(found, np.tile([0, 0, 0, 30, 60, 90, 60, 30], (8, 1)))


def test_the_paper_is_enlarged_by_interpolation():
    paper = np.tile(np.arange(100, 160, 2, np.uint8), (20, 1))
    found = module._darkness(np.full((40, 60), 99, np.uint8), paper)
    places = ((np.arange(60) + 0.5) / 2 - 0.5).clip(0, 29)
    expected = divided(99, np.interp(places, np.arange(30), paper[10]))
    np.testing.assert_allclose(found, np.tile(expected, (40, 1)), atol=2)  # a level of paper is 1.6 here


# The darkness of a picture


def divided(grey, paper):
    return 255 - np.rint(255.0 * grey / paper).clip(0, 255)


def test_darkness_is_relative_to_the_paper():
    grey = np.full((40, 50), 150, np.uint8)
    grey[10:20, 20:25], grey[12, 22] = 60, 0
    np.testing.assert_array_equal(find_darkness(grey), divided(grey, 150))
    np.testing.assert_array_equal(find_darkness(255 - grey), divided(grey, 150))


@pytest.mark.parametrize(
    ("side", "level", "pen", "is_shadow"),
    [
        (60, 120, 4, True),
        (28, 120, 4, True),
        (20, 120, 4, False),  # as wide as a bold stroke may be: 0.085 of the sides of the picture
        (60, 62, 4, True),
        (60, 58, 4, False),  # as dark as the ink, whose darkness is 255 * (1 - 60 / 200)
        (60, 185, 4, True),  # 19 levels
        (60, 187, 4, False),  # 17, of which normalised ink has less than a tenth of 255
        (60, 120, 6, True),
        (60, 120, 8, False),  # too wide a pen: 2.6 times its width, about 9, is more than 21
    ],
)
def test_a_wide_dark_region_is_a_shadow_if_it_is_paler_than_ink_and_the_pen_is_narrow(side, level, pen, is_shadow):
    page = np.full((256, 256), 200, np.uint8)
    page[20 : 20 + side, 30 : 30 + side] = level
    page[120 : 120 + pen, 20:230] = page[160 : 160 + pen, 20:230] = 60
    found = find_darkness(page)
    middle = 20 + side // 2, 30 + side // 2
    assert found[middle] == (0 if is_shadow else divided(level, 200))
    assert found[120 + pen // 2, 100] == divided(60, 200)


def test_a_dark_region_of_less_than_a_hundredth_of_the_page_is_ink():
    page = np.full((256, 256), 200, np.uint8)
    page[20:44, 30:57], page[120:124, 20:230] = 120, 60
    assert find_darkness(page)[32, 43] == divided(120, 200)


def test_an_object_as_dark_as_ink_beside_a_shadow_is_ink():
    page = np.full((256, 256), 200, np.uint8)
    page[20:60, 30:90], page[170:230, 60:120], page[120:124, 20:230] = 120, 60, 60
    found = find_darkness(page)
    assert (found[40, 60], found[200, 90]) == (0, divided(60, 200))


@pytest.mark.parametrize(("period", "is_shadow"), [(8, True), (4, False)])
def test_a_picture_on_the_page_is_no_shadow(period, is_shadow):
    """A quarter or a half of its pixels are darker than the rest of it."""
    page = np.full((256, 256), 200, np.uint8)
    page[120:124, 20:230], page[20:80, 30:110] = 60, 140
    page[20:80, 30:110][np.arange(60) % period < 2] = 60
    assert (find_darkness(page)[20 + period - 1, 60] == 0) == is_shadow


def test_whether_the_ink_is_dark_may_be_given():
    grey = np.full((80, 90), 150, np.uint8)
    grey[36:44, 40:50] = 60
    found = find_darkness(grey, True)
    assert found[40, 45] > 150
    np.testing.assert_array_equal(found, find_darkness(grey))
    np.testing.assert_array_equal(found, find_darkness(255 - grey, False))
    assert not find_darkness(grey, False).any()
    assert not find_darkness(255 - grey, True).any()


@pytest.mark.parametrize(
    ("side", "noise", "averages"),
    [(32, 0, True), (40, 0, False), (48, 0, False), (48, 1, True), (79, 1, True), (79, 0, False), (256, 1, None)],
)
def test_the_paper_around_a_digit_is_estimated_in_a_small_picture_averaged_if_much_smaller_or_noisy(
    monkeypatch, side, noise, averages
):
    monkeypatch.setattr(module, "_PAPER_SIDES", (256, side))
    monkeypatch.setattr(module, "_without_grain", lambda darkness, _: darkness)
    grey = random_picture(0, (80, 101), 60, 250)
    grey[[0, -1]] = grey[:, [0, -1]] = 200
    grey[0, 7] += noise
    factor = side / 80
    candidates = [module._paper(resize(grey, factor), cropped=True) for resize in (reduced, resized)]
    assert not np.array_equal(*candidates)
    paper = module._paper(grey, cropped=True) if averages is None else candidates[averages]
    np.testing.assert_array_equal(find_darkness(grey, True, cropped=True), module._darkness(grey, paper))


def sheet_on_a_table(shape=(200, 256), ground=40):
    """A light sheet with a step in its levels and a bar of ink, on dark ground."""
    height, width = shape
    picture, is_sheet = np.full(shape, ground, np.uint8), np.zeros(shape, bool)
    is_sheet[height // 5 : -height // 5, width // 5 : -width // 5] = True
    picture[is_sheet] = 220
    picture[:, width // 2 :][is_sheet[:, width // 2 :]] = 200
    picture[height // 2 - 4 : height // 2, width // 3 : width // 2] = 80
    return picture, is_sheet


@pytest.mark.parametrize(("height", "found"), [(99, False), (100, True)])
def test_sheets_are_found_in_pictures_of_at_least_100_pixels(height, found):
    picture, _ = sheet_on_a_table((height, 200))
    picture[5:9, 5:9] = 0  # on the table
    for dark_on_light in (None, True) if found else (True,):
        darkness = find_darkness(picture, dark_on_light)
        assert (darkness[7, 7] == 0) == found
        assert darkness[height // 2 - 2, 80] > 150
    picture[8:12, 20:-20] = 255  # light ink, without which the sheet would be a shadow on the inverted table
    assert find_darkness(picture, False)[10, 80] > 80


def test_ink_outside_the_sheet_does_not_count():
    coarse, _ = sheet_on_a_table()
    grey = np.kron(coarse, np.ones((2, 2), np.uint8))
    grey[100:110, 30:60], grey[20:30, 200:240] = 0, 150
    coarse = coarsened(grey)
    sheet = module.find_sheets(coarse)
    extended = np.where(sheet, coarse, module.continued(module.without_ink(coarse, sheet), sheet))
    enlarged = module.cv2.resize(extended, grey.shape[::-1], interpolation=module.cv2.INTER_LINEAR)
    on_sheet = np.kron(sheet, np.ones((2, 2), bool))
    expected = module._darkness(np.where(on_sheet, grey, enlarged).astype(np.uint8), module._paper(extended))
    assert expected[~on_sheet].max() < 20
    np.testing.assert_allclose(find_darkness(grey), expected, atol=1)


def test_the_levels_along_the_edges_of_a_region_continue_beyond_it():
    coarse, sheet = np.full((120, 160), 40, np.uint8), np.zeros((120, 160), bool)
    sheet[30:90, 50:110] = True
    levels = np.full((60, 60), 220)
    levels[25:] -= 30
    levels[:, 35:] -= 20
    coarse[sheet] = levels.ravel()
    continued = np.pad(levels, ((30, 30), (50, 50)), "edge")
    coarse[20:25, 10:20] = 255
    expected = windowed(np.mean, continued.astype(float), 5, "reflect")
    np.testing.assert_allclose(module.continued(coarse, sheet), expected, atol=0.51)


@pytest.mark.parametrize(
    ("level", "dots", "is_paper"), [(207, 230, True), (206, 229, False), (220, 243, True), (220, 244, False)]
)
def test_light_noise_on_bright_paper_is_no_ink(level, dots, is_paper):
    """Light dots with a contrast of 23 or 24 levels."""
    paper = np.full((60, 90), level, np.uint8)
    paper[10:50:8, 10:80:8] = dots
    assert is_dark_on_light(paper, cropped=True) is is_paper
