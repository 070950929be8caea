"""Seams and pieces agree with loops and with limits set by hand."""

import numpy as np
import pytest

from lenet import _mnist_form
from lenet.reading import pieces, seams
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
    down, above = cheapest_by_loops(crossed)
    up, below = cheapest_by_loops(crossed[::-1])
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
    ink[6, 10:14] = ink[8:22, 15] = 30  # two pixels away
    ink[15, 20] = 40  # a speck far from both
    page = Page(ink, ink.shape)
    found = pieces.pieces_of(InkLine(page, np.argsort(page.strokes.boxes[:, 0])))
    expected = np.zeros_like(ink)
    expected[7:22, 10:14] = expected[8:22, 14] = 1
    expected[8:22, 30:34] = 2
    np.testing.assert_array_equal(found.labels, expected[6:24, 8:36])
    assert found.boxes.tolist() == [[2, 2, 6, 16], [22, 2, 26, 16]]
    assert found.cuts.tolist() == [0, 0, 0]
