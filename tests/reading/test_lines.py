"""Sheets are found, rules and frames erased, strokes grouped into lines, and touching digits cut."""

import tracemalloc

import numpy as np
import pytest
from drawn_ink import bars
from versions import FONTS_OF_OPENCV_5

import lenet
from lenet.errors import InputError
from lenet.reading import Field, prepare, read, read_form, reader
from lenet.reading import lines as lines_module
from lenet.reading.cells import cells_of, chains_of, may_have_cells
from lenet.reading.frames import without_frames
from lenet.reading.ink import find_darkness, normalised
from lenet.reading.lines import InkLine, find_lines
from lenet.reading.page import Page
from lenet.reading.page import page_of as page_of_picture
from lenet.reading.pieces import pieces_of
from lenet.reading.rules import straight_lines, without_printed_rules, without_rules
from lenet.reading.seams import seams, valley_seams
from lenet.reading.sheet import _at_border, find_sheets

cv2 = pytest.importorskip("cv2")


def numbers(texts, shape=(600, 800), place=(120, 100), height=60, step=110):
    """Ink of numbers in a plain font of vectors, one below the other."""
    ink = np.zeros(shape, np.uint8)
    for line, text in enumerate(texts):
        at = (place[0], place[1] + line * step)
        cv2.putText(ink, text, at, cv2.FONT_HERSHEY_SIMPLEX, height / 22, 255, max(2, height // 12), cv2.LINE_AA)
    return ink


def page_of(ink):
    return Page(ink, ink.shape)


def paper(ink, level=235, dark=40):
    return (level - (level - dark) * (ink / 255.0)).astype(np.uint8)


def with_grid(ink, step, down=True):
    ruled = ink.copy()
    for y in range(30, ink.shape[0] - 20, step):
        cv2.line(ruled, (10, y), (ink.shape[1] - 10, y), 255, 2)
    for x in range(30, ink.shape[1] - 20, step) if down else ():
        cv2.line(ruled, (x, 10), (x, ink.shape[0] - 10), 255, 2)
    return ruled


# Sheets


def on_a_table(page, shape=(900, 1200), angle=8):
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), angle, 0.8)
    turn[:, 2] += 150, 100
    return cv2.warpAffine(page, turn, shape[::-1], borderValue=60)


def test_a_light_sheet_on_a_dark_table_is_found():
    page = paper(numbers(["2741", "605"]))
    picture = on_a_table(page)
    sheet = find_sheets(cv2.resize(picture, (256, 192), interpolation=cv2.INTER_AREA))
    truth = on_a_table(np.full_like(page, 255)) == 255
    truth = cv2.resize(truth.astype(np.uint8), (256, 192), interpolation=cv2.INTER_AREA) == 1
    assert not (sheet & ~truth).any()
    assert sheet.sum() > 0.75 * truth.sum()


def test_digits_on_a_sheet_are_read_and_the_table_is_not():
    shaded = paper(numbers(["2741", "605"])) * np.linspace(1, 0.6, 800)
    assert read(on_a_table(shaded.astype(np.uint8))).text == "2741\n605"


def test_all_sheets_on_a_table_are_read():
    """Of 0.08 and 0.05 of the picture, tilted differently."""
    picture = np.full((900, 1200), 60, np.uint8)
    for text, scale, angle, corner in (("2741", 0.5, 8, (60, 50)), ("605", 0.4, -5, (700, 420))):
        page = paper(numbers([text]))[:400]
        turn = cv2.getRotationMatrix2D((0, 0), angle, scale)
        turn[:, 2] += corner[0], corner[1] + 80
        picture = np.maximum(picture, cv2.warpAffine(page, turn, picture.shape[::-1]))
    assert read(picture).text == "2741\n605"


def test_a_sheet_on_a_table_with_a_coarse_grain_is_found():
    """The grain is as dark, relative to the wood around it, as ink on paper."""
    page = paper(numbers(["2741", "605"]))
    grain = np.random.default_rng(0).choice([30, 60, 90], 45).repeat(20)[:, np.newaxis]
    is_table = on_a_table(np.full_like(page, 255)) < 255
    picture = np.where(is_table, grain, on_a_table(page)).astype(np.uint8)
    sheet = find_sheets(cv2.resize(picture, (256, 192), interpolation=cv2.INTER_AREA))
    assert sheet is not None
    assert not (sheet & (cv2.resize(is_table.astype(np.uint8), (256, 192)) > 0)).any()
    assert read(picture).text == "2741\n605"


def test_the_shadows_of_a_sheet_on_a_light_table_are_not_read_as_ones():
    """The wood has less than 0.8 of the level of the paper; before, 0.6 was the limit."""
    page = paper(numbers(["2741", "605"]))
    grain = cv2.resize(np.random.default_rng(0).normal(170, 14, (150, 6)), (1200, 900), interpolation=cv2.INTER_CUBIC)
    is_table = on_a_table(np.full_like(page, 255)) < 255
    shadow = cv2.GaussianBlur(np.roll(~is_table, (12, 12), (0, 1)).astype(float), (0, 0), 6)
    picture = np.where(is_table, grain * (1 - 0.45 * shadow), on_a_table(page)).astype(np.uint8)
    assert read(picture).text == "2741\n605"


def test_a_strip_of_table_beside_a_sheet_is_not_ink():
    """The sheet reaches the upper border of the picture, and little of the table is visible."""
    page = np.full((192, 256), 200, np.uint8)
    page[:, :11] = page[:, 245:] = page[181:] = 40
    cv2.putText(page, "27 605", (60, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 60, 1)
    sheet = find_sheets(page)
    assert sheet is not None
    assert sheet[20:150, 30:220].all()


def test_an_outline_runs_along_the_border_in_the_two_outermost_pixels():
    def at_border(distance):
        """The fractions of four outlines of one pixel each, at a distance from one side of a picture of 40 by 60."""
        points = [(distance, 20), (30, distance), (59 - distance, 20), (30, 39 - distance)]  # x, y
        return [_at_border(np.array([[point]], np.int32), (40, 60)) for point in points]

    assert (at_border(0), at_border(1), at_border(2)) == ([1] * 4, [1] * 4, [0] * 4)


@pytest.mark.parametrize(
    "picture",
    [
        paper(numbers(["2741"])),
        255 - paper(numbers(["2741"])),
        np.full((200, 200), 255, np.uint8),
        np.pad(np.full((100, 60), 255, np.uint8), 60),  # a bold 1: nothing is written on it
        (paper(numbers(["2741"])) * np.linspace(1, 0.4, 800)).astype(np.uint8),
    ],
    ids=["paper", "board", "blank", "bar", "shadow"],
)
def test_a_picture_without_a_sheet_gives_none(picture):
    assert find_sheets(cv2.resize(picture, (256, 192), interpolation=cv2.INTER_AREA)) is None


@pytest.mark.parametrize("light", [np.s_[-1], np.s_[:, -1], np.s_[:0]], ids=["last row", "last column", "nothing"])
def test_no_sheet_where_hardly_anything_is_light(light):
    picture = np.zeros((212, 131), np.uint8)
    picture[light] = 200
    assert find_sheets(picture) is None


def test_a_light_digit_is_not_a_sheet():
    for image in lenet.data.load_digits().X_test[:200]:
        assert find_sheets(cv2.resize(image, (224, 224), interpolation=cv2.INTER_CUBIC)) is None


def test_a_shadow_at_the_border_is_not_ink():
    y, x = np.mgrid[:600, :800]
    shadow = 1 - 0.6 / (1 + np.exp((x + y - 500) / 60.0))
    ink = normalised(find_darkness((paper(numbers(["2741"], place=(400, 450))) * shadow).astype(np.uint8)))
    assert (ink[:380, :380] < 96).mean() > 0.999


def test_a_stroke_along_the_border_of_a_cropped_picture_is_ink_and_a_shadow_is_not():
    stroke, shadow = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    stroke[5:, 26:33] = stroke[55:, 18:42] = True
    shadow[:, 55:] = True
    page = np.where(stroke, 60, np.where(shadow, 120, 200)).astype(np.uint8)
    np.testing.assert_array_equal(normalised(find_darkness(page, True, cropped=True)) > 0, stroke)
    np.testing.assert_array_equal(normalised(find_darkness(255 - page, False, cropped=True)) > 0, stroke)
    assert not normalised(find_darkness(page, True))[57:, 18:21].any()


def test_a_shadow_that_touches_a_stroke_is_not_ink():
    page = np.full((60, 60), 200, np.uint8)
    page[:, 50:] = 60
    page[25:32, 20:50] = 60
    assert not normalised(find_darkness(page, True, cropped=True))[:20, 50:].any()


@pytest.mark.parametrize("is_light", [False, True])
def test_the_base_of_a_2_cropped_to_its_ink_is_in_the_image(is_light):
    page = np.full((60, 40), 200, np.uint8)
    cv2.polylines(page, [np.array([(4, 14), (18, 3), (34, 12), (26, 30), (4, 56), (37, 56)])], False, 60, 7)
    page = (page + np.random.default_rng(0).normal(0, 4, page.shape)).round().astype(np.uint8)
    image = prepare(255 - page if is_light else page)
    rows = np.flatnonzero(image.any(axis=1))
    base = (image[rows[-3] :].max(axis=0) > 128).sum()
    assert 12 <= base <= 14  # of 20 * 40 / 60 columns


def test_ink_that_fills_much_of_a_small_picture():
    page = np.full((20, 40), 220, np.uint8)
    page[2:18, 12:28] = 60
    np.testing.assert_array_equal(normalised(find_darkness(page, True)) > 0, page == 60)


def test_paper_noise_is_not_ink():
    """Of 60,000 normally distributed pixels, 0.02 are expected to be 5 standard deviations darker than the mean."""
    page = np.full((400, 400), 200.0)
    page[150:250, 190:202] = 40
    page += np.random.default_rng(0).normal(0, 3, page.shape)
    ink = normalised(find_darkness(page.clip(0, 255).round().astype(np.uint8)))
    assert not ink[:, :150].any()
    assert ink[200, 195] > 200


# Rules, grids and frames


@pytest.mark.parametrize("down", [False, True], ids=["ruled", "squared"])
def test_rules_and_grids_are_erased_and_digits_kept(down):
    digits = numbers(["2741", "605", "98"])
    left = without_printed_rules(page_of(with_grid(digits, 70, down=down))).ink
    strokes = digits >= 128
    assert (left[strokes] >= 96).mean() > 0.93
    assert (left[~cv2.dilate(strokes.astype(np.uint8), np.ones((7, 7))).astype(bool)] >= 96).mean() < 0.002


def ruled(ink, thick, step=70):
    ink = ink.copy()
    for y in range(step, len(ink) - step // 2, step):
        ink[y : y + thick, 10:-10] = 255
    return ink


@pytest.mark.parametrize("thick", [1, 2, 4])
@pytest.mark.parametrize("turned", [False, True], ids=["across", "down"])
def test_strokes_that_cross_printed_rules_stay_whole(thick, turned):
    """They cross three rules, and end 20 pixels or more from one."""
    strokes = np.zeros((600, 800), np.uint8)
    for number in range(8):
        top = 50 + 70 * (number % 4)
        strokes[top : top + 185, 60 + 90 * number : 67 + 90 * number] = 255
    page = ruled(strokes, thick)
    page, strokes = (page.T.copy(), strokes.T) if turned else (page, strokes)
    np.testing.assert_array_equal(without_printed_rules(page_of(page)).ink, strokes)


@pytest.mark.parametrize("thick", [2, 4])
def test_strokes_as_thick_as_a_rule_are_erased_with_it(thick):
    """A stroke that protrudes by 1 pixel is a part of the rule; one that protrudes by 4 crosses it."""
    page, expected = ruled(np.zeros((600, 800), np.uint8), thick), np.zeros((600, 800), np.uint8)
    page[139 : 141 + thick, 60:67] = 255
    for place in (page, expected):
        place[136 : 144 + thick, 160:167] = 255
    np.testing.assert_array_equal(without_printed_rules(page_of(page)).ink, expected)


def test_dark_strokes_along_faint_rules_keep_their_ink():
    strokes = np.zeros((600, 800), np.uint8)
    strokes[90:143, 60:63] = strokes[90:143, 110:113] = strokes[140:143, 60:113] = 255  # a U that stands on a rule
    faint = ruled(np.zeros_like(strokes), 3) // 255 * 120
    left = without_printed_rules(page_of(np.maximum(faint, strokes))).ink
    assert (left[strokes > 0] == 255).all()
    assert np.count_nonzero(left[strokes == 0]) < 10


def test_the_soft_edges_of_printed_rules_are_erased():
    page = ruled(np.zeros((600, 800), np.uint8), 2)
    page = np.maximum(page, cv2.blur(page, (1, 3)) // 2)
    assert (page[page < 255] > 0).sum() > 10_000
    assert not without_printed_rules(page_of(page)).ink.any()


@pytest.mark.parametrize("turned", [False, True], ids=["across", "down"])
def test_pale_rules_that_noise_breaks_are_erased(turned):
    strokes = np.zeros((600, 800), np.uint8)
    strokes[85:120, 60:68] = strokes[160:195, 90:98] = 255
    levels = np.random.default_rng(0).integers(48, 150, 400, np.uint8).repeat(2)  # less or more than 96
    page = np.where(ruled(np.zeros_like(strokes), 4) > 0, levels, strokes)
    page, strokes = (np.ascontiguousarray(each.T) if turned else each for each in (page, strokes))
    np.testing.assert_array_equal(without_printed_rules(page_of(page)).ink, strokes)


def test_the_line_of_a_margin_is_erased_on_ruled_paper_only():
    page = np.zeros((600, 800), np.uint8)
    page[20:580, 90:94] = 255
    assert without_printed_rules(page_of(page)).ink.any()
    assert not without_printed_rules(page_of(ruled(page, 3))).ink.any()


@pytest.mark.parametrize("slope", [0.0175, 0.05, 0.07])
def test_lines_between_two_slopes_are_erased_as_well(slope):
    ink = np.zeros((600, 800), np.uint8)
    cv2.line(ink, (20, 250), (780, 250 + round(760 * slope)), 255, 2)
    assert (without_rules(page_of(ink), 60.0).ink >= 96).sum() < 5  # of the ends


@pytest.mark.parametrize("slope", [-0.0525, -0.025, 0.0, 0.025, 0.0525])
def test_long_lines_are_found_whether_they_rise_or_fall(slope):
    binary = np.zeros((140, 600), np.uint8)
    cv2.line(binary, (10, round(70 - 290 * slope)), (590, round(70 + 290 * slope)), 1, 2)
    assert straight_lines(binary, 180)[binary > 0].mean() > 0.95


@pytest.mark.parametrize("angle", [-2, 2])
def test_slanted_strokes_keep_their_ink_where_they_cross_slanted_rules(angle):
    strokes = np.zeros((600, 800), np.uint8)
    for number in range(6):
        top = 50 + 70 * (number % 4)
        cv2.line(strokes, (100 + 110 * number, top + 185), (130 + 110 * number, top), 255, 8, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((400, 300), angle, 1)
    page, alone = (cv2.warpAffine(ink, turn, (800, 600)) for ink in (ruled(strokes, 2), strokes))
    left = without_printed_rules(page_of(page))
    assert (left.ink >= 128).sum() == pytest.approx((alone >= 128).sum(), rel=0.03)
    assert left.strokes.boxes.shape == (6, 4)


@pytest.mark.parametrize("down", [False, True], ids=["ruled", "squared"])
@pytest.mark.parametrize("angle", [-4, 0, 4])
def test_numbers_on_ruled_paper_are_read(angle, down):
    page = with_grid(numbers(["2741", "605", "98"]), 70, down=down)
    turn = cv2.getRotationMatrix2D((400, 300), angle, 0.9)
    assert read(paper(cv2.warpAffine(page, turn, (800, 600)))).text == "2741\n605\n98"


def test_a_column_of_ones_on_ruled_paper_is_no_margin():
    page, texts = np.zeros((700, 500), np.uint8), [str(number) for number in range(10, 20)]
    for line, text in enumerate(texts):
        cv2.line(page, (10, 98 + 50 * line), (490, 98 + 50 * line), 120, 2)
        cv2.putText(page, text, (100, 90 + 50 * line), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 3, cv2.LINE_AA)
    assert read(255 - page).text.split() == texts


def test_the_bar_of_a_large_7_is_not_a_rule():
    page = np.zeros((800, 800), np.uint8)
    cv2.polylines(page, [np.array([[150, 120], [650, 130], [330, 700]])], False, 255, 16, cv2.LINE_AA)
    assert read(255 - page).text == "7"


@pytest.mark.parametrize("angle", [0, 6])
def test_frames_are_erased_with_digits_in_them_kept(angle):
    page = numbers(["2741", "605"])
    for line, right in enumerate((340, 290)):
        cv2.rectangle(page, (95, 20 + 110 * line), (right, 115 + 110 * line), 255, 3)
    page = cv2.warpAffine(page, cv2.getRotationMatrix2D((400, 300), angle, 1), (800, 600))
    assert read(paper(page)).text == "2741\n605"


def test_a_0_around_a_speck_is_not_a_frame():
    ink = numbers(["0"], (200, 200), (50, 160), 120)
    ink[98:102, 92:96] = 255
    page = page_of(ink)
    assert without_frames(page) is page


def test_a_page_without_rules_and_frames_is_labelled_once(monkeypatch):
    calls = []
    label = cv2.connectedComponentsWithStats
    monkeypatch.setattr(
        "lenet._extras.cv2.connectedComponentsWithStats",
        lambda *args, **kwargs: calls.append(0) or label(*args, **kwargs),
    )
    assert len(find_lines(page_of_picture(paper(numbers(["2741", "605"]))))) == 2
    assert len(calls) == 1


def test_a_long_line_is_erased_across_and_down():
    ink = numbers(["274"])
    cv2.line(ink, (20, 400), (700, 400), 255, 3)
    cv2.line(ink, (760, 50), (760, 550), 255, 3)
    left = without_rules(page_of(ink), 60.0).ink
    assert (left[300:] >= 96).sum() < 3  # of the ends
    assert (left[:150, :500] == ink[:150, :500]).all()


@pytest.mark.parametrize(("width", "count"), [(80, 6), (81, 0)])
def test_cells_are_at_most_four_times_as_wide_as_high(width, count):
    lines = np.zeros((61, 2 * width + 1), np.uint8)
    lines[::20] = lines[:, ::width] = 1
    assert len(cells_of(lines)) == count


@pytest.mark.parametrize(("holes", "expected"), [([3, 3], False), ([4], True), ([1, 4], True), ([], False)])
def test_a_component_of_four_holes_may_be_a_grid(holes, expected):
    lines = np.zeros((60, 200), np.uint8)
    for component, count in enumerate(holes):
        row = lines[2 + 30 * component : 22 + 30 * component, 2 : 3 + 20 * count]
        row[[0, -1]] = row[:, ::20] = 1
    assert may_have_cells(lines) is expected


def test_cells_that_follow_each_other_are_in_one_chain():
    follows = np.zeros((5, 5), bool)
    follows[1, 3] = follows[4, 3] = True
    chains = chains_of(follows)
    assert chains[1] == chains[3] == chains[4]
    assert sorted(chains[:3]) == [0, 1, 2]


# Lines


def apart(words, height, gap):
    """Ink of words in a row; the gaps between them are in heights of the writing."""
    parts = []
    for word in words:
        ink = numbers([word], (3 * height, 6 * height), (height, 2 * height), height)
        rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
        parts += [ink[2 * height - len(rows) : 2 * height + 8, columns[0] : columns[-1] + 1]]
        parts += [np.zeros((len(parts[-1]), round(gap * len(rows))), np.uint8)]
    tall = max(map(len, parts))
    return np.pad(np.hstack([np.pad(part, ((tall - len(part), 0), (0, 0))) for part in parts[:-1]]), height)


@FONTS_OF_OPENCV_5
@pytest.mark.parametrize("height", [24, 60, 120])
@pytest.mark.parametrize("words", [("27", "41"), ("2", "7"), ("60", "58", "3")])
def test_gaps_of_nine_tenths_of_the_height_are_spaces(words, height):
    assert read(paper(apart(words, height, 0.8))).text == "".join(words)
    assert read(paper(apart(words, height, 1.0))).text == " ".join(words)
    assert read(paper(apart(words, height, 2.0))).text == " ".join(words)  # one, however wide the gap is


@pytest.mark.parametrize("angle", [-8, -3, 3, 8])
def test_rows_of_short_numbers_on_tilted_pages_are_in_order(angle):
    columns = ["27", "60", "83"], ["41", "58", "96"], ["72", "35", "24"]
    page = np.maximum.reduce([numbers(texts, place=(100 + 250 * n, 180), height=40) for n, texts in enumerate(columns)])
    turn = cv2.getRotationMatrix2D((400, 300), angle, 0.9)
    reading = read(paper(cv2.warpAffine(page, turn, (800, 600))))
    assert reading.text.split() == ["27", "41", "72", "60", "58", "35", "83", "96", "24"]


def test_large_writing_is_read_as_well_as_small():
    for height in (16, 40, 200):
        page = numbers(["274"], (height * 2, height * 6), (height, height * 3 // 2), height)
        reading = read(paper(page))
        assert reading.text == "274"
        left, top, right, bottom = reading.lines[0].box
        assert abs((bottom - top) - np.ptp(np.flatnonzero(page.any(axis=1)))) < 0.15 * height
        assert abs((right - left) - np.ptp(np.flatnonzero(page.any(axis=0)))) < 0.15 * height


def test_boxes_lead_back_through_turning_and_scaling():
    page = numbers(["274196", "605338"], (1500, 2600), (300, 500), 160, 400)
    turned = cv2.warpAffine(page, cv2.getRotationMatrix2D((1300, 750), 5, 1), (2600, 1500))
    (line, _) = read(paper(turned)).lines
    whole = turned.any(axis=1)
    assert line.box[1] == pytest.approx(np.flatnonzero(whole)[0], abs=25)
    for digit in line.digits:
        left, top, right, bottom = digit.box
        assert turned[top:bottom, left:right].any()


@pytest.mark.timing
def test_rings_among_specks_are_refused_before_all_their_shapes_are_classified(monkeypatch):
    """This picture took 6 s; a page of 2,000 digits has some 4,000 shapes."""
    page = np.full((400, 400), 255, np.uint8)
    for radius in range(3, 860, 8):
        cv2.circle(page, (200, 200), radius, 0, 5)
    rng = np.random.default_rng(100)
    for row, column in rng.integers(0, 400, (4000, 2)).tolist():
        page[row : row + 4, column : column + 5] = 0
    counts, classify = [], lenet.LeNet5.predict_proba

    def counted(model, x, **options):
        counts.append(len(x))
        return classify(model, x, **options)

    monkeypatch.setattr(lenet.LeNet5, "predict_proba", counted)
    with pytest.raises(InputError, match="shapes that may be digits; expected at most 15,000"):
        read(page)
    assert sum(counts) < 1000  # the strokes that may be legible


def test_stacked_zigzags_are_refused_before_they_are_cut(monkeypatch):
    """Each box is wide, and overlaps five others. A larger picture of this kind took 30 s."""
    page = np.full((600, 640), 255, np.uint8)
    for top in range(5, 535, 12):
        points = [(x, top + 60 * (n % 2)) for n, x in enumerate(range(5, 605, 30))]
        cv2.polylines(page, [np.array(points, np.int32)], False, 0, 2)
    monkeypatch.setattr(reader, "pieces_of", None)
    with pytest.raises(InputError, match="wide strokes that take too long to cut"):
        read(page)
    with pytest.raises(InputError, match="wide strokes that take too long to cut"):
        read_form(page, [Field("all", box=(0, 0, 1, 1), digits=1)], rotate=False)


def test_strokes_that_an_erased_rule_leaves_are_counted_again(monkeypatch):
    """Rings in a grid were one stroke, and 25,125 without its lines; grouping them took 4 s."""
    ink = np.zeros((300, 900), np.uint8)
    ink[20:60, 440:444] = ink[200:202, 20:880] = 255
    for left in range(30, 870, 20):
        ink[180:220, left : left + 4] = 255
    monkeypatch.setattr(lines_module, "MAX_STROKES", 42)
    with pytest.raises(InputError, match="The picture has 43 strokes; expected at most 42"):
        find_lines(page_of(ink))


@pytest.mark.landing
def test_a_texture_of_one_stroke_is_refused_too():
    """Squares at random in four of five places are one stroke, which is cut into many pieces."""
    squares = 255 * (np.random.default_rng(0).random((250, 250)) < 0.8).astype(np.uint8)
    with pytest.raises(InputError, match="pieces of strokes; expected at most 5,000"):
        read(squares.repeat(4, axis=0).repeat(4, axis=1))


# Pieces


def pieces_from(ink):
    page = page_of(ink)
    return pieces_of(InkLine(page, np.arange(len(page.strokes.boxes))))


def test_touching_digits_are_cut_between_them():
    ink = np.zeros((40, 80), np.uint8)
    cv2.ellipse(ink, (20, 20), (10, 15), 0, 0, 360, 255, 3)
    cv2.ellipse(ink, (46, 20), (10, 15), 0, 0, 360, 255, 3)
    ink[19:22, 31:35] = 255  # they touch here
    [(columns, costs)] = seams([ink], 33.0)
    touching = (columns[:, 20] >= 31) & (columns[:, 20] <= 36)
    assert touching.any()
    assert costs[touching].min() < 1.5


def test_digits_that_touch_along_their_sides_are_cut_from_valley_to_valley():
    ink = np.zeros((60, 90), np.uint8)
    for x in (24, 62):
        cv2.ellipse(ink, (x, 30), (19, 25), 0, 30, 330, 255, 5, cv2.LINE_AA)
        cv2.ellipse(ink, (x, 30), (19, 25), 0, -25, 25, 255, 5, cv2.LINE_AA)
    assert (ink[22:39, 40:47] >= 96).all()  # their contact
    [(columns, costs)] = seams([ink], 50.0)
    between = (np.abs(columns - 43) <= 3).all(axis=1)
    assert between.sum() == 1
    assert costs[between] <= 1


def test_a_notch_at_the_end_of_a_stroke_is_no_valley():
    ink = np.zeros((40, 60), np.uint8)
    ink[:, :40] = ink[15:25] = 255
    assert not valley_seams(ink, 40.0).size


def test_seams_follow_a_slant():
    ink = np.zeros((60, 90), np.uint8)
    for x in (15, 27, 39):
        cv2.line(ink, (x + 25, 5), (x, 55), 255, 4)
    ink[30:33, 25:50] = 255  # joins three bars into one stroke
    [(columns, costs)] = seams([ink], 50.0)
    between = (columns[:, 10] - columns[:, 50] >= 10) & (costs < 1.2)  # a straight seam crosses a bar at least
    assert between.sum() == 2


def test_seams_do_not_cross_and_pieces_share_all_ink():
    rng = np.random.default_rng(3)
    digits = lenet.data.load_digits().X_train
    ink = np.zeros((60, 300), np.uint8)
    for n, place in enumerate(rng.integers(0, 12, 12)):
        part = digits[n][4:24, 6:22]
        left = 10 + 15 * n + int(place) // 6
        ink[20:40, left : left + 16] = np.maximum(ink[20:40, left : left + 16], part)
    [(columns, costs)] = seams([ink], 20.0)
    assert len(columns) == len(costs) > 5
    assert (np.diff(columns, axis=0) >= 0).all()
    pieces = pieces_from(ink)
    assert (pieces.labels[pieces.line.ink >= 96] > 0).all()
    assert len(pieces.cuts) == len(pieces.boxes) + 1
    for n, (left, top, right, bottom) in enumerate(pieces.boxes):
        assert (pieces.labels[top:bottom, left:right] == n + 1).any()
    centres = pieces.boxes[:, 0] + pieces.boxes[:, 2]
    assert (np.diff(centres) >= 0).all()


def test_strokes_beside_others_have_the_seams_that_they_have_alone(monkeypatch):
    strokes = []
    for height, width in ((40, 50), (60, 30), (25, 80), (60, 44)):
        strokes.append(np.zeros((height, width), np.uint8))
        strokes[-1][:, np.arange(width) % 12 < 4] = 255
        strokes[-1][height // 3] = 200
    alone = [found for ink in strokes for found in seams([ink], 30.0)]
    assert [len(costs) for _, costs in alone] == [4, 2, 7, 4]  # the gaps between bars, and after the last one
    for pixels in (2**18, 5000, 10):  # at once, some at a time, or one
        monkeypatch.setattr("lenet.reading.seams._MAX_PIXELS", pixels)
        for (columns, costs), (other_columns, other_costs) in zip(seams(strokes, 30.0), alone, strict=True):
            np.testing.assert_array_equal(columns, other_columns)
            np.testing.assert_allclose(costs, other_costs)


def test_high_strokes_among_many_narrow_ones_take_little_memory():
    """Side by side, and each as high as the highest, the strokes of this line took 500 MB."""
    ink = np.zeros((176, 17600), np.uint8)
    ink[80:96, 4::4] = 255
    ink[:, 3500::4000] = 255
    for left in range(1500, 17000, 4000):
        ink[4:172, left : left + 60] = 255
    page = page_of(ink)
    line = InkLine(page, np.argsort(page.strokes.boxes[:, 0]))
    assert len(line.members) > 4000
    tracemalloc.start()
    pieces_of(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


def test_many_strokes_are_cut_a_few_at_a_time():
    """All 80 side by side would be 800,000 pixels, and take 40 MB."""
    stroke = np.zeros((100, 100), np.uint8)
    stroke[40:60] = 255
    tracemalloc.start()
    assert len(seams([stroke] * 80, 100.0)) == 80
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25e6


@pytest.mark.parametrize(("visible", "count"), [(60, 2), (48, 2), (42, 1), (30, 1)])
@pytest.mark.parametrize("turns", [0, 2])
def test_a_line_that_the_border_cuts_is_ignored_below_three_quarters_of_its_height(visible, count, turns):
    """The digits of the first line are 60 pixels high, up to their baseline at row 100."""
    cropped = numbers(["2741", "605"])[100 - visible :]
    assert len(find_lines(page_of(np.ascontiguousarray(np.rot90(cropped, turns))))) == count


@pytest.mark.parametrize(
    ("place", "joins"),
    [
        ((136, 178, 50, 26), True),  # top, left, height and width
        ((136, 213, 50, 26), True),
        ((136, 171, 50, 26), True),
        ((130, 190, 50, 26), False),  # begins in the middle of the digits
        ((159, 190, 36, 26), True),
        ((160, 190, 30, 26), False),  # below them
        ((157, 190, 50, 26), True),
        ((158, 190, 50, 26), False),  # ends 48 pixels below them
        ((136, 190, 50, 27), False),
        ((136, 190, 51, 26), False),
        ((137, 190, 24, 26), True),
        ((137, 190, 22, 26), False),  # short
    ],
)
def test_a_long_comma_joins_the_line_of_its_number(place, joins):
    """Two digits are 60 pixels high, from row 100, and end in column 160; a dash begins in column 250."""
    ink = 255 * bars((250, 400), (100, 70, 60, 30), (100, 130, 60, 30), place, (125, 250, 8, 30))
    page = Page(ink, ink.shape)
    boxes = page.strokes.boxes
    (comma,) = np.flatnonzero(boxes[:, 3] == place[0] + place[2])
    digits = np.flatnonzero(boxes[:, 3] == 160)
    found = lines_module._with_commas([InkLine(page, np.array([comma])), InkLine(page, digits)], 60.0)
    assert sorted(len(line.members) for line in found) == ([3] if joins else [1, 2])
    if joins:
        assert found[0].members.tolist() == [*digits, comma]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((159, 170, 22, 12), True),  # begins beside the digits, and ends 21 pixels below them
        ((160, 170, 18, 12), True),  # ends 18 pixels below them
        ((161, 170, 18, 12), False),
        ((161, 170, 17, 12), True),
    ],
)
def test_short_marks_begin_beside_the_digits_or_end_just_below_them(place, expected):
    """Of digits that are 60 pixels high and end at row 160."""
    ink = 255 * bars((250, 300), (100, 70, 60, 30), (100, 130, 60, 30), place)
    page = Page(ink, ink.shape)
    digits = np.flatnonzero(page.strokes.boxes[:, 3] == 160)
    assert len(InkLine(page, digits).short_strokes) == expected


@pytest.mark.parametrize(("before", "after", "count"), [(89, 10, 1), (90, 10, 2), (10, 89, 1), (10, 90, 2)])
def test_several_long_commas_in_a_row_join_the_line_of_their_number(before, after, count):
    """Of three digits that are 60 pixels high, with gaps before and after the second comma."""
    digits = [(100, 70, 60, 30), (100, 150, 60, 30), (100, 200 + before + after, 60, 30)]
    ink = 255 * bars((250, 500), *digits, (136, 110, 50, 20), (136, 180 + before, 50, 20))
    page = Page(ink, ink.shape)
    is_digit = page.strokes.boxes[:, 3] == 160
    lines = [InkLine(page, np.flatnonzero(which)) for which in (~is_digit, is_digit)]
    assert len(lines_module._with_commas(lines, 60.0)) == count


def test_strokes_that_are_not_alone_or_have_nothing_after_them_stay_in_their_lines():
    """Without the dash; and with a taller stroke in the line of the comma; and behind a digit that is not higher."""
    places = [(100, 70, 60, 30), (100, 130, 60, 30), (136, 190, 50, 26), (125, 240, 8, 30), (136, 300, 52, 26)]
    for chosen, groups in (([0, 1, 2], [[0, 1], [2]]), ([0, 1, 2, 3, 4], [[0, 1], [2, 4]])):
        ink = 255 * bars((250, 400), *[places[k] for k in chosen])
        page = Page(ink, ink.shape)
        numbers = {tuple(box[:2]): n for n, box in enumerate(page.strokes.boxes.tolist())}
        lines = [InkLine(page, np.array([numbers[places[k][1], places[k][0]] for k in group])) for group in groups]
        found = lines_module._with_commas(lines, 60.0)
        assert [line.members.tolist() for line in found] == [line.members.tolist() for line in lines]
    assert lines_module._with_commas([], 60.0) == []


def test_a_low_line_beside_the_border_is_kept():
    ink = numbers(["605"], place=(120, 200))
    ink[1:100, 100:] |= numbers(["2741"], (99, 700), (20, 30), height=30)
    assert len(find_lines(page_of(ink))) == 2


@FONTS_OF_OPENCV_5
@pytest.mark.parametrize("flips", [(), (0, 1)])
def test_the_edge_of_a_sheet_across_a_corner_is_not_a_digit(flips):
    edge = np.zeros((600, 800), np.uint8)
    cv2.polylines(edge, [np.array([(600, 2), (720, 30), (797, 120)])], False, 255, 6)
    edge = np.flip(edge, flips)
    ink = numbers(["274", "605"], place=(300, 200)) | edge
    assert sum(line.crosses_corner for line in find_lines(page_of(ink))) == 1
    assert [line.text for line in read(paper(ink)).lines] == ["274", "605"]
    [line] = read(paper(edge)).lines  # alone, it may be a digit
    assert 0.5 < line.confidence < 0.97


@FONTS_OF_OPENCV_5
@pytest.mark.parametrize("text", ["3", "8"])
def test_a_legible_digit_in_a_corner_is_read(text):
    ink = numbers(["274"], place=(300, 300))
    digit = numbers([text], (200, 100), (20, 150))
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    ink[: np.ptp(rows) + 1, : np.ptp(columns) + 1] = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert [line.text for line in read(paper(ink)).lines] == [text, "274"]


@FONTS_OF_OPENCV_5
def test_slivers_at_the_border_are_not_writing_but_thin_and_cropped_digits_are():
    ink = numbers(["274"], (140, 300), (40, 100), 60)
    columns = np.flatnonzero(ink.any(axis=0))
    assert read(paper(ink[:, columns[0] : columns[-1] + 1])).text == "274"
    ink[45:100, 200:202] = 255
    assert read(paper(ink)).text == "2741"
    ink[45:100, :2] = 255
    assert read(paper(ink)).text == "2741"
