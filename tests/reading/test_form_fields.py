"""The sheet of a form and the regions of its fields, by construction."""

from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.reading import Field, FieldValue, forms, orientation, read, read_form
from lenet.reading.page import Page
from lenet.reading.results import Cell

pytest.importorskip("cv2")
ndimage = pytest.importorskip("scipy.ndimage")

# The sheet


def seen_from_above(grey, corners, shape):
    """By NumPy and SciPy: the quadrilateral of the corners, from the upper left clockwise, as a rectangle."""
    height, width = shape
    rows, values = [], []
    targets = [(0, 0), (width, 0), (width, height), (0, height)]
    for (x, y), (u, v) in zip(targets, corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -x * u, -y * u], [0, 0, 0, x, y, 1, -x * v, -y * v]]
        values += [u, v]
    view = np.append(np.linalg.solve(rows, values), 1).reshape(3, 3)
    y, x = np.mgrid[:height, :width]
    u, v, w = view @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return ndimage.map_coordinates(grey.astype(float), [v / w, u / w], order=1, mode="nearest").reshape(shape)


@pytest.mark.parametrize(
    ("corners", "shape"),
    [
        (((20, 10), (120, 10), (120, 90), (20, 90)), (80, 100)),
        (((30, 10), (130, 14), (122, 90), (20, 100)), (83, 101)),  # sides of 100.08, 76.42, 102.49 and 90.55
        (((-5, -4), (155, 3), (150, 125), (10, 110)), (119, 150)),
    ],
)
@pytest.mark.parametrize(("scale", "is_blank"), [((1, 1), False), ((2, 3), True), ((2, 3), False)])
def test_a_sheet_is_seen_from_above_with_the_mean_lengths_of_its_sides(monkeypatch, corners, shape, scale, is_blank):
    """At a coarser scale, the corners are found in a picture of other sides."""
    down, across = scale
    grey = ndimage.gaussian_filter(np.random.default_rng(0).uniform(0, 255, (120, 160)), 4)
    grey = np.interp(grey, (grey.min(), grey.max()), (0, 255)).astype(np.uint8).repeat(down, 0).repeat(across, 1)
    coarse = np.zeros((120, 160), np.uint8)
    monkeypatch.setattr(forms, "coarsened", lambda picture: coarse if picture is grey else None)
    sheets = {True: "sheet", False: None if is_blank else "sheet"}
    monkeypatch.setattr(
        forms, "find_sheets", lambda picture, may_be_blank=False: sheets[may_be_blank] if picture is coarse else None
    )
    monkeypatch.setattr(forms, "corners_of", lambda sheet: np.array(corners, float) if sheet == "sheet" else None)
    found = forms.straightened(grey)
    edges = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(corners, [(0, 0), (1, 0), (1, 1), (0, 1)], strict=True)]
    places = [(across * x, down * y) for x, y in edges]
    lengths = [np.hypot(a - c, b - d) for (a, b), (c, d) in zip(places, [*places[1:], places[0]], strict=True)]
    expected = round((lengths[1] + lengths[3]) / 2), round((lengths[0] + lengths[2]) / 2)
    assert found.shape == expected
    assert scale != (1, 1) or expected == tuple(side + 1 for side in shape)
    assert found.dtype == np.uint8
    rim = round(min(expected) / 100) if is_blank else 0
    within = np.s_[rim : expected[0] - rim, rim : expected[1] - rim]
    difference = np.abs(found - seen_from_above(grey, places, found.shape))[within]
    np.testing.assert_array_equal(found, np.pad(found[within], rim, mode="edge"))  # without the table
    assert difference.mean() < 1
    assert difference.max() < 16  # OpenCV interpolates in steps of 1/32 pixel


def test_a_picture_without_a_sheet_is_returned_itself(monkeypatch):
    grey = np.full((50, 70), 200, np.uint8)
    monkeypatch.setattr(forms, "find_sheets", lambda _, may_be_blank=False: None)
    assert forms.straightened(grey) is grey


# The regions of fields


def values_of(monkeypatch, page, places, fields, read, check_below=0.5, is_cut=False, has_mark=False):
    """The values on a page, and the corners of the regions that were read; `read` has the value of each."""
    regions = []
    monkeypatch.setattr(
        forms, "_part", lambda level, corners: regions.append(corners.tolist()) or (len(regions), is_cut)
    )
    monkeypatch.setattr(forms, "find_lines", lambda part: [part] * part)  # one in the first part, two in the second
    monkeypatch.setattr(forms, "cut_and_classify", lambda model, lines, *_: [read[part - 1] for part in lines])
    monkeypatch.setattr(
        forms, "_read_field", lambda field, parts, _: forms._Read(*parts[0], has_mark) if len(set(parts)) == 1 else None
    )
    settings = forms._Settings(fields, lenet.LeNet5(seed=0), check_below, None)
    return [value for value, _ in forms._values(settings, page, places, 15_000)], regions


def test_a_box_is_a_fraction_of_the_page_as_it_is_turned(monkeypatch):
    page = Page(np.zeros((100, 200), np.uint8), (200, 400), np.eye(2, 3) / 0.5)
    field = Field("a", box=(0.1, 0.2, 0.3, 0.5))
    (value,), regions = values_of(monkeypatch, page, [], [field], [("12", 0.9)])
    assert value == FieldValue("a", "12", 0.9, (), (40, 40, 160, 140))
    np.testing.assert_allclose(regions, [[(40, 40), (160, 40), (160, 140), (40, 140)]])
    (value,), regions = values_of(monkeypatch, page.turned(1), [], [field], [("12", 0.9)])
    # On the page on its side, 200 high and 100 wide: from (10, 40) to (40, 140); x is 400 less twice y, and y twice x.
    np.testing.assert_allclose(regions, [[(320, 20), (320, 80), (120, 80), (120, 20)]])
    assert value.box == (120, 20, 320, 80)


def test_a_cell_is_found_by_its_grid_row_and_column(monkeypatch):
    page = Page(np.zeros((100, 200), np.uint8), (200, 400), np.eye(2, 3) / 0.5)
    places = [Cell(0, 1, 2, (10, 20, 30, 50)), Cell(1, 1, 2, (110, 120, 130, 150)), Cell(0, 2, 1, (1, 2, 3, 4))]
    fields = [
        Field("a", cell=(1, 2)),
        Field("b", cell=(1, 2), grid=1),
        Field("c", cell=(2, 2)),
        Field("d", cell=(2, 1)),
    ]
    found, regions = values_of(monkeypatch, page, places, fields, [("1", 0.9), ("2", 0.8), ("3", 0.7)])
    assert found == [
        FieldValue("a", "1", 0.9, (), (10, 20, 30, 50)),
        FieldValue("b", "2", 0.8, (), (110, 120, 130, 150)),
        FieldValue("c", "", 0.0, ("no cell",)),
        FieldValue("d", "3", 0.7, (), (1, 2, 3, 4)),
    ]
    assert regions[0] == [[10, 20], [30, 20], [30, 50], [10, 50]]


def grid(number, rows, columns, left, top):
    """The cells of a grid, 10 wide and 20 high."""
    places = [(row, column) for row in range(rows) for column in range(columns)]
    return [
        Cell(number, row, column, (left + 10 * column, top + 20 * row, left + 10 * column + 9, top + 20 * row + 19))
        for row, column in places
    ]


@pytest.mark.parametrize(
    ("others", "number"),
    [([], 0), ([grid(0, 2, 3, 0, 0)], 1), ([grid(0, 3, 3, 0, 0), grid(1, 2, 2, 50, 0)], 2)],
)
def test_a_grid_is_found_by_its_rows_and_columns(monkeypatch, others, number):
    """However many others are found before it."""
    page = Page(np.zeros((100, 200), np.uint8), (100, 200))
    cells = [cell for other in others for cell in other] + grid(number, 3, 2, 100, 10)
    fields = [Field("a", cell=(2, 1), grid=[3, 2]), Field("b", cell=(0, 0), grid=(9, 9))]
    found, _ = values_of(monkeypatch, page, cells, fields, [("1", 0.9)])
    assert found == [FieldValue("a", "1", 0.9, (), (110, 50, 119, 69)), FieldValue("b", "", 0.0, ("no cell",))]


@pytest.mark.parametrize(
    ("box", "left"),
    [(None, None), ((0, 0, 0.3, 1), 20), ((0, 0, 0.14, 1), None), ((0.5, 0, 0.5, 1), 100), ((0, 0, 1, 1), None)],
)
def test_a_grid_with_an_equal_one_is_found_by_its_middle(monkeypatch, box, left):
    """The middles of the grids are at 29.5 and 109.5, of a width of 200."""
    page = Page(np.zeros((100, 200), np.uint8), (100, 200))
    cells = grid(0, 3, 2, 20, 10) + grid(1, 3, 2, 100, 10)
    (value,), _ = values_of(monkeypatch, page, cells, [Field("a", box, (0, 0), (3, 2))], [("1", 0.9)])
    assert value.box == (None if left is None else (left, 10, left + 9, 29))
    assert value.problems == (("no cell",) if left is None else ())


@pytest.mark.parametrize(
    ("read", "problems"),
    [
        (("12", 0.5), ()), (("12", 0.499), ("confidence",)), (("123", 0.499), ("confidence", "digits")),
        (("123", 0.5), ("digits",)), (("", 0.0), ("empty",)),
    ],
)  # fmt: skip
def test_values_below_the_limit_are_to_be_checked(monkeypatch, read, problems):
    page = Page(np.zeros((100, 200), np.uint8), (100, 200))
    (value,), _ = values_of(monkeypatch, page, [], [Field("a", box=(0, 0, 1, 1), digits=2)], [read])
    assert (value.value, value.confidence, value.problems) == (*read, problems)


def part_by_loops(page, box):
    """The strokes of a region from the left and top to the right and bottom, which belong to it."""
    left, top, right, bottom = box
    ink, labels = page.ink, page.strokes.labels
    region = np.zeros(ink.shape, bool)
    region[top : bottom + 1, left : right + 1] = True
    kept, edges = np.zeros_like(ink), [[*box]]
    for n, (x0, y0, x1, y1) in enumerate(page.strokes.boxes.tolist()):
        own = labels == n + 1
        if x1 - x0 > right - left or y1 - y0 > bottom - top:
            kept[own & region] = ink[own & region]
        elif region[(y0 + y1) // 2, (x0 + x1) // 2]:
            kept[own] = ink[own]
            edges.append([x0, y0, x1, y1])
    soft = (labels == 0) & region
    kept[soft] = ink[soft]
    edges = np.array(edges)
    x0, y0 = np.maximum(edges[:, :2].min(axis=0) - 2, 0)
    x1, y1 = edges[:, 2:].max(axis=0) + 2
    return kept[y0:y1, x0:x1]


def is_cut_by_loops(page, box):
    """Whether a fifth to four fifths of a stroke that may be a digit, but is not larger than the region, are in it."""
    left, top, right, bottom = box
    tallest, cut = 0.4 * (bottom - top), []
    for n, (x0, y0, x1, y1) in enumerate(page.strokes.boxes.tolist()):
        if x1 - x0 > right - left or y1 - y0 > bottom - top:
            continue
        if left <= (x0 + x1) // 2 <= right and top <= (y0 + y1) // 2 <= bottom:
            tallest = max(tallest, y1 - y0)
        own = page.strokes.labels == n + 1
        inside = np.count_nonzero(own[top : bottom + 1, left : right + 1]) / np.count_nonzero(own)
        if 0.2 < inside < 0.8 and x1 - x0 > 0.2 * (y1 - y0):
            cut.append(y1 - y0)
    return any(height > 0.6 * tallest for height in cut)


@pytest.mark.parametrize("box", [(10, 8, 40, 30), (1, 1, 20, 40), (30, 20, 59, 44), (15, 0, 45, 45), (20, 12, 26, 36)])
@pytest.mark.parametrize("seed", range(4))
def test_the_strokes_of_a_region_are_those_of_loops(box, seed):
    rng = np.random.default_rng(seed)
    ink = np.zeros((46, 60), np.uint8)
    for _ in range(12):
        x, y = rng.integers(0, 60), rng.integers(0, 46)
        width, height = rng.integers(1, 9, 2) if rng.random() < 0.8 else rng.integers(9, 40, 2) // rng.integers(1, 5, 2)
        ink[y : y + height, x : x + width] = rng.integers(100, 256)
        ink[min(45, y + height // 2), max(0, x - 1)] = 60  # a soft edge
    page = Page(ink, (46, 60))
    corners = np.array([(x, y) for x, y in ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))])
    part, is_cut = forms._part(page, corners.astype(float))
    np.testing.assert_array_equal(part.ink, part_by_loops(page, box))
    assert is_cut == is_cut_by_loops(page, box)
    small, _ = forms._part(Page(ink, (92, 120), np.eye(2, 3) / 0.5), 2.0 * corners)
    np.testing.assert_array_equal(small.ink, part.ink)
    assert (small.picture_shape, small.to_picture[0, 0]) == ((92, 120), 2)
    for found, factor in ((part, 1), (small, 2)):
        x, y = found.boxes_in_picture(np.array([[0, 0, 1, 1]]))[0][:2]
        same = ink[y // factor :, x // factor :][: found.ink.shape[0], : found.ink.shape[1]]
        np.testing.assert_array_equal(found.ink[found.ink > 0], same[found.ink > 0])


@pytest.mark.parametrize(("across", "down", "end"), [(30, 3, 44), (31, 3, 41), (3, 22, 34), (3, 23, 31)])
def test_a_stroke_as_long_as_the_region_belongs_to_it_as_a_whole(across, down, end):
    """The region is 30 wide and 22 high, with its borders; a longer stroke is cut."""
    ink = np.zeros((60, 80), np.uint8)
    ink[12 : 12 + down, 14 : 14 + across] = 255
    corners = np.array([(10, 8), (40, 8), (40, 30), (10, 30)], float)
    part, _ = forms._part(Page(ink, (60, 80)), corners)
    x, y = np.flatnonzero(part.ink.any(axis=0)), np.flatnonzero(part.ink.any(axis=1))
    assert (x[0] + 8, y[0] + 6) == (14, 12)
    assert (x[-1] + 9 if across > down else y[-1] + 7) == end


@pytest.mark.parametrize(
    ("left", "top", "is_cut"),
    [
        (6, 10, False), (7, 10, True), (8, 10, True), (9, 10, False), (20, 10, False), (38, 10, True), (40, 10, False),
        (20, 26, False), (20, 27, True), (20, 29, True), (20, 30, False),
    ],
)  # fmt: skip
def test_a_stroke_is_cut_if_a_fifth_to_four_fifths_of_it_are_in_the_region(left, top, is_cut):
    """The stroke is 5 wide and 6 high, and the region from 10 to 40 and from 8 to 30, with its borders."""
    ink = np.zeros((60, 80), np.uint8)
    ink[top : top + 6, left : left + 5] = 255
    corners = np.array([(10, 8), (40, 8), (40, 30), (10, 30)], float)
    assert forms._part(Page(ink, (60, 80)), corners)[1] == is_cut


@pytest.mark.parametrize(
    ("height", "width", "of_other", "is_cut"),
    [(6, 5, 0, True), (5, 5, 0, False), (6, 5, 10, False), (7, 5, 10, True), (15, 4, 0, True), (15, 3, 0, False)],
)
def test_low_and_thin_strokes_are_not_cut_digits(height, width, of_other, is_cut):
    """0.6 of 0.4 of the region's height are 5.28, and 0.6 of the other stroke's height is 6."""
    ink = np.zeros((60, 80), np.uint8)
    ink[10 : 10 + height, 9 - width // 2 : 9 - width // 2 + width] = 255
    ink[10 : 10 + of_other, 20:25] = 255
    corners = np.array([(10, 8), (40, 8), (40, 30), (10, 30)], float)
    assert forms._part(Page(ink, (60, 80)), corners)[1] == is_cut


def test_a_field_that_cuts_a_stroke_or_has_a_mark_is_to_be_checked(monkeypatch):
    page, fields = Page(np.zeros((100, 200), np.uint8), (100, 200)), [Field("a", box=(0, 0, 1, 1))]
    (value,), _ = values_of(monkeypatch, page, [], fields, [("12", 0.4)], is_cut=True, has_mark=True)
    assert value.problems == ("confidence", "edge", "mark")


# The value of a field


def parts_of(*lows, end=2):
    """Lines of segments, some of which are short, and their graphs; image n is that of the segment n of all lines."""
    parts, start = [], 0
    for low in map(np.array, lows):
        images = np.tile(np.arange(start, start + len(low), dtype=np.uint8)[:, np.newaxis, np.newaxis], (1, 28, 28))
        strokes = SimpleNamespace(strokes=np.zeros((len(low), 4)))
        boxes = np.tile([0, 0, 9, 20], (len(low), 1)) + np.arange(start, start + len(low))[:, np.newaxis]
        segments = SimpleNamespace(low=low, images=images, pieces=strokes, starts=np.arange(len(low)), boxes=boxes)
        parts.append((segments, SimpleNamespace(end=end, number=len(parts))))
        start += len(low)
    return parts


def field_read(monkeypatch, labels, parts, arcs=None, classes="abcdefghij"):
    """Read a field on this path; return it, and the digits, marks and baseline of each line."""
    monkeypatch.setattr(forms, "may_be_marks", lambda segments: segments.low)
    monkeypatch.setattr(forms, "joined", lambda graphs: tuple(graph.number for graph in graphs))
    path = list(range(len(labels))) if arcs is None else arcs
    monkeypatch.setattr(forms, "most_probable", lambda graph, field: (path, labels, (graph, field)))

    def digits_and_marks(segments, digits, marks_of_line, baseline):
        seen.append((digits.tolist(), marks_of_line.tolist(), baseline))
        return None, [(0, "-")] * len(marks_of_line)

    seen = []
    monkeypatch.setattr(forms, "digits_and_marks", digits_and_marks)
    read = forms._read_field("field", parts, classes)
    assert len(read.text) == len(read.shares)
    return read, seen


def test_low_non_digits_are_not_in_the_value(monkeypatch):
    def text(labels, arcs=None):
        return field_read(monkeypatch, labels, parts_of([False, True], [True, False]), arcs)[0][:2]

    assert text([3, None, 1, None]) == ("db?", ((0, 1), "field"))
    assert text([3, None], [0, 3]) == ("d?", ((0, 1), "field"))
    assert text([0, None], [0, 2]) == ("a", ((0, 1), "field"))
    assert text([None, None], [0, 3]) == ("??", ((0, 1), "field"))  # a scribble
    assert text([None, None], [1, 2]) == ("", 0.0)
    assert field_read(monkeypatch, [], [])[0][:2] == ("", 0.0)


@pytest.mark.parametrize(("end", "value"), [(320, "db"), (321, "?")])
def test_a_field_of_more_than_640_pieces_is_not_read(monkeypatch, end, value):
    read, _ = field_read(monkeypatch, [3, 1], parts_of([False], [False], end=end))
    assert read.text == value


def test_a_mark_in_any_part_of_a_field_is_found(monkeypatch):
    """Arcs 0 to 2 are those of the first part, and 3 and 4 those of the second."""
    parts = parts_of([False] * 3, [False, True])
    read, seen = field_read(monkeypatch, [5, 2, 7, None], parts, [0, 2, 3, 4])
    assert (read.text, read.has_marks) == ("fch", True)
    assert seen == [([0, 2], [], 21.0), ([0], [1], 23.0)]  # the medians of the lower borders
    assert not field_read(monkeypatch, [5, 2, 7], parts, [0, 2, 3])[0].has_marks
    read, seen = field_read(monkeypatch, [5, None], parts, [0, 4])  # a part without digits
    assert (read.text, read.has_marks, seen) == ("f", False, [([0], [], 20.0)])


@pytest.mark.parametrize(("classes", "images"), [("0123456789", [0, 2, 3]), ("abcdefghij", [])])
def test_the_characters_of_a_field_are_evidence_of_its_orientation(monkeypatch, classes, images):
    """The two digits of the first part are cut from one stroke, as are the non-digit and the digit of the second."""
    parts = parts_of([False] * 3, [False, False, True])
    read, _ = field_read(monkeypatch, [5, 2, 7, None, None], parts, [0, 2, 3, 4, 5], classes)
    assert read.shares.tolist() == [1 / 2, 1 / 2, 1 / 3, 1 / 3]
    assert read.images[:, 0, 0].tolist() == images


# The form


def answering(monkeypatch, answer):
    """Let `answer` read the fields: it is called with them and the number of the call, and returns (text, p) or None.

    None is a cell that was not found.
    """
    calls = []

    def values(settings, page, cells, max_segments):
        calls.append((page.ink.shape, [field.name for field in settings.fields], max_segments))
        read = answer(settings.fields, len(calls) - 1)
        return [
            (FieldValue(field.name, "", 0.0, ("no cell",)), forms._Read("", 0.0)) if each is None else
            (FieldValue(field.name, *each, field.problems(each[0])),
             forms._Read(*each, shares=np.ones(len(each[0])), images=np.zeros((len(each[0]), 28, 28), np.uint8)))
            for field, each in zip(settings.fields, read, strict=True)
        ]  # fmt: skip

    monkeypatch.setattr(forms, "_values", values)
    monkeypatch.setattr(orientation, "upright_log_odds", lambda images: 0.0)
    return calls


SHEET = np.full((60, 90), 255, np.uint8)


def test_the_characters_of_all_fields_are_a_line():
    """Those of invalid values are non-digits; empty fields have none."""
    images = np.arange(3, dtype=np.uint8)[:, np.newaxis, np.newaxis] * np.ones((28, 28), np.uint8)
    read = forms._Read("12", 0.81, False, np.array([0.5, 0.5]), images[:2])
    part = forms._Read("1?", 0.25, False, np.array([1.0, 1.0]), images[2:])
    values = [(("confidence", "mark", "edge"), read), (("digits",), read), (("empty",), forms._Read("", 0.0))]
    values += [((), forms._Read("", 0.0)), (("non-digit",), part)]
    found = forms._characters([(FieldValue("a", each.text, each.confidence, why), each) for why, each in values])
    assert found.texts == ["1", "2", "", "", "1", ""]
    np.testing.assert_allclose(found.probabilities, [0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    assert found.shares.tolist() == [0.5, 0.5, 0.5, 0.5, 1, 1]
    assert found.images[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("options", "turns"), [({}, 4), ({"rotate": True}, 4), ({"rotate": False}, 1)])
def test_a_form_is_turned_unless_its_orientation_is_known(monkeypatch, options, turns):
    calls = answering(monkeypatch, lambda fields, n: [("1", 0.0)])
    read_form(SHEET, [Field("a", box=(0, 0, 1, 1))], **options)
    assert [shape for shape, _, _ in calls] == [(60, 90), (90, 60), (60, 90), (90, 60)][:turns]


def test_a_form_that_cannot_be_read_when_turned_is_read_as_it_is(monkeypatch):
    def answer(fields, n):
        if n not in allowed:
            raise InputError("a texture")
        return [("1", 0.4)]

    allowed = [0]
    answering(monkeypatch, answer)
    fields = [Field("a", box=(0, 0, 1, 1))]
    assert read_form(SHEET, fields) == (FieldValue("a", "1", 0.4, ()),)
    allowed.clear()
    with pytest.raises(InputError, match="a texture"):
        read_form(SHEET, fields)


@pytest.mark.parametrize(
    ("before", "after", "turns"),
    [
        (("3473", 0.99), ("3473", 1.0), 0),  # the mean probability is 0.9975
        (("3473", 0.9), ("3473", 1.0), 0),  # 4 * above(1.0) = 11.733, less 4 * above(0.974) = 6.50
        (("3473", 0.8), ("3473", 1.0), 1),  # less 4 * above(0.946) = 4.07
        (("?473", 0.9), ("3473", 1.0), 1),
        (("347", 0.5), ("347", 0.95), 0),  # 3 * above(0.983) = 5.77
        (("347", 0.5), ("347", 0.96), 1),  # 6.19
        (("347", 0.5), ("?347", 1.0), 0),  # 8.800 - 3; the mean probability is below 0.85
        (("", 0.0), ("347", 0.96), 1),
        (("3", 0.5), ("3", 1.0), 0),  # alone
    ],
)
def test_a_form_is_turned_if_its_digits_are_clearly_more_legible(monkeypatch, before, after, turns):
    answering(monkeypatch, lambda fields, n: [{0: before, 1: after}.get(n, ("", 0.0))])
    assert read_form(SHEET, [Field("a", box=(0, 0, 1, 1))])[0].rotation == 90 * turns


@pytest.mark.parametrize(
    ("options", "turns"),
    [({}, 1), ({"digits": 4}, 1), ({"digits": 5}, 0), ({"checksum": "mod11"}, 1), ({"checksum": "luhn"}, 0)],
)
def test_only_values_that_obey_their_rules_are_evidence(monkeypatch, options, turns):
    """For mod 11, the sum of 3476 is 6 + 2 * 7 + 3 * 4 + 4 * 3 = 44; for Luhn, it is 6 + 5 + 4 + 6 = 21."""
    answering(monkeypatch, lambda fields, n: [("3476", 1.0) if n == 1 else ("", 0.0)])
    assert read_form(SHEET, [Field("a", box=(0, 0, 1, 1), **options)])[0].rotation == 90 * turns


@pytest.mark.parametrize("optional", [True, False])
def test_empty_fields_are_no_evidence_against_a_turn(monkeypatch, optional):
    """Most fields of a form may be empty, in any orientation."""
    answering(monkeypatch, lambda fields, n: [("3473", 1.0) if n == 2 and k == 0 else ("", 0.0) for k in range(40)])
    fields = [Field(f"f{n}", box=(0, 0, 0.1, 0.1), optional=optional) for n in range(40)]
    assert {value.rotation for value in read_form(SHEET, fields)} == {180}


def test_many_fields_are_read_as_they_are_if_not_all_can_be_read_after_a_turn(monkeypatch):
    def answer(fields, n):
        if n == 4:
            raise InputError("a texture")
        return [("3", 1.0 if n == 2 else 0.1)] * len(fields)

    calls = answering(monkeypatch, answer)
    found = read_form(SHEET, [Field(f"f{n}", box=(0, 0, 0.1, 0.1)) for n in range(101)])
    assert [len(names) for _, names, _ in calls] == [101, 100, 100, 100, 101]
    assert {(each.confidence, each.rotation) for each in found} == {(0.1, 0)}


@pytest.mark.parametrize(
    ("grid", "as_it_is", "turns"),
    [(0, [None, None, None], 0), (0, [None, 0.1, 0.1], 0), (0, [0.1, 0.1, 0.1], 2), ((1, 3), [None, None, None], 2)],
)
def test_a_cell_found_only_after_a_turn_is_no_reason_for_it(monkeypatch, grid, as_it_is, turns):
    """It may belong to another table, which a wrong number of a grid selects, but not rows and columns."""

    def answer(fields, n):
        return [p and ("3", p) for p in as_it_is] if n == 0 else [("3", 1.0 if n == 2 else 0.1)] * 3

    answering(monkeypatch, answer)
    fields = [Field(f"f{n}", cell=(0, n), grid=grid) for n in range(3)]
    assert read_form(SHEET, fields)[0].rotation == 90 * turns


@pytest.mark.parametrize("turns", [0, 2])
def test_of_many_fields_a_sample_is_read_in_each_orientation(monkeypatch, turns):
    """Of 250 fields, 100 are read after each turn, and all of them after the best."""

    upright = (0,) if turns == 0 else (2, 4)  # calls
    calls = answering(monkeypatch, lambda fields, n: [("3", 1.0 if n in upright else 0.1)] * len(fields))
    fields = [Field(f"f{n}", box=(0, 0, 0.1, 0.1)) for n in range(250)]
    found = read_form(SHEET, fields)
    names = [names for _, names, _ in calls]
    assert [len(each) for each in names] == ([250] if turns == 0 else [250, 100, 100, 100, 250])
    assert names[-1] == [field.name for field in fields]
    assert all(each == sorted(set(each), key=names[-1].index) == names[1] for each in names[1:-1])
    assert [limit for *_, limit in calls] == ([15_000] if turns == 0 else [15_000, 3300, 3300, 3300, 15_000])
    assert {(each.confidence, each.rotation) for each in found} == {(1.0, 90 * turns)}


@pytest.mark.parametrize(("count", "error"), [(3, None), (4, "cover the sheet 4 times; expected at most 3")])
def test_fields_may_cover_the_sheet_three_times(count, error):
    page, fields = np.full((60, 90), 255, np.uint8), [Field(f"f{n}", box=(0, 0, 1, 1)) for n in range(count)]
    if error is None:
        assert len(read_form(page, fields)) == count
    else:
        with pytest.raises(InputError, match=error):
            read_form(page, fields)


def test_the_writing_around_a_grid_is_kept(monkeypatch):
    calls = []
    monkeypatch.setattr(forms, "without_grids", lambda page, **options: calls.append(options) or (page, ()))
    read_form(np.full((60, 90), 255, np.uint8), [Field("a", box=(0, 0, 1, 1))], rotate=False)
    assert calls == [{"isolate": False}]


@pytest.mark.parametrize(("limit", "valid"), [(0, True), (1, True), (-0.01, False), (1.01, False)])
def test_the_limit_of_confidences_is_from_0_to_1(limit, valid):
    page, fields = np.full((60, 90), 255, np.uint8), [Field("a", box=(0, 0, 1, 1))]
    if valid:
        assert read_form(page, fields, check_below=limit)[0].problems == ("empty",)
    else:
        with pytest.raises(InputError, match=rf"^check_below is {limit}; expected a number from 0 to 1\.$"):
            read_form(page, fields, check_below=limit)


def test_an_invalid_number_of_threads_is_rejected_although_nothing_is_read():
    page = np.full((60, 90), 255, np.uint8)
    for call in (lambda: read(page, n_jobs=0), lambda: read_form(page, [Field("a", box=(0, 0, 1, 1))], n_jobs=0)):
        with pytest.raises(InputError, match=r"^n_jobs is 0"):
            call()


@pytest.mark.parametrize(
    ("classes", "checksum", "valid"),
    [("0123456789", "ean", True), ("0123456789", None, True), ("0123456798", None, True), ("0123456798", "ean", False)],
)
def test_a_checksum_is_of_the_ten_digits(classes, checksum, valid):
    model = lenet.LeNet5(seed=0)
    model.classes = list(classes)
    fields = [Field("a", cell=(0, 0)), Field("b", cell=(0, 1), checksum=checksum)]
    if valid:
        forms.check_checksums(fields, model)
    else:
        with pytest.raises(InputError, match="expected a model of the digits from 0 to 9"):
            forms.check_checksums(fields, model)
