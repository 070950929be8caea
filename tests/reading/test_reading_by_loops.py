"""The steps of reading agree with loops over strokes, pieces and pixels, written from their descriptions."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from lenet.reading import features, grouping, segments
from lenet.reading.graph import LEARNED
from lenet.reading.pieces import Pieces
from lenet.reading.strokes import Strokes
from lenet.rejection import digit_score

pytest.importorskip("cv2")
HEIGHT = 20.0
LINE_HEIGHT = 20.5  # so that no ratio is exactly a limit


def strokes_of(boxes, areas, shape=(400, 600)):
    return Strokes(np.zeros(shape, np.uint16), np.array(boxes, np.int64).reshape(-1, 4), np.array(areas, np.int64))


def random_boxes(rng, n, shape=(400, 600), longest=60):
    corners = rng.integers(0, [shape[1] - longest, shape[0] - longest], (n, 2))
    return np.hstack([corners, corners + rng.integers(1, longest, (n, 2))])


def pieces_with(boxes, cuts=None):
    line = SimpleNamespace(height=LINE_HEIGHT)
    return Pieces(line, None, np.array(boxes, np.int64), None, np.array(cuts))


def row_of_pieces(rng, n, slope=0.0):
    """Boxes from left to right by their centres, some of which overlap, on a line that may slope."""
    widths, heights = rng.integers(2, 20, n), rng.integers(4, 26, n)
    centres = 10 + np.cumsum(rng.integers(3, 24, n))
    middles = 100 + slope * centres + rng.integers(-3, 4, n)
    boxes = np.stack([centres - widths / 2, middles - heights / 2, centres + widths / 2, middles + heights / 2], 1)
    return np.round(boxes[np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")]).astype(np.int64)


# Sizes of strokes


def median_by_area(heights, areas):
    """The height at which half of the area is reached, from the lowest stroke up."""
    reached = 0
    for height, area in sorted(zip(heights, areas, strict=True)):
        reached += area
        if reached >= sum(areas) / 2:
            return height
    return 0.0


def is_writing(box, height, shape):
    left, top, right, bottom = box
    w, h = right - left, bottom - top
    if max(w, h) < 0.22 * height or h < 0.12 * height:
        return False  # a speck
    if w > 2.2 * height and h < 0.3 * height:
        return False  # a rule
    if (left == 0 or top == 0 or right == shape[1] or bottom == shape[0]) and min(w, h) <= 2:
        return False  # a sliver
    return h < 3 * height


@pytest.mark.parametrize("seed", range(8))
def test_writing_excludes_specks_rules_and_slivers(seed):
    rng, shape = np.random.default_rng(seed), (120, 160)
    boxes = random_boxes(rng, 300, shape)
    boxes[:40, 0] = 0
    boxes[40:80, 3], boxes[80:120, 2] = shape[0], shape[1]
    boxes[40:80, 1] = shape[0] - rng.integers(1, 60, 40)
    boxes[100:120, 0] = shape[1] - 2
    strokes = strokes_of(boxes, np.ones(300), shape)
    expected = [n for n, box in enumerate(boxes.tolist()) if is_writing(box, HEIGHT, shape)]
    assert strokes.writing(HEIGHT).tolist() == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((50, 50, 54, 51), 0), ((50, 50, 55, 53), 1), ((50, 50, 52, 54), 0), ((50, 50, 52, 55), 1),  # specks below 4.4
        ((50, 50, 94, 55), 1), ((50, 50, 95, 55), 0), ((50, 50, 95, 56), 1),  # rules longer than 44 and lower than 6
        ((0, 50, 2, 60), 0), ((0, 50, 3, 60), 1), ((50, 0, 60, 2), 0), ((158, 50, 160, 60), 0), ((50, 118, 60, 120), 0),
        ((50, 50, 60, 109), 1), ((50, 50, 60, 110), 0), ((10, 50, 12, 60), 1),  # strokes lower than 60
    ],
)  # fmt: skip
def test_limits_of_writing(box, expected):
    assert len(strokes_of([box], [9], (120, 160)).writing(HEIGHT)) == expected


@pytest.mark.parametrize("seed", range(4))
def test_the_typical_height_is_the_median_by_area(seed):
    rng = np.random.default_rng(seed)
    boxes, areas = random_boxes(rng, 25), rng.integers(1, 500, 25)
    areas = np.minimum(areas, 0.7 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).astype(int)  # no blocks
    members = rng.choice(25, 12, replace=False)
    heights = [int(boxes[n, 3] - boxes[n, 1]) for n in members]
    assert strokes_of(boxes, areas).typical_height(members) == median_by_area(heights, areas[members].tolist())


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], 30),
        ([((100, 100, 110, 160), 11)], 30),  # a speck's area
        ([((100, 100, 110, 105), 900)], 30),  # too low
        ([((100, 100, 140, 106), 160)], 6),
        ([((100, 100, 220, 110), 900)], 30),  # a rule: 12 times as wide as high
        ([((100, 100, 219, 110), 800)], 10),
        ([((1, 1, 599, 399), 59_999)], 30),  # a frame
        ([((1, 1, 599, 399), 60_000)], 398),  # too much ink for a frame
        ([((1, 1, 481, 399), 5000)], 398),  # not wide enough for one
        ([((1, 1, 599, 321), 5000)], 320),
        ([((0, 100, 90, 301), 5000)], 30),  # a shadow at the border
        ([((0, 100, 90, 300), 5000)], 200),
        ([((1, 100, 90, 301), 5000)], 201),
        ([((0, 100, 20, 181), 900)], 30),  # a dark corner: more than 4 times as long as wide
        ([((0, 100, 20, 180), 900)], 80),
        ([((100, 100, 110, 221), 900)], 30),  # a vertical rule: more than 12 times as high as wide
        ([((100, 100, 110, 220), 800)], 120),
    ],
)
def test_the_height_of_the_writing_ignores_non_writing(others, expected):
    boxes, areas = zip(((300, 200, 320, 230), 100), *others, strict=True)
    assert strokes_of(boxes, areas).writing_height == expected


def test_a_frame_or_a_shadow_alone_counts_as_writing_and_specks_do_not():
    assert strokes_of([(1, 1, 599, 399)], [5000]).writing_height == 398
    assert strokes_of([(0, 100, 90, 301)], [5000]).writing_height == 201
    assert strokes_of([(1, 1, 9, 9)], [11]).writing_height == 0
    assert strokes_of([(1, 1, 9, 9)], [12]).writing_height == 8
    assert strokes_of([], []).writing_height == 0


def test_the_extent_is_that_of_all_strokes_except_specks():
    boxes = [(10, 20, 30, 50), (100, 5, 140, 30), (0, 0, 590, 390)]
    assert strokes_of(boxes, [12, 50, 11]).extent == (130, 45)
    assert strokes_of(boxes[2:], [11]).extent == (1, 1)


# Lines


def has_bar(upper, lower, height):
    """Whether the upper of two boxes is a short bar, wider than tall, just above the lower one."""
    width, other_width = upper[2] - upper[0], lower[2] - lower[0]
    across = min(upper[2], lower[2]) - max(upper[0], lower[0])
    is_bar = width < 1.2 * height and upper[3] - upper[1] < min(width, 0.35 * height)
    gap = max(upper[1], lower[1]) - min(upper[3], lower[3])
    return is_bar and across > min(width, other_width) / 2 and gap < 0.2 * height


def lines_by_loops(boxes, height):
    """The lines of boxes: sets of linked boxes, in rows from the top, each row from the left."""
    order = sorted(range(len(boxes)), key=lambda n: boxes[n][0] + boxes[n][2])
    group = {n: {n} for n in order}
    for place, n in enumerate(order):
        _, top, right, bottom = boxes[n]
        beside, bars = [], []
        for m in order[place + 1 :]:
            other_left, other_top, other_right, other_bottom = boxes[m]
            if (other_left + other_right) / 2 >= right + 10 * height:
                break
            shared = min(bottom, other_bottom) - max(top, other_top)
            lower = min(bottom - top, other_bottom - other_top)
            if shared > 0.4 * lower and other_left - right < 4 * height:
                beside.append(m)
            if has_bar(*sorted([boxes[n], boxes[m]], key=lambda box: box[1]), height):
                bars.append(m)
        tall = [place for place, m in enumerate(beside) if boxes[m][3] - boxes[m][1] >= 0.6 * height]
        nearest = beside[: tall[0] + 1] if tall else beside  # with the marks before it
        for m in beside + bars:
            if m in bars or m in nearest or boxes[m][0] - right < 0.6 * height:
                joined = group[n] | group[m]
                group |= dict.fromkeys(joined, joined)
    lines = {tuple(n for n in order if n in each) for each in group.values()}
    middle = {line: float(np.median([boxes[n][1] + boxes[n][3] for n in line])) / 2 for line in lines}
    start = {line: min(boxes[n][0] for n in line) for line in lines}
    stop = {line: max(boxes[n][2] for n in line) for line in lines}
    rows = []
    for line in sorted(lines, key=start.get):
        near = [row for row in rows if abs(middle[row[-1]] - middle[line]) < 0.5 * height]
        if near:
            max(near, key=lambda row: stop[row[-1]]).append(line)
        else:
            rows.append([line])
    level = {line: np.mean([middle[each] for each in row]) for row in rows for line in row}
    return [list(line) for line in sorted(lines, key=lambda line: (level[line], start[line]))]


@pytest.mark.parametrize(("seed", "n"), [(0, 30), (1, 30), (2, 60), (3, 60), (4, 100), (5, 15), (6, 8), (7, 200)])
def test_lines_are_those_of_loops(seed, n):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, n, (300, 900), 30)
    members = rng.permutation(2 * n)[:n]
    everything = np.zeros((2 * n, 4), np.int64)
    everything[members] = boxes
    found = grouping.grouped(SimpleNamespace(boxes=everything), members, 15.0)
    assert [each.tolist() for each in found] == [members[each].tolist() for each in lines_by_loops(boxes.tolist(), 15)]


# Segments


@pytest.mark.parametrize(("seed", "n"), [(0, 40), (1, 12), (2, 1)])
def test_segments_are_all_short_runs_of_pieces(seed, n):
    boxes = row_of_pieces(np.random.default_rng(seed), n)
    boxes[n // 2 : n // 2 + 20, [0, 2]] = boxes[n // 2, [0, 2]]  # so many above each other that their number matters
    spans = segments._joined(pieces_with(boxes))
    pairs = zip(spans.starts.tolist(), spans.stops.tolist(), strict=True)
    found = dict(zip(pairs, spans.boxes.tolist(), strict=True))
    expected = {}
    for start, stop in itertools.combinations(range(n + 1), 2):
        part = boxes[start:stop]
        union = [*part[:, :2].min(axis=0).tolist(), *part[:, 2:].max(axis=0).tolist()]
        if stop - start == 1 or (stop - start <= 14 and union[2] - union[0] <= 1.5 * LINE_HEIGHT):
            expected[start, stop] = union
    assert found == expected


def features_by_loops(boxes, cuts, start, stop, probabilities):
    """The features of the segment of the pieces from `start` to `stop`, by name."""
    part, h = boxes[start:stop], LINE_HEIGHT
    left, top, right, bottom = *part[:, :2].min(axis=0), *part[:, 2:].max(axis=0)
    gaps = [part[n, 0] - part[:n, 2].max() for n in range(1, len(part))]
    overlap = boxes[:stop, 2].max() - boxes[stop:, 0].min() if stop < len(boxes) else 0
    second, best = np.sort(np.log(np.maximum(probabilities, 1e-6)))[-2:]
    score = float(digit_score(probabilities[np.newaxis])[0])
    return {
        "bias": 1,
        "lack_of_size": max(0, 0.8 - max(bottom - top, right - left) / h),
        "excess_width": max(0, (right - left) / h - 1),
        "area": min((bottom - top) / h, 1.5) * min((right - left) / h, 1.5),
        "gap": max(0, *gaps, 0) / h,
        "overlap": max(0, overlap) / h,
        "cut": cuts[stop],
        "ends_at_seam": cuts[stop] > 0,
        "margin": min(5, best - second),
        "log_score": np.log(max(score, 1e-6)),
        "log_other_score": np.log(max(1 - score, 1e-6)),
    }


def middle_of(boxes):
    """The middle of a line: a regression over pieces higher than 0.6 heights, or their median if they are few."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    large = boxes[:, 3] - boxes[:, 1] > 0.6 * LINE_HEIGHT
    if not large.any():
        return lambda _: np.median(y)
    if large.sum() < 6 or np.ptp(x[large]) < 4 * LINE_HEIGHT:
        return lambda _: np.median(y[large])
    slope = np.cov(x[large], y[large], bias=True)[0, 1] / np.var(x[large])
    return lambda place: y[large].mean() + slope * (place - x[large].mean())


@pytest.mark.parametrize(
    ("seed", "n", "slope"), [(0, 30, 0.1), (1, 12, 0), (2, 5, 0.2), (3, 1, 0), (4, 3, 0), (5, 60, -0.05), (6, 9, 0.3)]
)
def test_features_are_those_of_loops(seed, n, slope):
    rng = np.random.default_rng(seed)
    boxes, cuts = row_of_pieces(rng, n, slope), np.maximum(0, rng.normal(0, 1, n + 1))
    if seed == 4:
        boxes[:, 3] = boxes[:, 1] + 12  # no piece is large
    spans = segments._joined(pieces_with(boxes, cuts))
    starts, stops = spans.starts, spans.stops
    probabilities = rng.dirichlet(np.full(10, 0.2), len(starts))
    probabilities[0] = np.eye(10)[3]
    signs = np.full(len(starts), "")
    found = features.features_of(spans, signs, probabilities)
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        expected = features_by_loops(boxes, cuts, start, stop, probabilities[k])
        for name, value in expected.items():
            assert getattr(found, name)[k] == pytest.approx(value, abs=1e-9), (name, start, stop)
    places = np.linspace(0, boxes[:, 2].max(), 5)
    expected = [middle_of(boxes)(place) / LINE_HEIGHT for place in places]
    np.testing.assert_allclose(spans.pieces.middle(places / LINE_HEIGHT), expected)


def test_the_coefficients_have_not_changed():
    """A checksum."""
    assert LEARNED.label == 1.14
    assert sum(LEARNED.as_digit.values()) == pytest.approx(-25.66)
    assert sum(LEARNED.as_other.values()) == pytest.approx(-12.07)
