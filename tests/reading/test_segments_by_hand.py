"""Segments, their features and the weights of their graph, against values computed by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_ink import line_of

from lenet import _mnist_form
from lenet.errors import InputError
from lenet.reading import features, pieces, segments, signs
from lenet.reading.features import Features
from lenet.reading.graph import Coefficients, Graph, graph_of, joined
from lenet.reading.lines import InkLine
from lenet.reading.page import Page
from lenet.reading.paths import best_path, log_sum_of
from lenet.reading.pieces import Pieces, Spans, legible_strokes, pieces_of
from lenet.reading.strokes import Strokes

pytest.importorskip("cv2")


class Known:
    """A model that returns given probabilities, and keeps the images."""

    classes = ("0", "1")

    def __init__(self, probabilities):
        self.probabilities, self.images, self.jobs = np.array(probabilities, np.float32), [], []

    def predict_proba(self, images, *, n_jobs=None):
        self.images.append(images)
        self.jobs.append(n_jobs)
        done = sum(map(len, self.images))
        return self.probabilities[done - len(images) : done]


def pieces_in(boxes, height=10.0, cuts=None):
    boxes = np.array(boxes, np.int64)
    cuts = np.zeros(len(boxes) + 1) if cuts is None else np.array(cuts)
    line = SimpleNamespace(height=height, short_strokes=np.zeros((0, 4), np.int64))
    return Pieces(line, None, boxes, None, cuts)


def one_by_one(pieces):
    """The segments of one piece each."""
    starts = np.arange(len(pieces.boxes))
    return Spans(pieces, starts, starts + 1, pieces.boxes)


# Legible strokes


@pytest.mark.parametrize(
    ("size", "is_usual"),
    [
        ((80, 70), True), ((80, 69), False), ((80, 115), True), ((80, 116), False),
        ((66, 80), True), ((65, 80), False), ((100, 80), True), ((101, 80), False),
    ],
)  # fmt: skip
def test_the_usual_size_of_a_digit(size, is_usual):
    """Heights of 0.7 to 1.15, and widths of more than 0.65, to 1, of a line 100 pixels high."""
    boxes = np.array([(0, 0, 80, 80), (10, 20, 10 + size[0], 20 + size[1])])
    strokes = Strokes(np.zeros((200, 200), np.uint16), boxes, np.array([99, 99]))
    line = SimpleNamespace(page=SimpleNamespace(strokes=strokes), members=np.array([1, 0]), height=100.0)
    assert pieces._have_usual_size(line).tolist() == [is_usual, True]


def test_strokes_with_a_digit_score_of_087_are_legible(monkeypatch):
    lines = [line_of((10, 10, 40, 50), (60, 10, 65, 50), (90, 10, 120, 50)), line_of((30, 10, 60, 48))]
    model = Known(np.zeros((3, 10)))
    monkeypatch.setattr(pieces, "digit_score", lambda _: np.array([0.87, 0.86, 0.88]))
    assert [found.tolist() for found in legible_strokes(model, lines, n_jobs=1)] == [[True, False, False], [True]]
    assert (len(model.images), model.images[0].shape, model.jobs) == (1, (3, 28, 28), [1])


def test_the_image_of_a_stroke_has_its_faint_edges_and_no_other_strokes():
    ink = np.zeros((60, 80), np.uint8)
    ink[10:50, 10:14] = ink[10:14, 10:40] = 255
    ink[20:46, 14] = ink[14, 16:36] = 40  # edges
    ink[25:35, 15] = ink[15, 20:30] = 30  # two pixels from the stroke
    expected = np.where(ink == 30, 0, ink)[10:50, 10:40]
    ink[20:40, 18:30] = 200  # another stroke, in the box of the first one
    line = InkLine(Page(ink, ink.shape), np.arange(2))
    np.testing.assert_array_equal(pieces._image(line, 0), _mnist_form.mnist_form(expected.copy()))
    np.testing.assert_array_equal(pieces._image(line, 1), _mnist_form.mnist_form(ink[20:40, 18:30].copy()))


# Segments


@pytest.mark.parametrize(("last", "is_joined"), [(15, True), (16, False)])
def test_segments_of_several_pieces_are_at_most_15_heights_wide(last, is_joined):
    """Two pieces, 10 pixels high, are a segment of 15 pixels at most, but one may be wider."""
    joined = segments._joined(pieces_in([(0, 2, 2, 9), (last - 2, 0, last, 5)]))
    found = list(zip(joined.starts.tolist(), joined.stops.tolist(), joined.boxes.tolist(), strict=True))
    expected = [(0, 1, [0, 2, 2, 9]), (0, 2, [0, 0, last, 9]), (1, 2, [last - 2, 0, last, 5])]
    assert found == [each for each in expected if is_joined or each[:2] != (0, 2)]
    alone = segments._joined(pieces_in([(3, 4, 90, 8)]))
    assert (alone.starts.tolist(), alone.stops.tolist(), alone.boxes.tolist()) == ([0], [1], [[3, 4, 90, 8]])


def test_segments_of_lines_are_classified_at_once():
    lines = [pieces_of(line_of((10, 10, 20, 50), (30, 12, 42, 50))), pieces_of(line_of((40, 5, 50, 45)))]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), 4)
    model = Known(probabilities)
    model.classes = tuple("0123456789")
    first, second = segments.segments_of(model, lines, n_jobs=3)
    assert model.jobs == [3]
    assert (first.starts.tolist(), first.stops.tolist()) == ([0, 0, 1], [1, 2, 2])
    assert first.boxes.tolist() == [[2, 2, 12, 42], [2, 2, 34, 42], [22, 4, 34, 42]]
    np.testing.assert_allclose(first.probabilities, probabilities[:3], rtol=1e-6)
    np.testing.assert_allclose(second.probabilities, probabilities[3:], rtol=1e-6)
    assert first.probabilities.dtype == np.float64
    ink = lines[0].line.ink
    assert ink.shape == (44, 36)
    for image, (left, top, right, bottom) in zip(first.images, first.boxes.tolist(), strict=True):
        np.testing.assert_array_equal(image, _mnist_form.mnist_form(ink[top:bottom, left:right].copy()))
    np.testing.assert_array_equal(second.images, model.images[0][3:])
    assert segments.segments_of(model, []) == []


@pytest.mark.parametrize("left", [16, 22])  # before and after the middle of the other stroke
def test_the_image_of_a_segment_has_the_ink_of_its_pieces_alone(left):
    """A stroke lies in the box of the other one."""
    outer, inner = np.zeros((2, 60, 80), np.uint8)
    outer[10:50, 10:14] = outer[46:50, 10:40] = 255
    inner[20:40, left : left + 8] = 200
    pieces = pieces_of(InkLine(Page(outer + inner, outer.shape), np.arange(2)), np.ones(2, bool))
    [found] = segments.segments_of(Known(np.full((3, 10), 0.1)), [pieces])
    whole, part = np.s_[10:50, 10:40], np.s_[20:40, left : left + 8]
    alone = [outer[whole], inner[part]]
    expected = [alone[left < 20], (outer + inner)[whole], alone[left > 20]]
    for image, ink in zip(found.images, expected, strict=True):
        np.testing.assert_array_equal(image, _mnist_form.mnist_form(ink.copy()))


@pytest.mark.parametrize(("limit", "valid"), [(3, True), (2, False)])
def test_more_segments_than_the_limit_are_refused(limit, valid):
    pieces = pieces_of(line_of((10, 10, 20, 50), (30, 12, 42, 50)))
    model = Known(np.full((3, 10), 0.1))
    if valid:
        assert len(segments.segments_of(model, [pieces], max_segments=limit)[0].starts) == 3
    else:
        with pytest.raises(InputError, match="3 shapes that may be digits; expected at most 2"):
            segments.segments_of(model, [pieces], max_segments=limit)


def test_at_most_15_000_segments_are_classified():
    """Of 1,077 pieces above each other, 14,987 segments have 1 to 14."""
    lines = [pieces_in([(0, 0, 9, 9)] * count) for count in (1077, *[1] * 14)]
    with pytest.raises(InputError, match="15,001 shapes that may be digits; expected at most 15,000"):
        segments.segments_of(Known([]), lines)


# Features


def features_in(boxes, probabilities=(0.7, 0.3), cuts=None, sign=""):
    """The features of all segments of one piece."""
    pieces = pieces_in(boxes, 10.0, cuts)
    probabilities = np.tile(np.array(probabilities), (len(boxes), 1))
    return features.features_of(one_by_one(pieces), np.full(len(boxes), sign), probabilities)


def test_the_sizes_of_segments_in_heights():
    found = features_in([(0, 0, 6, 7), (20, 0, 31, 12), (40, 0, 60, 20), (70, 0, 72, 9)])
    np.testing.assert_allclose(found.lack_of_size, [0.1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.excess_width, [0, 0.1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found.area, [0.42, 1.32, 2.25, 0.18])
    assert found.bias.tolist() == [1] * 4


def test_impossible_labels_and_scores_have_the_lowest_logarithms():
    found = features_in([(0, 0, 5, 9)], probabilities=(0.5, 0.5))
    assert found.log_score[0] == pytest.approx(np.log(1e-6))
    assert (found.margin[0], found.log_other_score[0]) == (0, 0)
    found = features_in([(0, 0, 5, 9)], probabilities=(0.0, 1.0))
    assert (found.margin[0], found.log_score[0]) == (5, 0)
    assert found.log_other_score[0] == pytest.approx(np.log(1e-6))


def test_a_sign_has_the_lowest_digit_score_unless_it_touches_another_character():
    boxes = [(0, 0, 5, 9), (10, 0, 15, 9), (15, 0, 20, 9), (30, 0, 35, 9)]
    found = features_in(boxes, (0.0, 1.0), cuts=[0, 0, 0.5, 0, 0], sign="+")
    assert found.signs.tolist() == ["+", "", "", "+"]
    assert found.log_score.tolist() == pytest.approx([np.log(1e-6), 0, 0, np.log(1e-6)])
    again = found.with_probabilities(np.tile([1.0, 0.0], (4, 1)))
    assert again.log_other_score.tolist() == pytest.approx([0, np.log(1e-6), np.log(1e-6), 0])


@pytest.mark.parametrize(
    ("probability", "classes", "sign"),
    [(0.11, "01", ","), (0.01, "01", ","), (0.89, "01", ","), (0.91, "01", ""), (0.11, "0x", ""), (0.01, "10", "")],
)
def test_long_commas_are_uncertain_or_ones_unless_a_class_is_a_letter(monkeypatch, probability, classes, sign):
    """`probability` is that of the first class."""
    monkeypatch.setattr(signs, "crosses_of", lambda images: np.full(len(images), ""))
    line = line_of((9, 9, 21, 29), (30, 20, 35, 34), (42, 9, 54, 29))
    model = Known([[probability, 1 - probability]] * 6)
    model.classes = tuple(classes)
    (found,) = segments.segments_of(model, [pieces_of(line, np.array([True] * 3))])
    is_comma = (found.starts == 1) & (found.stops == 2)
    assert found.features.signs[is_comma] == [sign]
    assert (found.features.signs[~is_comma] == "").all()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((120, 46, 164, 130), True),  # 0.44 wide and 0.84 high; begins 0.04 heights above the middle
        ((120, 46, 165, 130), False),
        ((120, 46, 164, 131), False),
        ((120, 45, 164, 129), False),
        ((120, 71, 130, 111), True),  # ends 0.61 heights below the middle
        ((120, 69, 130, 110), False),
        ((120, 72, 130, 111), False),  # as short as a point or a usual comma
    ],
)
def test_the_size_and_place_of_long_commas(box, expected):
    """The digits are 100 pixels high."""
    boxes = [(0, 0, 60, 100), box, (200, 0, 260, 100)]
    found = signs.may_be_commas(one_by_one(pieces_in(boxes, 100.0)))
    assert found.tolist() == [False, expected, False]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((120, 4, 165, 49), True),  # 0.45 wide and high, and above the middle
        ((120, 5, 165, 50), False),
        ((120, 4, 166, 49), False),
        ((120, 3, 165, 49), False),
        ((120, 4, 160, 49), True),
        ((120, 4, 157, 49), False),  # as narrow as a raised 0
    ],
)
def test_the_size_and_place_of_degree_signs(box, expected):
    """The digits are 100 pixels high."""
    found = signs.may_be_degrees(one_by_one(pieces_in([(0, 0, 60, 100), box, (200, 0, 260, 100)], 100.0)))
    assert found.tolist() == [False, expected, False]
    assert not signs.may_be_degrees(one_by_one(pieces_in([box, (200, 0, 260, 100)], 100.0))).any()  # nothing before it


@pytest.mark.parametrize(("top", "bottom", "expected"), [(192, 247, True), (170, 250, False)])
def test_a_long_comma_in_a_sloping_line(top, bottom, expected):
    """Eight digits fall by 30 pixels each: at the comma, their middle is at row 183.5, but its median is at row 155."""
    boxes = [(100 * n, 30 * n, 100 * n + 60, 30 * n + 100) for n in range(8)]
    boxes = [*boxes[:5], (470, top, 480, bottom), *boxes[5:]]
    found = signs.may_be_commas(one_by_one(pieces_in(boxes, 100.0)))
    assert np.flatnonzero(found).tolist() == [5] * expected


@pytest.mark.parametrize(
    ("boxes", "short", "expected"),
    [
        ([(0, 0, 60, 100), (70, 60, 90, 120)], [], False),  # at the end, as a subscript
        ([(0, 60, 20, 120), (30, 0, 90, 100)], [], False),
        ([(0, 0, 60, 100), (70, 60, 90, 120)], [(110, 45, 140, 55)], True),  # before a dash
    ],
)
def test_a_long_comma_is_not_at_an_end(boxes, short, expected):
    pieces = pieces_in(boxes, 100.0)
    pieces.line.short_strokes = np.array(short, np.int64).reshape(-1, 4)
    assert signs.may_be_commas(one_by_one(pieces)).any() == expected


@pytest.mark.parametrize(
    ("box", "before", "expected"),
    [
        ((120, 0, 164, 105), 100, True), ((120, 0, 164, 104), 90, False),  # 1.05 heights of the writing
        ((120, -5, 164, 105), 104, True), ((120, -5, 164, 105), 105, False),  # and of the stroke before it
        ((120, 20, 164, 130), 100, True), ((120, 21, 164, 131), 100, False),  # 0.25 heights below the middle
    ],
)  # fmt: skip
def test_the_size_and_place_of_slashes(box, before, expected):
    """The writing is 100 pixels high, and the last stroke but one is cut into two pieces."""
    last = (270, 0, 300, 120)
    boxes = np.array(
        [(0, 0, 60, before), box, (200, 0, 260, 100), (270, 60, 290, 120), (280, 0, 300, 60), (310, 0, 370, 99)]
    )
    pieces = pieces_in(boxes, 100.0)
    pieces = replace(pieces, strokes=np.array([*boxes[:3], last, last, boxes[5]]))
    starts, stops = np.array([0, 1, 2, 3, 3, 4, 4, 5]), np.array([1, 2, 3, 4, 5, 5, 6, 6])
    segments = np.array([*boxes[:4], last, boxes[4], (280, 0, 370, 120), boxes[5]])
    found = signs.may_be_slashes(Spans(pieces, starts, stops, segments))
    assert found.tolist() == [False, expected, False, False, True, False, False, False]
    alone = replace(pieces_in(boxes[1:2], 100.0), strokes=boxes[1:2])
    assert not signs.may_be_slashes(one_by_one(alone)).any()


def slanted(columns, width=2, bend=0):
    """A stroke of 20 rows, whose top is some columns to the right of its bottom."""
    image = np.zeros((1, 28, 28), np.uint8)
    for row in range(20):
        left = round(13 + columns * (0.5 - row / 19) + bend * np.sin(np.pi * row / 19))
        image[0, 4 + row, left : left + width] = 255
    return image


@pytest.mark.parametrize(
    ("columns", "width", "bend", "expected"),
    [(9, 2, 0, True), (5, 2, 0, True), (2, 2, 0, False), (-9, 2, 0, False), (9, 6, 0, False), (9, 2, 5, False)],
)
def test_slashes_are_thin_straight_and_lean_to_the_right(columns, width, bend, expected):
    """The slant is 0.26 or 0.1 columns per row for 5 or 2 columns; at least 0.15 is a slash."""
    assert signs.are_slanted_lines(slanted(columns, width, bend)).tolist() == [expected]


@pytest.mark.parametrize(("probability", "classes", "sign"), [(0.89, "01", "+"), (0.91, "01", ""), (0.89, "0x", "")])
def test_certain_digits_and_models_of_letters_have_no_signs(monkeypatch, probability, classes, sign):
    monkeypatch.setattr(signs, "crosses_of", lambda images: np.full(len(images), "+"))
    line, model = line_of((9, 9, 21, 29)), Known([[probability, 1 - probability]])
    model.classes = tuple(classes)
    (found,) = segments.segments_of(model, [pieces_of(line, np.array([True]))])
    assert found.features.signs.tolist() == [sign]


def test_the_logarithms_of_probabilities_are_at_least_that_of_a_millionth():
    names = Features.__dataclass_fields__
    empty = Features(**dict.fromkeys(names, np.zeros(1)) | {"signs": np.array([""])})
    found = segments.Segments(None, *[np.zeros(1)] * 3, np.zeros(1), np.array([[0.0, 1e-7, 0.25, 1.0]]), empty)
    np.testing.assert_allclose(found.log_probabilities, [[np.log(1e-6), np.log(1e-6), np.log(0.25), 0]])
    other = found.with_probabilities(np.array([[0.0, 0.25, 0.5, 0.25]]))
    assert other.probabilities.tolist() == [[0.0, 0.25, 0.5, 0.25]]
    assert other.features.margin[0] == pytest.approx(np.log(2))
    assert other.starts is found.starts


def test_features_are_columns():
    found = features_in([(0, 0, 20, 15), (30, 0, 35, 5)], cuts=[0, 0.25, 0])
    np.testing.assert_array_equal(found.columns(["cut", "bias", "excess_width"]), [[0.25, 1, 1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("count", "step", "height", "is_sloping"),
    [
        (6, 80, 62, True),  # over four heights
        (5, 100, 62, False),
        (6, 75, 62, False),  # over 3.75
        (6, 80, 59, False),  # lower than 0.6
    ],
)
def test_a_line_slopes_if_six_high_pieces_extend_over_four_heights(count, step, height, is_sloping):
    boxes = [(n * step, n * step // 5, n * step + 10, n * step // 5 + height) for n in range(count)]
    middle = pieces_in(boxes, 100.0).middle
    places = np.array([0.0, 2.0])
    first = (height / 2) / 100 - 0.01  # 0.05 heights before the middle of the first piece
    expected = (
        first + places / 5 if is_sloping else [np.median([n * step // 5 + height / 2 for n in range(count)]) / 100] * 2
    )
    np.testing.assert_allclose(middle(places), expected)


def test_low_pieces_do_not_change_the_middle_of_a_line():
    boxes = [(0, 0, 10, 70), (50, 10, 60, 90), (100, 0, 110, 60), (150, 80, 160, 110), (160, 80, 170, 100)]
    assert pieces_in(boxes, 100.0).middle(0) == pytest.approx((0.35 + 0.5) / 2)
    assert pieces_in(boxes[2:], 100.0).middle(0) == pytest.approx(0.9)


# Graphs


def test_the_weights_of_an_arc_are_linear_in_its_features():
    found = features_in([(0, 0, 20, 15), (30, 0, 35, 5)], cuts=[0, 0.25, 0])  # the areas are 1.5 * 1.5 and 0.5 * 0.5
    arcs = segments.Segments(
        None,
        np.array([0, 1]),
        np.array([1, 2]),
        np.zeros((2, 4)),
        np.zeros((2, 1)),
        np.array([[0.7, 0.3], [0.2, 0.8]]),
        found,
    )
    coefficients = Coefficients(2.0, {"cut": 3.0, "area": -4.0}, {"bias": -1.5, "area": 0.25})
    graph = graph_of(arcs, coefficients)
    expected = 2 * np.log(arcs.probabilities) + [[3 * 0.25 - 4 * 2.25], [-4 * 0.25]]
    np.testing.assert_allclose(graph.digits, expected)
    np.testing.assert_allclose(graph.other, [-1.5 + 0.25 * 2.25, -1.5 + 0.25 * 0.25])
    assert (graph.starts is arcs.starts, graph.stops is arcs.stops) == (True, True)


def graph_of_arcs(*arcs):
    """A graph of arcs (start, stop, weights of two digits, weight of a non-digit)."""
    starts, stops, digits, other = zip(*arcs, strict=True)
    with np.errstate(divide="ignore"):
        return Graph(np.array(starts), np.array(stops), np.log(digits), np.log(other))


def test_graphs_are_joined_at_their_ends():
    first = graph_of_arcs((0, 1, (0.5, 0.1), 0.2), (1, 2, (0.3, 0.4), 0.1), (0, 2, (0.2, 0.1), 0.3))
    second = graph_of_arcs((0, 1, (0.6, 0.2), 0.1))
    found = joined([first, second, first])
    assert found.starts.tolist() == [0, 1, 0, 2, 3, 4, 3]
    assert found.stops.tolist() == [1, 2, 2, 3, 4, 5, 5]
    assert found.end == 5
    np.testing.assert_allclose(np.exp(found.digits[3:5]), [[0.6, 0.2], [0.5, 0.1]])
    np.testing.assert_allclose(np.exp(found.other), [0.2, 0.1, 0.3, 0.1, 0.2, 0.1, 0.3])
    np.testing.assert_allclose(np.exp(found.total), [0.8, 0.8, 0.6, 0.9, 0.8, 0.8, 0.6])


def test_an_arc_that_must_be_a_digit_is_one_on_the_path_and_its_probabilities_stay():
    graph = graph_of_arcs((0, 1, (0.2, 0.1), 0.7), (1, 2, (0.1, 0.5), 0.4))
    free, forced = best_path(graph), best_path(graph, np.array([True, False]))
    assert (free.labels, forced.labels) == ([None, 1], [0, 1])
    np.testing.assert_allclose(free.probabilities, [[0.2, 0.1, 0.7], [0.1, 0.5, 0.4]])
    np.testing.assert_array_equal(forced.probabilities, free.probabilities)
    assert free.confidence == pytest.approx(0.7 * 0.5 + 0.1 * 0.4)  # a non-digit may be either of two
    assert forced.confidence == pytest.approx(0.2 * 0.5)


def test_a_non_digit_is_preferred_to_a_digit_of_equal_weight():
    graph = graph_of_arcs((0, 1, (0.25, 0.5), 0.5))
    assert best_path(graph).labels == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [([], 0.2 * 0.1 + 0.3), ([0], 0.5 * 0.1 + 0.2 * 0.3 + 0.2), ([1], 0.1 * 0.1 + 0.2 * 0.4 + 0.1), ([0, 1], 0.2)],
)
def test_the_weight_of_a_text_is_the_sum_of_all_its_readings(text, expected):
    graph = graph_of_arcs((0, 1, (0.5, 0.1), 0.2), (1, 2, (0.3, 0.4), 0.1), (0, 2, (0.2, 0.1), 0.3))
    assert np.exp(log_sum_of(text, graph)) == pytest.approx(expected)
    assert log_sum_of([0, 0, 0], graph) == -np.inf
