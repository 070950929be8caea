"""The angle of lines and rules is that of their definitions."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from lenet.reading import skew as module
from lenet.reading.page import Page
from lenet.reading.skew import skew_of_lines, skew_of_rules
from lenet.reading.strokes import Strokes

cv2 = pytest.importorskip("cv2")
HEIGHT = 20.0


def boxes_along(lefts, offsets, top=100, height=20, width=10):
    return [(left, top + y, left + width, top + y + height) for left, y in zip(lefts, offsets, strict=True)]


def centres_of(boxes):
    boxes = np.array(boxes)
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def page_of(boxes):
    boxes = np.array(boxes, np.int64).reshape(-1, 4)
    return SimpleNamespace(strokes=Strokes(np.zeros((900, 900), np.uint8), boxes, np.full(len(boxes), 99)))


def degrees(slope):
    return float(np.degrees(np.arctan(slope)))


# Lines of writing


@pytest.mark.parametrize(
    ("offsets", "height"), [([0, 1, 2, 3, 4, 5], 20.0), ([3, 0, 5, 1, 9, 2], 20.0), ([4, 0, 1, 2], 50.0)]
)
def test_the_slope_of_a_line_is_that_of_least_squares_and_its_precision_the_inverse_of_the_squared_error(
    offsets, height
):
    lefts = np.array([0, 31, 55, 90, 121, 152])[: len(offsets)]
    slope, precision = module._fitted([centres_of(boxes_along(lefts, offsets))], height)
    x, y = lefts - lefts.mean(), np.array(offsets, float) - np.mean(offsets)
    expected = (x @ y) / (x @ x)
    variance = ((y - expected * x) ** 2).sum() / (len(x) - 2) + (0.05 * height) ** 2
    assert slope == pytest.approx(expected)
    assert precision == pytest.approx((x @ x) / variance)


def test_the_centres_of_boxes_of_any_size_determine_the_slope():
    boxes = [(0, 5, 4, 19), (20, 4, 28, 22), (44, 9, 56, 21), (70, 8, 78, 26)]
    x, y = [2, 24, 50, 74], [12, 13, 15, 17]
    assert skew_of_lines(page_of(boxes), HEIGHT) == pytest.approx(degrees(np.polyfit(x, y, 1)[0]))


def test_strokes_above_each_other_have_no_slope():
    assert skew_of_lines(page_of([(5, 25 * n, 25, 25 * n + 20) for n in range(5)]), HEIGHT) == 0


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("lefts", "step", "found"), [([0, 60, 120, 180], 2, True), ([0, 60, 120], 2, False)])
def test_a_line_has_at_least_four_strokes(lefts, step, found, sign):
    boxes = boxes_along(lefts, sign * step * np.arange(len(lefts)))
    assert skew_of_lines(page_of(boxes), HEIGHT) == pytest.approx(sign * degrees(step / 60) * found)


def test_shorter_lines_have_a_common_slope_and_each_its_own_height():
    """It is that of least squares with an intercept for each line."""
    lines = [[(100, 7), (150, 15)], [(10, 90), (40, 91), (90, 99)], [(300, 5)], [(40, 150), (90, 151)]]
    x, y = np.concatenate(lines).T
    unknowns = np.column_stack([x, np.repeat(np.eye(4), [2, 3, 1, 2], axis=0)])
    (expected, *_), residuals, *_ = np.linalg.lstsq(unknowns, y)
    slope, precision = module._fitted([np.array(line, float) for line in lines], HEIGHT)
    variance = residuals[0] / (8 - 5) + 1
    assert slope == pytest.approx(expected)
    assert precision == pytest.approx(1 / (variance * np.linalg.inv(unknowns.T @ unknowns)[0, 0]))


@pytest.mark.parametrize(("count", "found"), [(2, False), (3, True)])
def test_a_page_of_three_short_lines_has_a_slope(count, found):
    boxes = [box for n in range(count) for box in boxes_along([0, 60], [0, 6], 100 + 200 * n)]
    assert skew_of_lines(page_of(boxes), HEIGHT) == pytest.approx(degrees(0.1) * found)


@pytest.mark.parametrize(("distance", "found"), [(10, False), (11, True)])
def test_the_parts_of_digits_that_are_half_a_height_apart_have_no_slope(distance, found):
    """A 4 may have two parts, of which the right one is lower."""
    boxes = [box for n in range(5) for box in boxes_along([0, distance], [0, 2], 100 * n + 100, 20, 8)]
    assert (skew_of_lines(page_of(boxes), HEIGHT) != 0) is found


@pytest.mark.parametrize(("height", "found"), [(12, False), (13, True)])
def test_exponents_do_not_raise_short_lines(height, found):
    boxes = [box for n in range(5) for box in boxes_along([0, 20], [0, 0], 100 * n)]
    boxes += [(40, 100 * n - 4, 50, 100 * n - 4 + height) for n in range(5)]
    assert (skew_of_lines(page_of(boxes), HEIGHT) != 0) is found


@pytest.mark.parametrize(("count", "step", "errors"), [(4, 1, 2.24), (5, 1, 3.16), (4, 2, 4.47)])
def test_falls_of_less_than_three_standard_errors_are_not_significant(count, step, errors):
    """The strokes fall by exactly some pixels each; the error is a twentieth of the height, which is one pixel."""
    lefts = 30 * np.arange(count)
    slope = step / 30
    assert slope * np.sqrt(((lefts - lefts.mean()) ** 2).sum()) == pytest.approx(errors, abs=0.01)
    found = skew_of_lines(page_of(boxes_along(lefts, step * np.arange(count))), HEIGHT)
    assert found == pytest.approx(degrees(slope) if errors >= 3 else 0)


def test_the_slope_is_the_median_of_the_lines_weighted_by_their_precision():
    """Lines of 4, 6 and 9 strokes; the longest has more than half of the precision."""
    slopes, boxes = [0.2, 0.1, 0.05], []
    for n, (count, slope) in enumerate(zip([4, 6, 9], slopes, strict=True)):
        lefts = 40 * np.arange(count)
        boxes += boxes_along(lefts, np.rint(slope * lefts).astype(int), 100 + 200 * n)
    assert skew_of_lines(page_of(boxes), HEIGHT) == pytest.approx(degrees(0.05))


@pytest.mark.parametrize(
    ("slopes", "expected"), [([0.1, 0.2, 0.3], 0.2), ([0.2, 0.1], 0.1), ([0.3, 0.1, 0.2, 0.05], 0.1)]
)
def test_of_lines_of_the_same_precision_the_middle_or_lower_slope_counts(slopes, expected):
    boxes = []
    for n, slope in enumerate(slopes):
        lefts = 20 * np.arange(7)
        boxes += boxes_along(lefts, np.rint(slope * lefts).astype(int), 50 + 200 * n)
    assert skew_of_lines(page_of(boxes), HEIGHT) == pytest.approx(degrees(expected))


@pytest.mark.parametrize(("step", "expected"), [(8, 15), (-8, -15), (5, degrees(0.25)), (6, 15)])
def test_lines_fall_or_rise_by_at_most_15_degrees(step, expected):
    lefts = 20 * np.arange(8)
    assert skew_of_lines(page_of(boxes_along(lefts, step * np.arange(8), 300)), HEIGHT) == pytest.approx(expected)


@pytest.mark.parametrize(("height", "counts"), [(10, False), (11, True)])
def test_strokes_of_half_the_height_or_less_do_not_count(height, counts):
    boxes = boxes_along(30 * np.arange(6), 3 * np.arange(6), height=height)
    assert (skew_of_lines(page_of(boxes), HEIGHT) != 0) is counts


def test_a_page_without_lines_is_level():
    assert skew_of_lines(page_of([]), HEIGHT) == 0
    assert skew_of_lines(page_of(boxes_along([0, 30], [0, 5])), HEIGHT) == 0


# Rules


def skew_by_definition(ink):
    """The angle at which neighbouring rows of ink, a 160th of its width high, differ most."""
    y, x = np.nonzero(ink >= 96)
    height = max(1.0, (x.max() - x.min()) / 160)
    sharpness = {}
    for half_degrees in range(-30, 31):
        rows = (y - x * np.tan(np.pi * half_degrees / 360)) / height
        counts, _ = np.histogram(rows - rows.min(), np.arange(int(np.ptp(rows)) + 2))
        sharpness[half_degrees / 2] = sum((int(b) - int(a)) ** 2 for a, b in itertools.pairwise(counts))
    return max(sharpness, key=sharpness.get)


@pytest.mark.parametrize("shape", [(30, 40), (20, 400), (9, 12)])
@pytest.mark.parametrize("seed", range(3))
def test_rules_fall_by_the_angle_at_which_the_projection_is_sharpest(shape, seed):
    rng = np.random.default_rng(seed)
    ink = np.where(rng.random(shape) < 0.05, rng.integers(90, 102, shape), 0).astype(np.uint8)
    assert skew_of_rules(Page(ink, shape)) == skew_by_definition(ink)


def test_more_than_30_000_pixels_of_ink_are_sampled(monkeypatch):
    samples, generator = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: samples.append(seed) or generator(seed))
    ink = np.zeros((220, 300), np.uint8)
    ink[10:210:2] = 255
    assert (np.count_nonzero(ink), skew_of_rules(Page(ink, ink.shape)), len(samples)) == (30_000, 0, 0)
    ink[101, 8] = 255  # between two rules
    assert (np.count_nonzero(ink), skew_of_rules(Page(ink, ink.shape)), len(samples)) == (30_001, 0, 1)


@pytest.mark.parametrize("angle", [-15, -7.5, -0.5, 0, 3, 14.5, 15])
def test_the_angle_of_parallel_rules(angle):
    ink = np.zeros((400, 600), np.uint8)
    for start in range(0, 400, 40):
        end = start + 600 * np.tan(np.radians(angle))
        cv2.line(ink, (0, start * 256), (600 * 256, round(end * 256)), 255, 1, cv2.LINE_AA, 8)
    assert skew_of_rules(Page(ink, ink.shape)) == pytest.approx(angle, abs=0.5)
