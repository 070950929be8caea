"""The values that each step of reading a picture passes to the next, and the limits of each step."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.reading import Reading, orientation, read, reader
from lenet.reading.marks import _mark
from lenet.reading.page import Page
from lenet.reading.results import Digit, Line

pytest.importorskip("cv2")
BLANK = np.full((40, 60), 255, np.uint8)


@pytest.fixture
def model():
    return lenet.LeNet5(seed=0)


def line_at(box, text="5"):
    return Line((Digit(box, 5, 0.9, 7, 0.1),), 0.9, text)


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ({}, (False, False, None)),
        ({"only_digits": True}, (True, False, None)),
        ({"marks": True, "n_jobs": 1}, (False, True, 1)),
    ],
)
@pytest.mark.parametrize("rotate", [None, True, False])
def test_options_reach_the_reading_of_a_page(monkeypatch, model, options, passed, rotate):
    pages, calls = [], []

    def read_page(*arguments):
        calls.append(arguments)
        return Reading((line_at((1, 2, 3, 4)),)), []

    monkeypatch.setattr(reader, "_read_page", read_page)
    monkeypatch.setattr(
        reader,
        "read_upright",
        lambda read_after_turns, strokes: pages.append(strokes) or (read_after_turns(0, 7)[0], 0),
    )
    found = read(BLANK, model, **options, **({} if rotate is None else {"rotate": rotate}))
    assert found == Reading((line_at((1, 2, 3, 4)),))
    [(settings, page, *limits)] = calls
    assert settings == reader._Settings(model, *passed)
    assert page.ink.shape == (40, 60)
    assert (limits, pages) == (([], []) if rotate is False else ([7], [0]))


@pytest.mark.parametrize(("names", "wrong"), [(["ten", *"123456789"], "ten"), ([*"012345678", "ab"], "ab")])
def test_the_names_of_classes_are_single_characters(model, names, wrong):
    assert reader.characters_of(model) == tuple("0123456789")
    model.classes = names
    says = rf"^The model has a class '{wrong}'; expected names of one character.* run `lenet predict`, .* /predict\.$"
    with pytest.raises(InputError, match=says):
        reader.characters_of(model)


class Steps:
    """Lines of given costs and numbers of pieces, and a record of the calls of each step."""

    def __init__(self, monkeypatch, costs, counts):
        self.cut = []
        monkeypatch.setattr(reader, "legible_strokes", lambda model, found, n_jobs: [f"whole {n}" for n in found])
        monkeypatch.setattr(
            reader, "cutting_cost", lambda line, whole: costs[line] if whole == f"whole {line}" else None
        )
        monkeypatch.setattr(reader, "pieces_of", self.pieces_of)
        monkeypatch.setattr(reader, "segments_of", lambda *arguments: ("segments", *arguments))
        monkeypatch.setattr(reader, "with_views", lambda *arguments: [("views", *arguments)] * len(costs))
        monkeypatch.setattr(reader, "graph_of", lambda *arguments: ("graph", *arguments))
        self.counts = counts

    def pieces_of(self, line, whole):
        self.cut.append((line, whole))
        return SimpleNamespace(boxes=np.zeros((self.counts[line], 4)))


def test_lines_are_cut_and_classified_in_turn(monkeypatch, model):
    steps = Steps(monkeypatch, [3, 4], [2, 3])
    segments, graphs = zip(*reader.cut_and_classify(model, [0, 1], 2), strict=True)
    assert steps.cut == [(0, "whole 0"), (1, "whole 1")]
    pieces = segments[0][2][2]
    assert [len(each.boxes) for each in pieces] == [2, 3]
    assert segments == (("views", model, ("segments", model, pieces, 2, 15_000), 2),) * 2
    assert graphs == (("graph", segments[0]),) * 2
    assert reader.cut_and_classify(model, [0, 1], None, 9)[0][0][2][3:] == (None, 9)


@pytest.mark.parametrize(
    ("costs", "counts", "error"),
    [
        ([1000, 1000], [5, 5], None),  # 200 for each of 10 segments
        ([1000, 1001], [5, 5], "has wide strokes that take too long to cut"),
        ([0, 0, 0], [2500, 2500, 0], None),
        ([0, 0, 0], [2500, 2501, 9], "has 5,001 pieces of strokes; expected at most 5,000"),
    ],
)
def test_cutting_ends_at_the_limits_of_cost_and_pieces(monkeypatch, model, costs, counts, error):
    steps = Steps(monkeypatch, costs, counts)
    if error is None:
        reader.cut_and_classify(model, range(len(costs)), None, 10)
    else:
        with pytest.raises(InputError, match=error):
            reader.cut_and_classify(model, range(len(costs)), None, 10)
        assert len(steps.cut) == (0 if "wide" in error else 2)


class SegmentsOf(str):
    """A name in the place of a line's segments."""

    pieces = SimpleNamespace(line=SimpleNamespace(crosses_corner=False))


@pytest.mark.parametrize(
    ("classes", "known"),
    [("0123456789", True), ("ABCDEFGHIJ", False), ("0123456ABC", False), ("٠١٢٣٤٥٦٧٨٩", False)],
)
def test_only_the_shapes_of_the_digits_0_to_9_are_known(classes, known):
    images = orientation.images_of(SimpleNamespace(images=np.arange(5)), np.array([1, 3]), tuple(classes))
    assert images.tolist() == ([1, 3] if known else [])


@pytest.mark.parametrize(("count", "expected"), [(1000, 4), (1001, 1)])
def test_a_page_of_more_than_1000_strokes_is_read_once(monkeypatch, model, count, expected):
    ink, calls = np.zeros((80, 2 * count + 40), np.uint8), []
    ink[20:60, 20 : 20 + 2 * count : 2] = 255
    page = Page(ink, ink.shape)
    monkeypatch.setattr(reader, "without_boxes", lambda page: page)
    monkeypatch.setattr(reader, "without_grids", lambda page: (page, ()))
    monkeypatch.setattr(reader, "without_frames", lambda page: page)
    monkeypatch.setattr(Page, "reject_texture", lambda page: None)
    reading = reader._read_picture(lambda *given: calls.append(given) or (Reading(()), []), page, rotate=True)
    assert (reading, len(calls)) == (Reading(()), expected)


def test_the_share_of_a_segment_is_1_over_the_number_cut_from_its_stroke():
    """Pieces 0 to 2 are of one stroke, and the last two form a segment; 4 to 6 are of another."""
    strokes = np.array([0, 0, 0, 1, 2, 2, 2, 3])[:, np.newaxis] + np.arange(4)
    segments = SimpleNamespace(pieces=SimpleNamespace(strokes=strokes), starts=np.array([9, 0, 1, 3, 4, 6, 7]))
    shares = orientation.shares_of(segments, np.array([1, 2, 3, 4, 5, 6]))
    np.testing.assert_allclose(shares, [1 / 2, 1 / 2, 1, 1 / 2, 1 / 2, 1])
    assert orientation.shares_of(segments, np.array([1])).tolist() == [1]


def test_lines_without_digits_are_left_out(monkeypatch, model):
    a, b, c = map(SegmentsOf, "abc")
    monkeypatch.setattr(reader, "cut_and_classify", lambda *arguments: [(a, arguments), (b, 5), (c, 6)])
    monkeypatch.setattr(reader, "find_lines", lambda page: f"lines of {page}")
    lines = {"a": line_at((0, 0, 1, 1), "a"), "b": None, "c": line_at((0, 0, 1, 1), "c")}
    seen = []
    monkeypatch.setattr(
        reader, "_read_line", lambda *given: seen.append(given) or (lines[given[1]] and (lines[given[1]], given[1]))
    )
    settings = reader._Settings(model, True, False, 3)
    assert reader._read_page(settings, "page") == (Reading((lines["a"], lines["c"])), ["a", "c"])
    (_, _, given, *_), second, _ = seen
    assert given == (model, "lines of page", 3, 15_000)
    assert second == (settings, "b", 5)


@pytest.mark.parametrize(("confidence", "others", "left"), [(0.969, "a", "a"), (0.97, "a", "ac"), (0.5, "", "c")])
def test_an_uncertain_stroke_across_a_corner_is_left_out_beside_other_lines(
    monkeypatch, model, confidence, others, left
):
    corner = SegmentsOf("c")
    corner.pieces = SimpleNamespace(line=SimpleNamespace(crosses_corner=True))
    parts = [(each, None) for each in (*map(SegmentsOf, others), corner)]
    monkeypatch.setattr(reader, "find_lines", lambda page: ())
    monkeypatch.setattr(reader, "cut_and_classify", lambda *_: parts)
    lines = {"a": line_at((0, 0, 1, 1), "a"), "c": replace(line_at((0, 0, 1, 1), "c"), confidence=confidence)}
    monkeypatch.setattr(reader, "_read_line", lambda _, segments, *__: (lines[segments], segments))
    settings = reader._Settings(model, False, False, 1)
    assert reader._read_page(settings, "page") == (Reading(tuple(lines[each] for each in left)), list(left))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (3, (3, 0.5, 1, 0.2, "d")),
        (1, (1, 0.2, 3, 0.5, "b")),
        (None, (None, 0.1, 3, 0.5, None)),
        (0, (0, 0.15, 3, 0.5, "a")),
    ],
)
def test_the_second_choice_is_the_most_probable_other_digit(label, expected):
    probabilities = np.array([0.15, 0.2, 0.05, 0.5, 0.1])
    digit = reader._digit((1, 2, 3, 4), label, probabilities, "abcd")
    assert (digit.label, digit.probability, digit.second, digit.second_probability, digit.name) == expected
    assert digit.box == (1, 2, 3, 4)
    assert probabilities.tolist() == [0.15, 0.2, 0.05, 0.5, 0.1]


def test_the_second_choice_is_another_digit_even_if_all_others_are_impossible():
    digit = reader._digit((0, 0, 1, 1), 0, np.array([1.0, 0.0, 0.0, 0.0]), "abc")
    assert (digit.second, digit.second_probability) == (1, 0.0)


@pytest.mark.parametrize(
    ("box", "mark"),
    [
        ((0, 17, 3, 20), "."), ((0, 17, 5, 22), "."), ((0, 18, 5, 23), ","), ((0, 19, 5, 23), "."),
        ((0, 12, 2, 17), ","), ((0, 14, 2, 17), "."),
        ((0, 13, 4, 15), "-"), ((0, 14, 4, 16), "."), ((0, 13, 2, 15), ""), ((0, 5, 4, 7), ""), ((0, 5, 4, 8), "-"),
        ((0, 5, 3, 8), ""), ((0, 16, 7, 20), "."), ((0, 16, 8, 20), "-"),
        ((0, 17, 4, 19), "."), ((0, 17, 5, 19), "-"), ((0, 19, 9, 21), "."), ((0, 20, 9, 25), ","),
    ],
)  # fmt: skip
def test_the_middle_of_a_mark_is_below_0_3_or_0_7_heights_above_the_baseline(box, mark):
    """The baseline is at 20, and the writing 20 high: points are below 14, and dashes from 14 up to 6.

    A low mark above the baseline is a dash, too, if it is at least 5 wide and 1.8 times as wide as high. A low mark is
    a comma if it is at least 5 high and ends below 22, or if it is more than 1.5 times as high as wide.
    """
    assert _mark(np.array(box), 20.0, 20.0) == mark


@pytest.mark.parametrize(
    ("gaps", "marks", "text"),
    [
        ([0.9, 0.91], [], "5? 7"), ([0.91, 0], [(1, ".")], "5.?7"),
        ([0, 0], [(0, "-"), (3, ",")], "-5?7,"),
        ([0, 0], [(1, "."), (1, "-")], "5.-?7"), ([1, 1], [], "5 ? 7"),
    ],
)  # fmt: skip
def test_marks_replace_the_spaces_of_a_line(gaps, marks, text):
    digits = [Digit((0, 0, 1, 1), label, 0.9, 1, 0.1) for label in (5, None, 7)]
    assert reader._text(digits, np.array(gaps), marks) == text
