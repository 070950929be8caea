"""Seams, valleys and pieces of small strokes, against results and limits computed by hand."""

import itertools

import numpy as np
import pytest
from drawn_ink import line_of

from lenet.errors import InputError
from lenet.reading import pieces, seams
from lenet.reading.lines import InkLine
from lenet.reading.page import Page

pytest.importorskip("cv2")

# Seams


@pytest.mark.parametrize(
    ("seams_in_rows", "costs", "kept"),
    [
        ([(2, 2), (4, 4), (7, 7)], [1, 2, 3], [0, 2]),  # the ink between the first two is the minimum
        ([(2, 2), (4, 4), (7, 7)], [2, 1, 3], [1, 2]),
        ([(2, 2), (4, 5), (7, 7)], [1, 2, 3], [0, 1, 2]),
        ([(7, 7), (4, 5), (2, 2)], [1, 2, 3], [2, 1, 0]),
        ([(7, 7), (4, 5), (2, 2)], [2, 3, 1], [2, 1, 0]),
        ([(3, 3), (2, 9)], [1, 2], [0]),  # they cross
        ([(3, 3), (2, 9)], [2, 1], [1]),
        ([(3, 3), (3, 9)], [1, 2], [0, 1]),  # they meet
        ([(3, 3), (3, 9)], [2, 1], [0, 1]),
        ([(2, 2), (8, 8), (5, 5), (5, 6)], [1, 2, 3, 3], [0, 2, 1]),  # of equal costs, the first
    ],
)
def test_the_cheapest_seams_with_more_than_the_minimum_of_ink_between_them_are_kept(seams_in_rows, costs, kept):
    """Each pixel has half a stroke width of ink, and two stroke widths are the minimum."""
    crossed = np.full((2, 12), 0.5)
    columns = np.array(seams_in_rows).T
    assert seams._apart(columns, np.array(costs, float), crossed, 2.0).tolist() == kept


@pytest.mark.parametrize(("columns", "kept"), [((5, 6), [0, 1]), ((4, 5), [0]), ((6, 7), [0])])
def test_the_column_after_a_seam_is_to_its_right(columns, kept):
    crossed = np.zeros((2, 12))
    crossed[:, 5] = 2
    assert seams._apart(np.array([columns] * 2), np.array([1.0, 2.0]), crossed, 3.0).tolist() == kept


@pytest.mark.parametrize(("column", "is_found"), [(2, False), (3, True), (37, True), (38, False)])
def test_seams_are_more_than_a_tenth_of_the_height_from_the_edges_of_a_stroke(column, is_found):
    ink = np.full((20, 40), 255, np.uint8)
    ink[:, column] = 100
    [(columns, _)] = seams.seams([ink], 20.0)
    assert (columns == column).all(axis=1).any() == is_found


def test_the_cheapest_path_goes_straight_where_a_step_aside_saves_nothing():
    cost = np.array([[0.1, 0.5, 0.0, 0.3], [0, 0, 0, 0], [0, 0, 9, 0]])[:, np.newaxis]
    total, steps = seams._cheapest(cost)
    np.testing.assert_allclose(total[:, 0], [[0.1, 0.5, 0, 0.3], [0.1, 0.02, 0, 0.02], [0.04, 0.02, 9, 0.02]])
    assert steps[:, 0].tolist() == [[0, 0, 0, 0], [0, 1, 0, -1], [1, 0, 0, 0]]


def test_a_step_to_the_left_is_preferred_to_one_to_the_right():
    total, steps = seams._cheapest(np.array([[[0.1, 0.9, 0.1]], [[0, 0, 0]]]))
    np.testing.assert_allclose(total[1, 0], [0.1, 0.12, 0.1])
    assert steps[1, 0].tolist() == [0, -1, 0]


def test_no_strokes_have_no_seams():
    assert seams.seams([], 20.0) == []


# Valleys


def valleys_by_loops(outline, height):
    """The columns of the valleys of an outline, given by the row of each column's first ink."""
    half, near = (round(0.7 * height) | 1) // 2, round(0.12 * height)
    far = np.pad(outline, 3 * half + 3, "edge")
    lowest = [min(far[max(0, x - half) : x + half + 1]) for x in range(len(far))]
    opened = [max(lowest[max(0, x - half) : x + half + 1]) for x in range(len(far))]
    depth = (far - opened)[3 * half + 3 :][: len(outline)]
    return [
        x
        for x in range(len(outline))
        if depth[x] > 0.12 * height and depth[x] >= max(depth[max(0, x - near) :][: near + min(x, near) + 1])
    ]


def valley_seams_by_loops(ink, height):
    found = []
    rows = [np.flatnonzero(column >= 96) for column in ink.T]
    first, last = np.array([each[0] for each in rows]), np.array([each[-1] for each in rows])
    below = valleys_by_loops(len(ink) - 1 - last, height)
    for x in valleys_by_loops(first, height) if below else []:
        nearest = min(below, key=lambda each: abs(each - x))
        if abs(nearest - x) <= 0.25 * height:
            shares = [min(1, max(0, (y - first[x]) / max(1, last[nearest] - first[x]))) for y in range(len(ink))]
            found.append([round(x + share * (nearest - x)) for share in shares])
    return found


def stroke_between(first, last, height):
    y = np.arange(height)[:, np.newaxis]
    return np.where((y >= first) & (y <= last), 255, 0).astype(np.uint8)


def random_outline(rng, width, deepest):
    steps = np.repeat(rng.integers(0, deepest + 1, width), rng.integers(2, 9, width))[:width]
    return steps - steps.min()


@pytest.mark.parametrize(("seed", "height"), [(n, height) for n in range(3) for height in (24.0, 25.0, 50.0)])
def test_seams_between_valleys_are_those_of_loops(seed, height):
    """Depths of 3 pixels are 0.12 of 25, and distances of 6 pixels are 0.25 of 24."""
    rng = np.random.default_rng(seed)
    first = random_outline(rng, 150, round(0.4 * height))
    last = 30 - random_outline(rng, 150, round(0.4 * height))
    ink = stroke_between(first, np.maximum(first, last), 31)
    expected = valley_seams_by_loops(ink, height)
    assert expected
    assert seams.valley_seams(ink, height).T.tolist() == expected


@pytest.mark.parametrize(
    ("depth", "shift", "height", "count"),
    [(13, 0, 100.0, 1), (12, 0, 100.0, 0), (13, 25, 100.0, 1), (13, 26, 100.0, 0), (13, 25, 99.0, 0)],
)
def test_opposite_valleys_are_deeper_than_012_and_within_025_heights(depth, shift, height, count):
    first, last = np.zeros(200, int), np.full(200, 99)
    first[90], last[90 + shift] = depth, 99 - depth
    found = seams.valley_seams(stroke_between(first, last, 100), height)
    assert found.shape == (100, count)
    rows = np.arange(100)
    expected = np.rint(90 + np.clip((rows - depth) / (99 - 2 * depth), 0, 1) * shift)
    assert (found == expected[:, np.newaxis]).all()


@pytest.mark.parametrize(("width", "is_valley"), [(69, True), (72, False)])
def test_a_valley_is_narrower_than_07_heights(width, is_valley):
    first, last = np.zeros(300, int), np.full(300, 99)
    first[100 : 100 + width], last[100 : 100 + width] = 20, 79
    assert bool(seams.valley_seams(stroke_between(first, last, 100), 100.0).size) is is_valley


@pytest.mark.parametrize(("apart", "count"), [(12, 1), (13, 2)])
def test_of_valleys_within_012_heights_of_each_other_the_deepest_counts(apart, count):
    first, last = np.zeros(200, int), np.full(200, 99)
    first[80], first[80 + apart], last[90] = 20, 30, 60
    assert seams.valley_seams(stroke_between(first, last, 100), 100.0).shape == (100, count)


def test_a_seam_between_valleys_that_meet_steps_aside_at_once():
    first, last = np.zeros(60, int), np.full(60, 39)
    first[30], last[34] = 25, 22
    [seam] = seams.valley_seams(stroke_between(first, last, 40), 20.0).T
    assert seam.tolist() == [30] * 26 + [34] * 14


@pytest.mark.parametrize("rows", [np.s_[:10], np.s_[-10:]], ids=["above", "below"])
def test_a_valley_without_an_opposite_one_has_no_seam(rows):
    ink = np.full((40, 60), 255, np.uint8)
    ink[rows, 30] = 0
    found = seams.valley_seams(ink, 30.0)
    assert (found.shape, found.dtype) == ((40, 0), np.int64)


def test_a_seam_between_valleys_costs_at_most_one_stroke_width():
    ink = np.full((80, 120), 255, np.uint8)
    ink[:12, 60] = ink[-12:, 60] = 0
    [(columns, costs)] = seams.seams([ink], 60.0)
    straight = (columns == 60).all(axis=1)
    assert straight.sum() == 1
    assert costs[straight] == 1


# Pieces


def test_pieces_are_sorted_by_their_centres():
    """Strokes of 20 by 4 pixels, above others of 2 by 30."""
    line = line_of((10, 2, 30, 6), (18, 20, 20, 50), (60, 2, 80, 6), (72, 20, 74, 50))
    found = pieces.pieces_of(line, np.ones(4, bool))
    assert line.corner == (8, 0)
    assert found.boxes.tolist() == [[10, 20, 12, 50], [2, 2, 22, 6], [52, 2, 72, 6], [64, 20, 66, 50]]
    assert found.cuts.tolist() == [0] * 5
    for n, (left, top, right, bottom) in enumerate(found.boxes):
        assert (found.labels[top:bottom, left:right] == n + 1).all()
    assert np.count_nonzero(found.labels) == 2 * (80 + 60)


@pytest.mark.parametrize(("width", "cuts"), [(8, [0, 0.3, 0.7, 0]), (7, [0, 0.7, 0])])
def test_pieces_smaller_than_002_squares_of_the_height_join_the_next(monkeypatch, width, cuts):
    """A stroke has 80 pixels, of height 4, and a step; others are 40 pixels high, so that the minimum is 32 pixels."""
    line = line_of((100, 30, 142, 34), (142, 32, 180, 36), (10, 10, 20, 50), (30, 10, 40, 50))
    assert line.height == 40

    def cut(strokes, height):
        assert height == 40
        assert [(ink.shape, np.count_nonzero(ink)) for ink in strokes] == [((6, 80), 320)]
        return [(np.array([[width] * 6, [50] * 6]), np.array([0.3, 0.7]))]

    monkeypatch.setattr(pieces, "seams", cut)
    found = pieces.pieces_of(line)
    ends = [92, 92 + width, 142] if len(cuts) == 4 else [92, 142]
    assert found.boxes.tolist() == [
        [2, 2, 12, 42],
        [22, 2, 32, 42],
        *[[left, 22, right, 26 + 2 * (right == 142)] for left, right in itertools.pairwise(ends)],
        [142, 24, 172, 28],
    ]
    assert found.cuts.tolist() == [0, 0, *cuts]


def test_at_most_5000_pieces_are_read():
    ink = np.zeros((164, 248), np.uint8)
    ink[::2, ::4] = ink[::2, 1::4] = 255
    ink[0, :168] = 0
    page = Page(ink, ink.shape)
    members = np.arange(len(page.strokes.areas))
    assert len(members) == 82 * 62 - 42
    with pytest.raises(InputError, match=r"The picture has 5,001 pieces of strokes; expected at most 5,000"):
        pieces.pieces_of(InkLine(page, members[:5001]), np.ones(5001, bool))
    found = pieces.pieces_of(InkLine(page, members[:5000]), np.ones(5000, bool))
    assert found.boxes.shape == (5000, 4)
