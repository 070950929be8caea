"""The limits of reading, and the lines, fields and cells made of given segments, by construction."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet._mnist_form import mnist_form
from lenet.errors import InputError, InputTypeError
from lenet.reading import Field, forms, marks, prepare, read, read_form, reader, single_digit
from lenet.reading.ink import find_darkness, is_dark_on_light, normalised
from lenet.reading.lines import InkLine, find_lines
from lenet.reading.page import Page
from lenet.reading.results import Cell, Digit, Line
from lenet.reading.tables import filled, separated, turned

cv2 = pytest.importorskip("cv2")

# One digit


def with_digit():
    """Ink with a stroke of 40x25 pixels in the middle."""
    ink = np.zeros((100, 100), np.uint8)
    ink[30:70, 40:65] = 200
    return ink


@pytest.mark.parametrize(
    ("speck", "expected"),
    [
        ((10, 80, 4, 10), (60, 50)),  # 40 of 1,000 pixels
        ((10, 80, 3, 13), (40, 25)),  # 39
        ((0, 80, 5, 20), (70, 60)),  # 100 at the border
        ((0, 80, 4, 20), (40, 25)),  # 80
        ((0, 70, 12, 10), (70, 40)),  # 120 at the top
        ((40, 80, 30, 20), (40, 60)),  # 600 at the right, higher than wide
        ((40, 80, 29, 20), (40, 25)),  # 580
        ((40, 0, 29, 20), (40, 25)),  # at the left
        ((40, 80, 20, 20), (40, 60)),  # 400, as high as wide
    ],
)
def test_specks_below_4_10_or_60_percent_are_erased(speck, expected):
    ink = with_digit()
    top, left, height, width = speck
    ink[top : top + height, left : left + width] = 200
    assert single_digit._without_specks(ink).shape == expected


def test_the_soft_edges_of_a_digit_are_kept_for_two_pixels_and_the_box_ends_with_its_ink():
    ink = with_digit()
    ink[10:12, 80:82] = 200  # a speck
    ink[40:60, 50:55] = 0  # a hole, in which edges show
    ink[41:45, 51] = 50
    ink[49, 52] = ink[42, 52] = 60
    found = single_digit._without_specks(ink)
    assert found.shape == (40, 25)
    np.testing.assert_array_equal(found[:, :10], 200)
    assert found[11:15, 11].tolist() == [50] * 4  # two pixels from the edge at most
    assert found[[12, 19], 12].tolist() == [0, 0]  # three


@pytest.mark.parametrize(
    ("margin", "thick", "gap", "kept"),
    [
        (0, 2, 0, False), (20, 2, 0, False),
        (20, 2, 30, False), (20, 2, 31, True),  # along half of each side
        (20, 4, 0, False), (20, 5, 0, True),  # a quarter of its box is ink
    ],
)  # fmt: skip
def test_a_frame_runs_along_all_four_sides(margin, thick, gap, kept):
    ink = with_digit()
    outer, inner = slice(margin, 100 - margin), slice(margin + thick, 100 - margin - thick)
    frame = np.zeros_like(ink)
    frame[outer, outer] = 200
    frame[inner, inner] = 0
    frame[:50, 40 : 40 + gap] = 0  # a gap in the upper side
    found = single_digit._without_specks(np.maximum(ink, frame))
    assert (found.shape == (40, 25)) is not kept


@pytest.mark.parametrize(("height", "gap", "kept"), [(14, 0, True), (15, 0, False), (15, 30, False), (15, 31, True)])
def test_a_frame_is_around_a_stroke_of_a_quarter_of_its_height(height, gap, kept):
    """The frame is 60 pixels high, and its upper side has a gap; a lower stroke may be the dot in a 0."""
    ink = np.zeros((100, 100), np.uint8)
    ink[20:80, 20:80] = 200
    ink[22:78, 22:78] = 0
    ink[:50, 40 : 40 + gap] = 0
    ink[45 : 45 + height, 45:55] = 200
    assert (single_digit._without_specks(ink).shape == (60, 60)) is kept


@pytest.mark.parametrize(("height", "kept"), [(19, True), (22, False)])
def test_a_ring_around_a_high_stroke_is_removed(height, kept):
    """The ring is 82 pixels high; a quarter is 20.5."""
    ink = np.zeros((100, 100), np.uint8)
    cv2.circle(ink, (50, 50), 40, 200, 2)
    ink[35 : 35 + height, 45:55] = 200
    assert (single_digit._without_specks(ink).shape == (height, 10)) is not kept


@pytest.mark.parametrize(("width", "kept"), [(33, True), (36, False)])
def test_a_0_with_a_slash_that_does_not_touch_it_is_no_ring(width, kept):
    """The 0 is 85 pixels high; rings are at least 71 pixels wide."""
    ink = np.zeros((100, 100), np.uint8)
    cv2.ellipse(ink, (50, 50), (width, 41), 0, 0, 360, 200, 3)
    cv2.line(ink, (60, 30), (40, 70), 200, 3)
    assert (len(single_digit._without_specks(ink)) > 80) is kept


@pytest.mark.parametrize(
    ("shape", "size", "erased"),
    [
        ((100, 60), (90, 54), True), ((100, 60), (89, 54), False), ((100, 60), (90, 53), False),
        ((60, 100), (54, 90), True), ((60, 100), (53, 90), False), ((60, 100), (54, 89), False),
    ],
)  # fmt: skip
def test_a_frame_has_nine_tenths_of_the_height_and_width(shape, size, erased):
    ink = np.zeros(shape, np.uint8)
    ink[3 : 3 + size[0], 2 : 2 + size[1]] = 200
    ink[4 : 2 + size[0], 3 : 1 + size[1]] = 0
    ink[20:30, 20:35] = 200
    assert single_digit._without_specks(ink).shape == ((10, 15) if erased else size)


@pytest.mark.parametrize(("height", "erased"), [(15, True), (14, False)])
def test_a_smaller_frame_is_around_a_stroke_of_a_quarter_of_its_height(height, erased):
    ink = np.zeros((100, 100), np.uint8)
    ink[20:80, 20:80] = 200
    ink[21:79, 21:79] = 0
    ink[30 : 30 + height, 30:50] = 200
    assert single_digit._without_specks(ink).shape == ((height, 20) if erased else (60, 60))
    beside = np.zeros((100, 100), np.uint8)
    beside[20:80, 30:90] = ink[20:80, 20:80]
    beside[30:45, 40:60], beside[50:90, 5:25] = 0, 200  # a stroke, but not inside
    assert single_digit._without_specks(beside).shape == (70, 85)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(
    ("place", "length", "erased"),
    [(11, 90, True), (12, 90, False), (11, 89, False)],  # below the uppermost 12 pixels; shorter than nine tenths
)
def test_lines_in_the_strip_along_the_border_are_erased(turns, place, length, erased):
    ink = with_digit()
    ink[place, 3 : 3 + length] = 200
    found = single_digit._without_specks(np.rot90(ink, turns).copy())
    assert (sorted(found.shape) == [25, 40]) is erased


@pytest.mark.parametrize(("thick", "erased"), [(3, True), (4, False)])
def test_a_line_at_the_border_is_thinner_than_the_digit(thick, erased):
    """Of 40x5 pixels: 200 / 45 is 4.4, of which 0.8 is 3.6; 90 * 3 / 93 is 2.9, and 90 * 4 / 94 is 3.8."""
    ink = np.zeros((100, 100), np.uint8)
    ink[30:70, 48:53] = ink[5 : 5 + thick, 5:95] = 200
    assert (single_digit._without_specks(ink).shape == (40, 5)) is erased


def test_a_line_at_the_border_exceeds_the_digit_on_both_sides():
    """A digit may be cropped to its ink, and have a bar above, such as a 5."""
    for left, erased in ((4, True), (3, False)):
        ink = np.zeros((100, 100), np.uint8)
        ink[30:70, left:60] = ink[5, 3:97] = 200
        assert (single_digit._without_specks(ink).shape == (40, 60 - left)) is erased


@pytest.mark.parametrize(("missing", "erased"), [(0, False), (1, True)])
def test_a_frame_covers_less_than_a_quarter_of_its_box(missing, erased):
    """Sides of 5 pixels cover 1,500 of 60x100 pixels."""
    ink = np.zeros((140, 100), np.uint8)
    ink[20:120, 20:80] = 200
    ink[25:115, 25:75] = 0
    ink[25 - missing, 40] = 0
    ink[50:75, 40:55] = 200
    assert single_digit._without_specks(ink).shape == ((25, 15) if erased else (100, 60))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(("depth", "erased"), [(9, True), (10, False)])
def test_the_sides_of_a_frame_are_in_the_outer_tenths_of_its_box(turns, depth, erased):
    """The frame is 91 pixels high, and a tenth is rounded up."""
    ink = np.zeros((100, 95), np.uint8)
    ink[5 : 5 + depth + 1, 30] = ink[5 + depth, 4:90] = ink[95, 4:90] = 200  # its upper side is lower than its top
    ink[5 + depth : 96, [4, 89]] = 200
    ink[40:60, 40:55] = 200
    found = single_digit._without_specks(np.rot90(ink, turns).copy())
    assert (found.shape in ((20, 15), (15, 20))) is erased


def test_a_frame_around_16_pixels_is_a_digit():
    for side, expected in ((4, (100, 100)), (5, (5, 5))):
        ink = np.zeros((100, 100), np.uint8)
        ink[[0, 1, -2, -1]] = ink[:, [0, 1, -2, -1]] = 200
        ink[50 : 50 + side, 50 : 50 + side] = 200
        assert single_digit._without_specks(ink).shape == expected
        assert single_digit._without_specks(np.pad(ink, 2)).shape == expected


def test_the_paper_around_one_digit_is_estimated_in_a_small_picture():
    rng = np.random.default_rng(0)
    grey = (np.add.outer(np.arange(300) / 3, np.arange(200) / 4) + rng.integers(60, 100, (300, 200))).astype(np.uint8)
    grey[80:220, 90:110] //= 3
    inks = [normalised(find_darkness(grey, cropped=cropped)) for cropped in (True, False)]
    forms = [mnist_form(single_digit._without_specks(ink)) for ink in inks]
    assert not np.array_equal(*forms)
    np.testing.assert_array_equal(prepare(grey), forms[0])


@pytest.mark.parametrize(("dark", "unchanged"), [(55, True), (57, True), (56, False), (50, False)])
def test_an_image_of_28_pixels_with_a_dark_border_is_mnists(dark, unchanged):
    """The border has 112 pixels, as corners count twice."""
    image = np.full((28, 28), 63, np.uint8)
    image[5:20, 10:14] = 255
    border = [(0, x) for x in range(1, 27)] + [(27, x) for x in range(1, 27)] + [(y, 0) for y in range(1, 27)]
    for place in border[: 112 - dark]:
        image[place] = 64
    if dark == 55:  # then a border of 63 is light, if the argument says so
        assert not np.array_equal(prepare(np.where(image == 64, 63, image), dark_on_light=True), image)
        image[image == 64] = 63
    assert np.array_equal(prepare(image), image) is unchanged


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((640, 300), (640, 300)), ((641, 300), (640, 300)), ((300, 1280), (150, 640)), ((90, 50), (90, 50))],
)
def test_pictures_of_one_digit_are_shrunk_to_640_pixels(shape, expected):
    assert single_digit.shrunk(np.zeros(shape, np.uint8)).shape == expected


# Lines of given segments


def read_line(*given, **options):
    """The line that `read` makes of given segments, and which of these must be digits."""
    found, must = line_and_evidence(*given, **options)
    return found and found[0], must


def line_and_evidence(
    monkeypatch, boxes, labels, only_digits=False, probabilities=None, marks=False, low=(), signs=None, graph="graph",
    strokes=None, classes="abcdefghij", arcs=None,
):  # fmt: skip
    """The line that `read` makes of segments in boxes, with its evidence, and which of these must be digits.

    The writing is 20 pixels high, at (100, 50) on the page.
    """
    boxes, count = np.array(boxes, np.int64), len(boxes)
    features = SimpleNamespace(signs=np.array(signs or [""] * count))
    starts, stops = np.arange(count), np.arange(1, count + 1)
    page = Page(np.zeros((200, 600), np.uint8), (200, 600))
    low = np.array(low, np.int64).reshape(-1, 4)
    line = SimpleNamespace(page=page, height=20.0, corner=(100, 50), short_strokes=low)
    pieces = SimpleNamespace(strokes=boxes if strokes is None else np.array(strokes), line=line)
    images = np.tile(np.arange(count, dtype=np.uint8)[:, np.newaxis, np.newaxis], (1, 28, 28))
    segments = SimpleNamespace(pieces=pieces, boxes=boxes, starts=starts, stops=stops, features=features, images=images)
    seen = []
    if probabilities is None:
        probabilities = np.tile(np.append(np.arange(10) / 100, 0.5), (count, 1))
    path = SimpleNamespace(arcs=arcs or list(range(count)), labels=labels, probabilities=probabilities, confidence=0.75)
    monkeypatch.setattr(reader, "best_path", lambda graph, must: seen.append(must) or path)
    settings = reader._Settings(SimpleNamespace(classes=tuple(classes)), only_digits, marks, None)
    return reader._read_line(settings, segments, graph), seen[0]


@pytest.mark.parametrize(("classes", "images"), [("0123456789", [3, 4]), ("abcdefghij", [])])
def test_the_evidence_of_a_line_is_that_of_its_characters_without_marks(monkeypatch, classes, images):
    """A segment that is not on the path, a dash, another segment that is not, and two that were cut from one stroke."""
    boxes = [(0, 0, 6, 20), (0, 9, 6, 12), (8, 0, 9, 20), (10, 0, 20, 20), (20, 0, 30, 20)]
    strokes = [*boxes[:3], *[(10, 0, 30, 20)] * 2]
    probabilities = np.tile(np.append(np.arange(10) / 100, 0.5), (3, 1))
    (_, found), _ = line_and_evidence(
        monkeypatch, boxes, [None, 3, 9], probabilities=probabilities, marks=True, strokes=strokes, classes=classes,
        arcs=[1, 3, 4],
    )  # fmt: skip
    assert found.shares.tolist() == [0.5, 0.5]
    assert found.images[:, 0, 0].tolist() == images


def test_digits_of_a_line_have_their_places_and_probabilities(monkeypatch):
    boxes = [(0, 0, 10, 20), (28, 1, 40, 20), (59, 2, 70, 9), (71, 2, 80, 10)]
    line, must = read_line(monkeypatch, boxes, [3, 9, None, None])
    assert must is None
    assert line.text == "dj ?"  # gaps of 18 and 31 pixels; a low non-digit is a point
    assert line.confidence == 0.75
    assert [digit.box for digit in line.digits] == [(100, 50, 110, 70), (128, 51, 140, 70), (171, 52, 180, 60)]
    assert [digit.label for digit in line.digits] == [3, 9, None]
    assert [digit.probability for digit in line.digits] == [0.03, 0.09, 0.5]
    assert [(digit.second, digit.second_probability) for digit in line.digits] == [(9, 0.09), (8, 0.08), (9, 0.09)]
    assert [digit.name for digit in line.digits] == ["d", "j", None]


def segments_of_five_pieces():
    """Writing 20 pixels high: two low bars, a point, and a high stroke that is cut into two low pieces."""
    boxes = np.array([(0, 5, 10, 8), (1, 14, 10, 17), (14, 13, 18, 20), (20, 4, 30, 10), (30, 10, 40, 16)])
    strokes = boxes.copy()
    strokes[3:] = 20, 4, 40, 16
    pieces = SimpleNamespace(boxes=boxes, strokes=strokes, line=SimpleNamespace(height=20.0))
    starts, stops = np.array([(0, 1), (0, 2), (2, 3), (0, 3), (3, 4), (3, 5), (2, 4)]).T
    corners = [(*boxes[a:b, :2].min(axis=0), *boxes[a:b, 2:].max(axis=0)) for a, b in zip(starts, stops, strict=True)]
    features = SimpleNamespace(signs=np.array(["", "", "", "", "", "+", ""]))
    return SimpleNamespace(pieces=pieces, starts=starts, stops=stops, boxes=np.array(corners), features=features)


def test_segments_of_short_strokes_are_short_however_tall_they_are():
    found = marks.may_be_marks(segments_of_five_pieces())
    assert found.tolist() == [True, True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(17, 9, True), (16, 9, False), (18, 9, True), (18, 10, False), (40, 10, False), (7, 7, True), (8, 8, False)],
)
def test_a_dash_is_1_8_times_as_wide_as_high_and_at_most_half_as_high_as_digits(width, height, expected):
    """The writing is 20 pixels high; anything up to 7 high may be a mark."""
    boxes = np.array([[5, 4, 5 + width, 4 + height]])
    pieces = SimpleNamespace(boxes=boxes, strokes=boxes, line=SimpleNamespace(height=20.0))
    segments = SimpleNamespace(pieces=pieces, boxes=boxes, starts=np.array([0]), stops=np.array([1]))
    segments.features = SimpleNamespace(signs=np.array([""]))
    assert marks.may_be_marks(segments).tolist() == [expected]


def test_marks_of_short_strokes_have_a_box_for_each():
    segments = segments_of_five_pieces()
    found, signs = marks.mark_boxes(segments, np.array([1, 4, 5]))
    assert found.tolist() == [[0, 5, 10, 8], [1, 14, 10, 17], [20, 4, 30, 10], [20, 4, 40, 16]]
    assert signs == ["", "", "", "+"]
    assert marks.mark_boxes(segments, np.array([], int))[0].shape == (0, 4)


def test_the_limit_of_short_strokes_is_04_heights():
    segments = segments_of_five_pieces()
    segments.pieces.strokes[2] = segments.boxes[2] = 14, 12, 18, 20
    assert not marks.may_be_marks(segments)[2]


def test_only_marks_may_be_non_digits_on_request(monkeypatch):
    _, must = read_line(monkeypatch, [(0, 0, 10, 8), (12, 0, 22, 7), (24, 4, 34, 24)], [1, 2, 3], only_digits=True)
    assert must.tolist() == [True, False, True]
    assert read_line(monkeypatch, [(0, 0, 10, 20), (12, 0, 14, 3)], [None, None])[0] is None


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ((32, 17, 35, 20), "bc.d"),
        ((32, 17, 35, 23), "bc,d"),  # more than 2 pixels below the baseline
        ((32, 17, 36, 22), "bc.d"),
        ((30, 9, 36, 12), "bc-d"),
        ((32, 14, 35, 19), "bc,d"),  # higher than wide
        ((32, 11, 38, 24), "bc,d"),  # not low, but below the middle
        ((32, 9, 35, 12), "bcd"),  # a speck
        ((30, 0, 36, 3), "bcd"),  # above the middle
        ((30, 14, 33, 16), "bc.d"),  # 5 pixels above the baseline
        ((30, 12, 34, 16), "bcd"),  # 6, as high as wide
        ((12, 17, 15, 20), "b.cd"),
    ],
)
def test_marks_are_distinguished_by_their_place(monkeypatch, mark, text):
    boxes = np.array([(0, 0, 10, 20), (18, 1, 28, 20), (38, 0, 48, 21), mark])
    order = np.argsort(boxes[:, 0])
    labels = [[1, 2, 3, None][k] for k in order]
    line, _ = read_line(monkeypatch, boxes[order], labels, marks=True)
    assert (line.text, len(line.digits)) == (text, 3)
    assert read_line(monkeypatch, boxes[order], labels)[0].text.replace("?", "") == "bcd"


@pytest.mark.parametrize(("is_known", "text"), [(True, "b+cxd"), (False, "b?c?d")])
def test_signs_are_marks_however_far_from_the_digits(monkeypatch, is_known, text):
    boxes = [(0, 2, 15, 17), (20, 0, 30, 20), (50, 2, 65, 17), (90, 0, 100, 20), (130, 2, 145, 17), (150, 0, 160, 20)]
    labels, signs = [None, 1, None, 2, None, 3], ["+", "", "+", "", "x", ""]  # no text begins with a plus sign
    line, must = read_line(monkeypatch, boxes, labels, True, marks=True, signs=signs if is_known else None)
    assert line.text.replace(" ", "").lstrip("?") == text
    assert must.tolist() == [not is_known, True] * 3


@pytest.mark.parametrize(
    ("labels", "signs", "text"),
    [
        ([1, None, 2, None, 3], ["", "+", "", "x", ""], "b c d"),  # a sum; without signs, a word
        ([1, None, 2, None, 3], ["", "", "", "", ""], None),
        ([1, None, None, 2, 3], ["", "+", "", "", ""], None),  # a word with an x
    ],
)
def test_signs_separate_numbers_but_not_the_letters_of_a_word(monkeypatch, labels, signs, text):
    boxes = [(12 * k, 0, 12 * k + 10, 20) for k in range(len(labels))]
    monkeypatch.setattr(reader, "confidence_of", lambda labels, graph: 1.0)
    graph = SimpleNamespace(without_digits_between=lambda start, stop: graph)
    line, _ = read_line(monkeypatch, boxes, labels, signs=signs, graph=graph)
    assert (line and line.text) == text


@pytest.mark.parametrize(("top", "text"), [(10, "b?"), (11, "b,")])
def test_a_high_mark_is_below_half_the_height_above_the_baseline(monkeypatch, top, text):
    assert read_line(monkeypatch, [(0, 0, 10, 20), (12, top, 18, 24)], [1, None], marks=True)[0].text == text


def test_marks_before_and_after_a_number_and_in_a_wide_gap(monkeypatch):
    boxes = [(0, 9, 6, 11), (10, 0, 20, 20), (30, 17, 33, 20), (45, 0, 55, 20), (60, 17, 63, 24), (65, 9, 72, 12)]
    line, _ = read_line(monkeypatch, boxes, [None, 1, None, 2, None, None], marks=True)
    assert line.text == "-b.c,-"


@pytest.mark.parametrize(
    ("mark", "left", "text"),
    [
        ((12, 17, 15, 20), 27, "b.c"),
        ((12, 17, 15, 20), 28, "b. c"),
        ((12, 17, 15, 24), 28, "b, c"),
        ((12, 9, 18, 12), 40, "b-c"),
    ],
)
def test_a_gap_of_0_6_heights_after_a_point_or_comma_is_a_space(monkeypatch, mark, left, text):
    boxes = [(0, 0, 10, 20), mark, (left, 0, left + 10, 20)]
    assert read_line(monkeypatch, boxes, [1, None, 2], marks=True)[0].text == text


@pytest.mark.parametrize(
    ("speck", "text"),
    [
        ((22, 17, 24, 19), "b.c"), ((10, 17, 12, 19), "b.c"), ((28, 17, 30, 19), "b.c"),
        ((9, 17, 11, 19), "bc"), ((29, 17, 31, 19), "bc"),  # below a digit
        ((62, 17, 64, 19), "bc."), ((63, 17, 65, 19), "bc"),  # 12 and 13 pixels after the last digit
        ((18, 9, 22, 11), "b-c"), ((18, 2, 20, 4), "bc"),
    ],
)  # fmt: skip
def test_a_small_mark_is_beside_a_digit(monkeypatch, speck, text):
    """A gap of 18 pixels, between digits up to column 10 and from 30 to 50."""
    boxes = [(0, 0, 10, 20), (30, 0, 50, 20)]
    found = read_line(monkeypatch, boxes, [1, 2], marks=True, low=[speck])[0].text
    assert found.replace(" ", "") == text
    assert read_line(monkeypatch, boxes, [1, 2], low=[speck])[0].text == "b c"


@pytest.mark.parametrize(
    ("lower", "upper", "text"),
    [
        ((22, 14, 32, 17), (22, 8, 32, 11), "b=c"), ((22, 13, 34, 19), (22, 8, 34, 11), "b=c"),
        ((22, 13, 34, 20), (22, 8, 34, 11), "b.-c"),  # more than twice as high as the other
        ((22, 11, 32, 14), (22, 8, 32, 11), "b=c"), ((22, 10, 32, 13), (22, 8, 32, 11), "b--c"),  # overlapping
        ((22, 14, 32, 17), (22, 8, 28, 11), "b=c"), ((22, 14, 32, 17), (29, 8, 35, 11), "b--c"),  # sharing 3 of 10
        ((22, 14, 32, 17), (28, 8, 34, 11), "b=c"),  # 4; half of 10 less a quarter of the distance of 6 is 3.5
        ((26, 17, 29, 20), (26, 6, 29, 9), "b:c"), ((26, 17, 29, 20), (25, 6, 28, 9), "b:c"),
        ((25, 17, 30, 20), (25, 6, 30, 9), "b:c"), ((25, 17, 31, 20), (25, 6, 31, 9), "b=c"),  # bars are wider
        ((26, 17, 29, 20), (26, 4, 29, 6), "b:c"), ((26, 17, 29, 20), (26, 3, 29, 6), "b.c"),  # too high
        ((26, 17, 29, 22), (26, 7, 29, 11), "b:c"), ((26, 17, 29, 23), (26, 7, 29, 11), "b,c"),  # a semicolon
    ],
)  # fmt: skip
def test_two_similar_strokes_above_each_other_are_a_colon_or_an_equals_sign(monkeypatch, lower, upper, text):
    boxes = [(0, 0, 18, 20), (36, 0, 50, 20)]
    found = read_line(monkeypatch, boxes, [1, 2], marks=True, low=[lower, upper])[0].text
    assert found.replace(" ", "") == text


def test_an_equals_sign_before_a_number_is_left_out(monkeypatch):
    """As the text would be a formula in a spreadsheet; a colon and a dash are kept."""
    for low, text in (([(2, 14, 12, 17), (2, 8, 12, 11)], "b"), ([(8, 17, 11, 20), (8, 6, 11, 9)], ":b")):
        assert read_line(monkeypatch, [(14, 0, 24, 20)], [1], marks=True, low=low)[0].text == text


def test_a_number_with_an_equals_sign():
    page = np.full((120, 240), 235, np.uint8)
    cv2.putText(page, "80=", (30, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 30, 3, cv2.LINE_AA)
    assert read(page, marks=True).text == "80="
    assert read(page, only_digits=True).text == read(page).text == "80"


def test_a_slash_that_is_cut_into_low_pieces_is_not_a_mark():
    page = np.full((120, 300), 235, np.uint8)
    for left, text in ((30, "82"), (190, "53")):
        cv2.putText(page, text, (left, 95), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 30, 3, cv2.LINE_AA)
    cv2.line(page, (110, 95), (180, 62), 30, 6, cv2.LINE_AA)
    assert "?" in read(page).text


def test_a_first_digit_of_more_than_twice_the_height_is_read():
    """A 4 of 90 pixels before zeros of 36."""
    page = np.full((140, 260), 235, np.uint8)
    cv2.polylines(page, [np.array([(45, 20), (20, 75), (75, 75)])], False, 30, 6, cv2.LINE_AA)
    cv2.line(page, (58, 45), (55, 110), 30, 6, cv2.LINE_AA)
    for left in (90, 140, 190):
        cv2.ellipse(page, (left + 16, 90), (14, 18), 0, 0, 360, 30, 6, cv2.LINE_AA)
    assert read(page).text == read(page, only_digits=True).text == "4000"


def test_marks_far_from_all_digits_are_left_out(monkeypatch):
    """Such as a dash alone in the cell of a table: a bar 24 or 25 pixels from the digit, and a short dash 12 or 13."""
    for left, width, text in ((34, 6, "b-"), (35, 6, "b"), (22, 5, "b-"), (23, 5, "b")):
        boxes = [(0, 0, 10, 20), (left, 9, left + width, 12)]
        assert read_line(monkeypatch, boxes, [1, None], marks=True)[0].text == text


@pytest.mark.parametrize("marks", [True, False])
def test_a_speck_that_is_no_mark_leaves_the_space(monkeypatch, marks):
    boxes, labels = [(0, 0, 10, 20), (22, 0, 28, 3), (40, 0, 50, 20)], [1, None, 2]
    assert read_line(monkeypatch, boxes, labels, marks=marks)[0].text == "b c"


def digit_at(box, label=1):
    return Digit(box, label, 0.9, 7, 0.1)


def test_a_cell_contains_the_digits_centred_in_it():
    """Of the cells (0, 0, 40, 20), (36, 0, 80, 20) and (0, 20, 40, 40), two overlap, and a digit is in the nearest."""
    places = [Cell(0, 1, 0, (0, 20, 40, 40)), Cell(0, 0, 1, (36, 0, 80, 20)), Cell(0, 0, 0, (0, 0, 40, 20))]
    middles = [(5, 10), (30, 10), (38, 10), (40, 10), (40, 40), (95, 10), (2, 30)]  # (38, 10) is 18 and 20 away
    digits = [digit_at((x - 5, y - 5, x + 5, y + 5), label=n) for n, (x, y) in enumerate(middles)]
    line = Line(tuple(digits), 0.9, "".join(digit.text for digit in digits))
    cells = filled(places, [line])
    assert [(cell.grid, cell.row, cell.column) for cell in cells] == [(0, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert [cell.text for cell in cells] == ["012", "3", "46"]
    assert filled([], [line]) == ()


def test_the_digits_of_different_cells_are_separated_and_marks_are_in_the_cells():
    """Digits in cells of 40 pixels; the last is outside of them."""
    cells = [Cell(0, 0, column, (40 * column, 0, 40 * column + 40, 20)) for column in range(3)]
    lefts = (2, 20, 42, 60, 85, 130)
    digits = tuple(digit_at((x, 2, x + 10, 18), label=n) for n, x in enumerate(lefts))
    line = separated(Line(digits, 0.9, "-0.123 4 5,"), cells)
    assert line == Line(digits, 0.9, "-0.1 23 4 5,")
    assert [cell.text for cell in filled(cells, [line])] == ["-0.1", "23", "4"]
    assert separated(line, []) is line


@pytest.mark.parametrize(
    ("text", "separate", "texts"),
    [
        ("12", "1 2", ["1", "2"]), ("1.2", "1. 2", ["1.", "2"]), ("1-2", "1 -2", ["1", "-2"]),
        ("1,-2", "1, -2", ["1,", "-2"]), ("1:2", "1: 2", ["1:", "2"]), ("1=-2", "1= -2", ["1=", "-2"]),
        ("-12.", "-1 2.", ["-1", "2."]), ("1. 2", "1. 2", ["1.", "2"]), ("1 +2", "1 +2", ["1", "2"]),
        ("1 =2", "1 =2", ["1", "2"]),
    ],
)  # fmt: skip
def test_dashes_begin_a_number_and_other_marks_end_one(text, separate, texts):
    cells = [Cell(0, 0, column, (40 * column, 0, 40 * column + 40, 20)) for column in range(2)]
    digits = (digit_at((15, 2, 25, 18), label=1), digit_at((55, 2, 65, 18), label=2))
    line = separated(Line(digits, 0.9, text), cells)
    assert line.text == separate
    assert [cell.text for cell in filled(cells, [line])] == texts


@pytest.mark.parametrize("text", ["1 2", "1+2", "1-2", "1. 2"])
def test_the_text_of_a_single_cell_is_that_of_the_line(text):
    digits = (digit_at((5, 2, 15, 18), label=1), digit_at((25, 2, 35, 18), label=2))
    (cell,) = filled([Cell(0, 0, 0, (0, 0, 40, 20))], [Line(digits, 0.9, text)])
    assert cell.text == text


def test_the_confidence_of_a_cell_is_the_product_of_the_probabilities_of_its_digits():
    cells = [Cell(0, 0, column, (40 * column, 0, 40 * column + 40, 20)) for column in range(3)]
    boxes = (5, 2, 15, 18), (25, 2, 35, 18), (45, 2, 55, 18)
    digits = [replace(digit_at(box), probability=each) for box, each in zip(boxes, (0.5, 0.25, 0.75), strict=True)]
    found = filled(cells, [Line((digits[0], digits[2]), 0.3, "11"), Line((digits[1],), 0.2, "1")])
    assert [cell.confidence for cell in found] == [0.125, 0.75, 0.0]


def test_places_turn_with_the_page():
    places = [Cell(0, row, column, (row, column, 9, 9)) for row in range(2) for column in range(3)]
    for turns in range(5):
        grid = np.empty((2, 3) if turns % 2 == 0 else (3, 2), object)
        for place in turned(places, turns):
            grid[place.row, place.column] = place.box[:2]
        expected = np.empty((2, 3), object)
        for row, column in np.ndindex(2, 3):
            expected[row, column] = (row, column)
        assert (grid == np.rot90(expected, turns)).all()


# Pages of glyphs at known places


def glyph(index):
    image = lenet.data.load_digits().X_test[index]
    rows, columns = np.flatnonzero(image.max(axis=1) > 100), np.flatnonzero(image.max(axis=0) > 100)
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.fixture(scope="module")
def page():
    """Three lines of digits as dark ink, and the box and label of each digit."""
    data = lenet.data.load_digits()
    paper, lines = np.full((240, 420), 230, np.uint8), []
    for row, start, count in ((30, 20, 8), (100, 140, 5), (170, 30, 9)):
        lines.append([])
        for n in range(count):
            index = 90 + len(lines) * 10 + n
            ink = glyph(index).astype(float)
            top, left = row + 20 - len(ink), start + 40 * n + (24 if n >= 4 else 0)
            region = paper[top : top + ink.shape[0], left : left + ink.shape[1]]
            region[:] = 230 - ink * (190 / 255)
            lines[-1].append(((left, top, left + ink.shape[1], top + ink.shape[0]), int(data.y_test[index])))
    return paper, lines


@pytest.mark.parametrize("change", ["as it is", "light on dark", "twice as large", "on its side", "shifted"])
def test_each_digit_of_a_page_is_read_where_it_is(page, change):
    paper, lines = page
    paper, scale, offset = paper.copy(), 1, 0
    if change == "light on dark":
        paper = 255 - paper
    elif change == "twice as large":
        paper, scale = paper.repeat(2, axis=0).repeat(2, axis=1), 2
    elif change == "shifted":
        paper, offset = np.pad(paper, 37, constant_values=230), 37
    elif change == "on its side":
        paper = np.rot90(paper, 3).copy()
    reading = read(paper)
    assert reading.rotation == (90 if change == "on its side" else 0)
    assert len(reading.lines) == len(lines)
    for found, expected in zip(reading.lines, lines, strict=True):
        labels = "".join(str(label) for _, label in expected)
        assert found.text.replace(" ", "") == labels
        assert 0.2 < found.confidence <= 1
        for digit, (box, label) in zip(found.digits, expected, strict=True):
            left, top, right, bottom = (scale * side + offset for side in box)
            if change == "on its side":
                left, top, right, bottom = 240 - bottom, left, 240 - top, right
            assert np.abs(np.subtract(digit.box, (left, top, right, bottom))).max() <= 3 * scale
            assert (digit.label, digit.text) == (label, str(label))
            assert 0.3 < digit.probability <= 1
            assert digit.probability + digit.second_probability <= 1 + 1e-9
            assert digit.second != label


# Lines and pages


def test_lines_lower_than_0_4_heights_are_ignored():
    ink = np.zeros((200, 400), np.uint8)
    for n in range(8):
        ink[20:60, 20 + 40 * n : 26 + 40 * n] = 255
    for row, height in ((100, 15), (150, 16)):
        ink[row : row + height, 100:108] = 255
    lines = find_lines(Page(ink, ink.shape))
    assert [line.height for line in lines] == [40, 16]


@pytest.mark.parametrize(("height", "expected"), [(80, 80), (100, 80)])
def test_writing_above_80_pixels_is_shrunk(height, expected):
    ink = np.zeros((300, 500), np.uint8)
    for n in range(5):
        ink[60 : 60 + height, 40 + 80 * n : 56 + 80 * n] = 255
    [line] = find_lines(Page(ink, ink.shape))
    assert line.height == expected
    assert line.page.to_picture[0, 0] == height / expected
    boxes = line.page.boxes_in_picture(line.page.strokes.boxes[line.members])
    for n, box in enumerate(boxes):
        assert np.abs(np.subtract(box, (40 + 80 * n, 60, 56 + 80 * n, 60 + height))).max() <= 1


def test_a_line_of_ink_has_a_margin_of_two_pixels_on_the_page():
    ink = np.zeros((50, 80), np.uint8)
    ink[1:20, 1:6] = ink[3:30, 40:44] = 255
    page = Page(ink, ink.shape)
    line = InkLine(page, np.arange(2))
    assert line.corner == (0, 0)
    np.testing.assert_array_equal(line.ink, ink[0:32, 0:46])
    assert InkLine(page, np.array([1])).corner == (38, 1)


# Forms


def test_fewer_segments_are_allowed_after_a_turn(monkeypatch):
    """Noise has tens of thousands in each orientation, which took half a minute."""
    allowed = []
    monkeypatch.setattr(
        forms, "cut_and_classify", lambda model, lines, n_jobs, max_segments: allowed.append(max_segments) or []
    )
    read_form(np.full((60, 90), 255, np.uint8), [Field("a", box=(0, 0, 1, 1))])
    assert allowed == [15_000, 3_300, 3_300, 3_300]


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ({"box": (0, 0, 1, 1)}, True), ({"box": (0.5, 0, 0.501, 1)}, True), ({"box": (0.5, 0, 0.502, 1)}, False),
        ({"box": (0, 0.5, 1, 0.501)}, True), ({"box": (1.0, 0, 0.001, 1)}, False), ({"box": (0, 1.0, 1, 0.001)}, False),
        ({"box": (0, 0.5, 1, 0.502)}, False), ({"box": (0, 0, 0, 1)}, False), ({"box": (0, 0, 1, 0)}, False),
        ({"box": (-0.01, 0, 1, 1)}, False), ({"box": (0, -0.01, 1, 1)}, False), ({"cell": (0, 0)}, True),
        ({"cell": (-1, 0)}, False), ({"cell": (0, 0), "grid": -1}, False), ({"cell": (0, 0), "digits": 64}, True),
        ({"cell": (0, 0), "digits": 65}, False), ({"cell": (0, 0), "digits": 1}, True),
        ({"cell": (0, 0), "digits": 0}, False), ({"cell": (0, 0), "box": (0, 0, 1, 1)}, False), ({}, False),
        ({"cell": (0, 0), "name": "a" * 64}, True), ({"cell": (0, 0), "name": "a" * 65}, False),
        ({"cell": (0, 0), "name": "1a"}, False), ({"cell": (0, 0), "name": "a 1-_"}, True),
        ({"cell": (0, 0), "checksum": "mod11"}, True), ({"cell": (0, 0), "checksum": "mod9"}, False),
    ],
)  # fmt: skip
def test_limits_of_fields(options, valid):
    if valid:
        field = Field(**{"name": "a", **options})
        assert field.box == options.get("box")
    else:
        with pytest.raises(InputError):
            Field(**{"name": "a", **options})


@pytest.mark.parametrize(
    ("value", "expected"), [("", ()), ("12", ()), ("?", ("non-digit", "digits")), ("123", ("digits",))]
)
def test_only_an_empty_value_of_an_optional_field_has_no_problem(value, expected):
    assert Field("a", cell=(0, 0), digits=2, optional=True).problems(value) == expected
    with pytest.raises(InputTypeError, match="optional of the field a is 'no'; expected"):
        Field("a", cell=(0, 0), optional="no")


@pytest.mark.parametrize(
    ("checksum", "digits", "value", "expected"),
    [
        (None, None, "", ("empty",)), (None, 3, "1?", ("non-digit", "digits")), (None, 2, "1?", ("non-digit",)),
        (None, 2, "12", ()), (None, 3, "12", ("digits",)), ("luhn", None, "18", ()), ("luhn", None, "26", ()),
        ("luhn", None, "67", ()), ("luhn", None, "75", ()), ("luhn", None, "00", ()),
        ("luhn", None, "59", ()), ("luhn", None, "42", ()), ("luhn", None, "43", ("checksum",)),
        ("luhn", None, "4?", ("non-digit",)), ("ean", 2, "31", ()), ("ean", 2, "13", ("checksum",)),
        ("ean", 3, "109", ()), ("ean", None, "109", ("digits",)), ("mod11", None, "19", ()),
        ("mod11", 2, "191", ("digits",)),
        ("mod11", None, "108", ()), ("mod11", None, "19 ", ("non-digit",)), ("luhn", 2, "1X8", ("non-digit", "digits")),
        (None, 2, "AB", ()),
    ],
)  # fmt: skip
def test_problems_of_values(checksum, digits, value, expected):
    """Luhn doubles every second digit, EAN weighs them 1 and 3, and mod 11 1, 2, 3 and so on, from the right."""
    assert Field("a", cell=(0, 0), checksum=checksum, digits=digits).problems(value) == expected


# Ink and paper


@pytest.mark.parametrize("width", [8, 9, 10, 11, 12])
def test_a_narrow_picture_of_ink_is_judged_by_its_middle_third(width):
    """Light in the middle third alone is light ink, although there are dark strokes beside it; and dark is dark ink."""
    third = width // 3
    picture = np.full((3 * width, width), 200, np.uint8)
    picture[:, [third - 1, width - third]] = 50
    assert not is_dark_on_light(picture, cropped=True)
    assert is_dark_on_light(255 - picture, cropped=True)
    picture[:, third : width - third] = 50  # all of the middle is dark
    assert is_dark_on_light(picture, cropped=True)


# Small pictures


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (5, 5)])
def test_pictures_of_a_few_pixels_have_no_digits(shape):
    """OpenCV takes some of these shapes for a scalar, and refuses them beside another."""
    for grey in (np.zeros(shape, np.uint8), np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)):
        assert read(grey).text == ""
        assert read_form(grey, [Field("all", box=(0, 0, 1, 1))])[0].value == ""
