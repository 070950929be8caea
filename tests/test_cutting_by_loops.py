"""Seams, pieces and MNIST's format agree with loops and with limits set by hand."""

import numpy as np
import pytest

from lenet import _mnist_form
from lenet.reading import ink as ink_module
from lenet.reading import pieces, seams, skew
from lenet.reading.lines import InkLine
from lenet.reading.page import Page

pytest.importorskip("cv2")
ndimage = pytest.importorskip("scipy.ndimage")

# Seams


def cheapest_by_loops(cost):
    """The lowest cost of a path from the first row to each pixel, and the path's column in the row before."""
    total, before = cost.copy(), np.zeros(cost.shape, int)
    for y in range(1, len(cost)):
        for x in range(cost.shape[1]):
            ways = [
                (total[y - 1, x + dx] + 0.02 * abs(dx), abs(dx), x + dx)
                for dx in (0, -1, 1)
                if 0 <= x + dx < cost.shape[1]
            ]
            best = min(ways)
            total[y, x] += best[0]
            before[y, x] = best[2]
    return total, before


def seams_by_loops(ink, height):
    """The seams of one stroke: the cheapest through some pixels, from the cheapest seam to the dearest one."""
    pen = _mnist_form.pen_width(ink)
    crossed = np.zeros((ink.shape[0], ink.shape[1] + 2))  # with a wall at both sides
    crossed[:, 1:-1] = ink / (255 * pen)
    crossed[:, [0, -1]] = 1e6
    rows, columns = crossed.shape
    down, above = cheapest_by_loops(crossed + 0.001)
    up, below = cheapest_by_loops(crossed[::-1] + 0.001)
    near, candidates = max(1, round(0.06 * height)), []
    for part in (0.25, 0.5, 0.75):
        y = int(part * rows)
        through = down[y] + up[rows - 1 - y] - crossed[y]
        for x in range(1, columns):
            around = through[max(0, x - near) : x + near + 1].min()
            if x - 1 > 0.1 * height and x < columns - 1 - 0.1 * height and through[x] <= around + 1e-9:
                path = [0] * rows
                path[y] = x
                for k in range(y, 0, -1):
                    path[k - 1] = above[k, path[k]]
                for k in range(y, rows - 1):
                    path[k + 1] = below[rows - 1 - k, path[k]]
                candidates.append((sum(crossed[k, path[k]] for k in range(rows)), path))
    kept = []
    for cost, path in sorted(candidates, key=lambda each: each[0]):
        ink_left = sum(crossed[k, 1 : path[k]].sum() for k in range(rows))
        apart = all(abs(ink_left - other) > 0.15 * height for other, _, _ in kept)
        beside = all(
            all((a <= b) == (ink_left < other) or a == b for a, b in zip(path, way, strict=True))
            for other, way, _ in kept
        )
        if apart and beside:
            kept.append((ink_left, path, cost))
    kept.sort()
    return [[x - 1 for x in path] for _, path, _ in kept], [cost for *_, cost in kept]


def blobs(seed, shape):
    """A smooth random stroke, whose seams all have different costs."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2.5)
    return np.clip(128 + 4000 * smooth, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("seed", "shape", "height"), [(0, (20, 40), 20.0), (1, (27, 31), 22.0), (2, (16, 50), 12.0)])
def test_seams_are_those_of_loops(seed, shape, height):
    ink = blobs(seed, shape)
    [(columns, costs)] = seams.seams([ink], height)
    expected, expected_costs = seams_by_loops(ink, height)
    assert len(expected) >= 2
    assert columns.tolist() == expected
    assert costs == pytest.approx(expected_costs)


@pytest.mark.parametrize("min_area", [1, 9, 25, 60])
def test_parts_of_strokes_smaller_than_the_minimum_join_the_next(min_area):
    rng = np.random.default_rng(5)
    mask = rng.random((10, 40)) < 0.6
    columns = np.sort(np.array([4, 9, 11, 22, 24, 33])[:, np.newaxis] + rng.integers(-1, 2, (6, 10)), axis=0)
    costs = rng.uniform(0.1, 2, 6)
    expected, waiting, cost = [], np.zeros_like(mask), 0.0
    for n in range(7):
        strip = mask.copy()
        for y in range(10):
            strip[y, : columns[n - 1, y] if n else 0] = False
            strip[y, columns[n, y] if n < 6 else 40 :] = False
        waiting |= strip
        cost = max(cost, costs[n - 1] if n and expected else 0.0)
        if waiting.sum() >= min_area or n == 6:
            if waiting.any():
                expected.append((cost, waiting))
            waiting, cost = np.zeros_like(mask), 0.0
    found = pieces._cut(mask, columns, costs, min_area)
    assert [cut for cut, _ in found] == [cut for cut, _ in expected]
    assert all((a == b).all() for (_, a), (_, b) in zip(found, expected, strict=True))


def test_only_strokes_wider_than_0_65_heights_are_cut():
    ink = np.zeros((60, 200), np.uint8)
    for left, width in ((10, 26), (60, 27), (120, 40)):
        ink[10:50, left : left + 3] = ink[10:50, left + width - 3 : left + width] = 255
        ink[28:31, left : left + width] = 255
    page = Page(ink, ink.shape)
    line = InkLine(page, np.argsort(page.strokes.boxes[:, 0]))
    assert line.height == 40
    assert line.corner == (8, 8)
    assert line.ink.shape == (44, 154)
    found = pieces.pieces_of(line)
    assert [int((np.digitize(found.boxes[:, 0], [45, 100]) == n).sum() > 1) for n in range(3)] == [0, 1, 1]
    whole = pieces.pieces_of(line, np.array([False, True, False]))
    assert [int((np.digitize(whole.boxes[:, 0], [45, 100]) == n).sum() > 1) for n in range(3)] == [0, 0, 1]
    assert pieces.cutting_cost(line, np.zeros(3, bool)) == 40 * 27 + 40 * 40
    assert pieces.cutting_cost(line, np.array([False, True, False])) == 40 * 40


def test_very_wide_strokes_cost_more_to_cut():
    ink = np.zeros((60, 300), np.uint8)
    ink[10:50, 10:15] = ink[10:50, 30:35] = ink[10:50, 50:55] = 255
    ink[20:23, 80:240] = 255
    ink[20:40, 80:84] = 255
    page = Page(ink, ink.shape)
    line = InkLine(page, np.argsort(page.strokes.boxes[:, 0]))
    assert line.height == 40
    assert pieces.cutting_cost(line, np.zeros(4, bool)) == 20 * 160 * 4


def test_the_faint_edge_of_a_stroke_belongs_to_its_piece():
    ink = np.zeros((30, 40), np.uint8)
    ink[8:22, 10:14] = ink[8:22, 30:34] = 255
    ink[7, 10:14] = ink[8:22, 14] = 50
    ink[15, 20] = 40  # a speck far from both
    page = Page(ink, ink.shape)
    found = pieces.pieces_of(InkLine(page, np.argsort(page.strokes.boxes[:, 0])))
    expected = np.zeros_like(ink)
    expected[7:22, 10:14] = expected[8:22, 14] = 1
    expected[8:22, 30:34] = 2
    np.testing.assert_array_equal(found.labels, expected[6:24, 8:36])
    assert found.boxes.tolist() == [[2, 2, 6, 16], [22, 2, 26, 16]]
    assert found.cuts.tolist() == [0, 0, 0]


# Skew


@pytest.mark.parametrize("slope", [-0.2, -0.05, 0.0, 0.1, 0.26])
def test_the_skew_is_the_slope_of_the_lines(slope):
    ink = np.zeros((400, 600), np.uint8)
    for row in (120, 220, 300):
        for left in range(40, 540, 30):
            top = round(row + slope * (left - 300))
            ink[top : top + 20, left : left + 6] = 255
    page = Page(ink, ink.shape)
    assert skew.skew_of_lines(page, 20.0) == pytest.approx(np.degrees(np.arctan(slope)), abs=0.15)


def test_strokes_below_half_the_height_and_short_lines_have_no_skew():
    ink = np.zeros((400, 600), np.uint8)
    for left in range(40, 540, 30):
        top = round(100 + 0.1 * left)
        ink[top : top + 10, left : left + 6] = 255
    for n in range(3):
        ink[300 + 10 * n : 320 + 10 * n, 100 + 30 * n : 106 + 30 * n] = 255
    assert skew.skew_of_lines(Page(ink, ink.shape), 20.0) == 0
    assert skew.skew_of_lines(Page(ink, ink.shape), 19.9) == pytest.approx(np.degrees(np.arctan(0.1)), abs=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_of_a_line_is_a_regression(seed):
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.integers(0, 300, (9, 4)).reshape(9, 2, 2), axis=1).reshape(9, 4)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
    residuals = y - y.mean() - slope * (x - x.mean())
    variance = (residuals**2).sum() / 7 + (0.05 * 30) ** 2
    expected = slope, len(x) * np.var(x) / variance
    assert skew._fitted(boxes, 30.0) == pytest.approx(expected)
    boxes[:, [0, 2]] = 5, 9
    assert skew._fitted(boxes, 30.0) == (0, 0)


@pytest.mark.parametrize("angle", [-14.5, -3.0, 0.0, 0.5, 8.0])
def test_the_skew_of_rules_is_found_to_half_a_degree(angle):
    y, x = np.mgrid[:300, :400]
    ink = np.where((y - np.tan(np.radians(angle)) * x) % 40 < 2, 255, 0).astype(np.uint8)
    assert skew.skew_of_rules(Page(ink, ink.shape)) == angle


# MNIST's format


@pytest.mark.parametrize(("shape", "place"), [((20, 8), (4, 10)), ((8, 20), (10, 4)), ((20, 20), (4, 4))])
def test_a_digit_of_20_pixels_is_centred_by_its_mass(shape, place):
    ink = np.full(shape, 255, np.uint8)
    expected = np.zeros((28, 28), np.uint8)
    expected[place[0] : place[0] + shape[0], place[1] : place[1] + shape[1]] = 255
    # The centre of mass of n pixels is (n - 1) / 2 from the first one, and 14 is the middle.
    found = _mnist_form.mnist_form(ink, pen=False)
    shift = [round(14 - (n - 1) / 2) - at for n, at in zip(shape, place, strict=True)]
    np.testing.assert_array_equal(found, np.roll(expected, shift, (0, 1)))


def test_a_lopsided_digit_stays_inside():
    ink = np.full((20, 20), 1, np.uint8)
    ink[0, 0] = 255
    for turns, corner in ((0, (8, 8)), (1, (19 + 0, 8)), (2, (19, 19)), (3, (8, 19))):
        found = _mnist_form.mnist_form(np.rot90(ink, turns).copy(), pen=False)
        y, x = np.argwhere(found == 255)[0]
        mass = np.rot90(ink, turns).astype(float)
        rows = (mass.sum(axis=1) @ np.arange(20) / mass.sum(), mass.sum(axis=0) @ np.arange(20) / mass.sum())
        top, left = (min(max(round(14 - each), 0), 8) for each in rows)
        inner_y, inner_x = np.argwhere(np.rot90(ink, turns) == 255)[0]
        assert (y, x) == (top + inner_y, left + inner_x), corner
    assert _mnist_form.mnist_form(np.full((20, 20), 100, np.uint8), pen=False).max() == 255
    assert _mnist_form.mnist_form(np.zeros((20, 20), np.uint8), pen=False).max() == 0


@pytest.mark.parametrize(("width", "expected"), [(2, 7.2), (6, 7.2), (10, 10), (13, 13), (20, 14), (26, 14), (32, 32)])
def test_pens_are_brought_to_between_1_8_and_3_5_pixels(width, expected):
    """At four pixels for each of MNIST's: a bar keeps its length, but for half the change at each end."""
    ink = np.zeros((80, 80), np.uint8)
    ink[:, 20 : 20 + width] = 255
    pen = _mnist_form.pen_width(ink)
    assert pen == pytest.approx(2 * 80 * width / ((2 * 80 + 2 * width) * np.pi / 4))
    change = round(abs(np.clip(pen, 7.2, 14) - pen)) if pen < 28 else 0
    found = _mnist_form._with_usual_pen(ink, 4.0)
    sign = 1 if pen < 7.2 else -1
    assert (found > 0).sum(axis=1).max() == width + sign * change
    if pen < 7.2:
        margin = (change + 1) // 2
        assert found.shape == (80 + 2 * margin, 80 + 2 * margin)


@pytest.mark.parametrize(("factor", "size"), [(0.5, (15, 10)), (2, (60, 40)), (0.01, (1, 1)), (1, (30, 20))])
def test_pictures_are_resized_by_averages_or_linearly(factor, size):
    image = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.uint8)
    found = _mnist_form.resized(image, factor)
    assert found.shape == size
    if factor == 0.5:
        means = image.reshape(15, 2, 10, 2).mean(axis=(1, 3))
        assert np.abs(found - means).max() <= 0.75
    assert factor != 1 or found is image


@pytest.mark.parametrize("factor", [0.8, 0.5, 0.4, 0.21])
def test_pictures_are_reduced_in_steps(factor):
    """A ramp stays a ramp: each pixel has the level at its centre."""
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (60, 1))
    found = _mnist_form.reduced(ramp, factor)
    height, width = round(60 * factor), round(100 * factor)
    assert found.shape == (height, width)
    centres = (np.arange(width) + 0.5) * 100 / width - 0.5
    np.testing.assert_allclose(found, np.tile(2 * centres, (height, 1)), atol=2.5)
    assert _mnist_form.reduced(ramp, 1.5) is ramp


def test_pictures_are_cropped_to_their_ink():
    image = np.zeros((20, 30), np.uint8)
    image[5:9, 7:20] = 60
    image[3, 4] = 40
    assert _mnist_form.cropped(image).shape == (6, 16)
    assert _mnist_form.cropped(np.zeros_like(image)).shape == (1, 1)


# Ink


def otsu_by_loops(counts):
    """The level with the largest variance between the classes, and that variance over the whole."""
    levels, best = np.arange(256), (-1.0, 0)
    total = counts.sum()
    mean = counts @ levels / total
    for level in range(255):
        low, high = counts[: level + 1], counts[level + 1 :]
        if low.sum() and high.sum():
            between = (
                low.sum()
                * high.sum()
                * (low @ levels[: level + 1] / low.sum() - high @ levels[level + 1 :] / high.sum()) ** 2
            )
            best = max(best, (between / total**2, -level))
    return -best[1], best[0] / (counts @ (levels - mean) ** 2 / total)


@pytest.mark.parametrize(("ink", "paper", "spread"), [(0.3, 0.7, 5), (0.12, 0.88, 5), (0.08, 0.92, 5), (0.5, 0.5, 30)])
def test_the_threshold_is_that_of_otsu_if_ink_and_paper_are_distinct(ink, paper, spread):
    rng = np.random.default_rng(1)
    means = (170, 40) if spread == 5 else (100, 100)
    parts = [rng.normal(mean, spread, int(9000 * part)) for mean, part in zip(means, (ink, paper), strict=True)]
    levels = np.concatenate(parts)
    counts = np.bincount(levels.clip(0, 255).astype(int), minlength=256).astype(np.float32)
    level, share = otsu_by_loops(counts.astype(float))
    is_distinct = share > 0.68 and counts[: level + 1].sum() <= 0.9 * counts.sum()
    assert is_distinct == (spread == 5 and ink > 0.1)
    assert ink_module._threshold(counts) == (level if is_distinct else np.inf)


def test_the_threshold_considers_pixels_of_the_highest_level():
    """Between levels of 30 to 50 and the level 255, Otsu's threshold is 50."""
    counts = np.zeros(256, np.float32)
    counts[30:51], counts[255] = 100, 900
    assert otsu_by_loops(counts.astype(float))[0] == 50
    assert ink_module._threshold(counts) == 50


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_the_median_plus_five_deviations(seed):
    """The median absolute deviation times 1.5 is the standard deviation; paper of one level has no noise."""
    rng = np.random.default_rng(seed)
    levels = np.abs(rng.normal(2 * seed, 3 * seed, 999)).round().clip(0, 255).astype(int)
    counts = np.bincount(levels, minlength=256).astype(np.float32)
    median = np.median(levels)
    expected = median + 7.5 * np.median(np.abs(levels - median))
    assert ink_module._noise(counts) == min(expected, 0.75 * ink_module._threshold(counts) if expected else 0)


@pytest.mark.parametrize(("share", "expected"), [(0.02, 52), (0.4, None)])
def test_noise_ends_five_standard_deviations_above_the_median(share, expected):
    """Levels 30 and 34 in equal parts: the median is 30 and their deviations 0 and 4."""
    counts = np.zeros(256, np.float32)
    counts[30], counts[34], counts[200] = 400, 599, 1000 * share / (1 - share)
    if expected:
        assert ink_module._noise(counts) in (30 + 7.5 * 4, 34 + 7.5 * 0)
    else:
        assert ink_module._noise(counts) == pytest.approx(min(34, 0.75 * otsu_by_loops(counts.astype(float))[0]))
