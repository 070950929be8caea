"""Sheets of paper at the limits of their size, shape, ink and contrast, and the geometry of their sides."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from lenet.reading import sheet as module
from lenet.reading.coarse import border_of, levels_of, without_ink
from lenet.reading.sheet import corners_of, find_sheets

cv2 = pytest.importorskip("cv2")
LIGHT, GROUND = 200, 40


def rectangle(shape, top, left, height, width, rounded=True):
    """The pixels of a rectangle; the median of 5x5 pixels removes three at each corner."""
    mask = np.zeros(shape, bool)
    box = np.ones((height, width), bool)
    if rounded:
        for corner in (box, box[::-1], box[:, ::-1], box[::-1, ::-1]):
            corner[0, 0] = corner[0, 1] = corner[1, 0] = False
    mask[top : top + height, left : left + width] = box
    return mask


def picture_of(shape, top, left, height, width, ground=GROUND, ink=8):
    """A sheet at a place, with some pixels of ink in a row, on a ground."""
    picture = np.full(shape, ground, np.uint8)
    picture[rectangle(shape, top, left, height, width, rounded=False)] = LIGHT
    picture[top + height // 2, left + 8 : left + 8 + 2 * ink : 2] = 60
    return picture


def test_a_sheet_in_the_corner_of_a_scanner_is_found():
    """Half of its outline is at the border of the picture."""
    sheet = find_sheets(picture_of((140, 100), 0, 0, 110, 80))
    assert sheet[:100, :70].all()
    assert not sheet[110:].any()
    assert not sheet[:, 80:].any()


@pytest.mark.parametrize(
    ("shape", "place"),
    [((110, 140), (20, 30, 50, 70)), ((140, 100), (20, 15, 80, 60)), ((200, 134), (40, 40, 100, 70))],
)
def test_the_sheet_is_returned_without_a_rim_of_4_pixels(shape, place):
    top, left, height, width = place
    expected = rectangle(shape, top + 4, left + 4, height - 8, width - 8)
    np.testing.assert_array_equal(find_sheets(picture_of(shape, *place)), expected)


def test_all_written_sheets_are_found():
    """The largest one is blank, and the lower right one is too small."""
    picture = picture_of((180, 240), 20, 30, 60, 70)
    picture[100:150, 30:90] = picture_of((50, 60), 0, 0, 50, 60)
    picture[20:90, 140:220] = LIGHT
    picture[110:140, 150:200] = picture_of((30, 50), 0, 0, 30, 50)
    expected = rectangle(picture.shape, 24, 34, 52, 62) | rectangle(picture.shape, 104, 34, 42, 52)
    np.testing.assert_array_equal(find_sheets(picture), expected)
    np.testing.assert_allclose(corners_of(expected), [[30, 20], [100, 20], [100, 80], [30, 80]], atol=1.5)


def test_the_gap_between_two_turned_sheets_is_not_a_part_of_one_large_sheet():
    """Before, the largest shape of four corners was taken, and the table in the gap was ink."""
    picture = np.full((190, 256), 110, np.uint8)
    for middle, angle in (((75, 95), 3), ((180, 95), -4)):
        corners = cv2.boxPoints((middle, (90, 120), angle)).round().astype(np.int32)
        cv2.fillPoly(picture, [corners], 220)
        picture[80:110:6, middle[0] - 20 : middle[0] + 20 : 4] = 60
    found = find_sheets(picture)
    assert found[95, [75, 180]].all()
    assert not found[30:160, 126:130].any()


@pytest.mark.parametrize(
    ("middle", "angle", "turn"),
    [((150, 50), 20, 6), ((170, 130), 110, -6), ((190, 50), 110, 6), ((190, 130), 20, -6)],
)
def test_a_sheet_on_wood_is_whole_if_the_shadow_of_a_hand_reaches_over_its_edge(middle, angle, turn):
    """There are edges everywhere in the grain, so the sheet is the quadrilateral around its lit part."""
    picture = cv2.resize(np.random.default_rng(0).normal(110, 14, (180, 3)), (240, 180))
    corners = cv2.boxPoints(((120, 90), (144, 108), turn)).round().astype(np.int32)
    sheet = cv2.fillPoly(np.zeros(picture.shape, np.uint8), [corners], 1)
    picture[sheet == 1] = 236
    picture[60:120:12, 70:120:3] = 60
    hand = cv2.ellipse(np.zeros(picture.shape), (middle, (84, 90), angle), 1, -1)
    picture *= 1 - 0.4 * cv2.GaussianBlur(hand, (0, 0), 1.5)
    found, expected = find_sheets(picture.clip(0, 255).astype(np.uint8)), cv2.erode(sheet, module._KERNEL) == 1
    assert (found != expected).sum() <= 0.05 * expected.sum()


def test_a_square_without_corners_is_extended_to_the_square():
    polygon = np.array([(0, 0), (70, 0), (100, 40), (100, 90), (90, 100), (0, 100)], float)
    np.testing.assert_allclose(module._four_corners(polygon), [(0, 0), (100, 0), (100, 100), (0, 100)])
    triangle = np.array([(0, 0), (70, 0), (100, 40)], float)
    np.testing.assert_array_equal(module._four_corners(triangle), triangle)


@pytest.mark.parametrize(("ground", "ink", "found"), [(120, 40, True), (130, 40, False), (130, 1, True)])
def test_a_white_box_on_a_tinted_page_is_no_sheet_if_there_is_writing_beside_it(ground, ink, found):
    """At most 0.6 of the level of the box is a table; 0.2 of the ink of the box beside it may be grain."""
    picture = picture_of((200, 256), 20, 30, 90, 160, ground=ground)
    picture[150, 40 : 40 + 2 * ink : 2] = 30
    assert (find_sheets(picture) is not None) == found


def test_sheets_closer_than_a_twelfth_stay_apart():
    picture = picture_of((190, 256), 30, 20, 100, 80)
    picture[30:130, 110:190] = picture[30:130, 20:100]
    expected = rectangle(picture.shape, 34, 24, 92, 72) | rectangle(picture.shape, 34, 114, 92, 72)
    np.testing.assert_array_equal(find_sheets(picture), expected)


def test_a_sheet_that_the_border_cuts_has_no_rim_there():
    found = find_sheets(picture_of((110, 140), 0, 30, 60, 70))
    np.testing.assert_array_equal(found[2:50, 34:96], True)
    np.testing.assert_array_equal(found[:2, 36:94], True)
    np.testing.assert_array_equal(found[56:], False)
    np.testing.assert_array_equal(found[:, :34], False)


@pytest.mark.parametrize(("height", "found"), [(8, False), (9, True)])
def test_stripes_as_narrow_as_their_rims_are_no_sheets(height, found):
    stripes = np.full((151, 256), GROUND, np.uint8)
    for top in (30, 70, 110):
        stripes[top : top + height, 10:246] = LIGHT
        stripes[top + 3 : top + 5, 20:240:4] = 60
    assert (find_sheets(stripes) is not None) == found


@pytest.mark.parametrize(
    ("shape", "size", "found"),
    [
        ((100, 120), (30, 33), True),  # 978 pixels without the corners; 0.08 of the picture are 960
        ((100, 120), (30, 32), False),
        ((100, 99), (50, 50), False),  # too small a picture
        ((99, 255), (60, 130), False),
        ((99, 256), (60, 130), True),
        ((300, 300), (292, 292), True),  # 0.947
        ((300, 300), (294, 294), False),  # 0.960
        ((198, 200), (192, 196), True),  # 0.950 exactly
    ],
)
def test_sheets_cover_0_08_to_0_95_of_the_picture(shape, size, found):
    top, left = (np.subtract(shape, size) // 2).tolist()
    assert (find_sheets(picture_of(shape, top, left, *size, ink=3)) is not None) == found


@pytest.mark.parametrize(("ground", "found"), [(160, True), (161, False)])
def test_the_ground_has_at_most_0_8_of_the_level_of_a_sheet(ground, found):
    assert (find_sheets(picture_of((100, 140), 20, 30, 50, 70, ground)) is not None) == found


@pytest.mark.parametrize(("extra", "found"), [(0, True), (1, False)])
def test_ink_covers_at_most_a_quarter_of_a_sheet(extra, found):
    picture = np.full((110, 140), GROUND, np.uint8)
    picture[rectangle(picture.shape, 20, 30, 48, 72, rounded=False)] = LIGHT
    sheet = rectangle(picture.shape, 20, 30, 48, 72)
    y, x = np.nonzero(rectangle(picture.shape, 26, 36, 36, 60) & (np.arange(140) % 2 == 0))
    count = int(sheet.sum()) // 4
    picture[y[:count], x[:count]] = 60
    picture[60, 43 : 43 + extra] = 60
    assert 4 * count == sheet.sum()
    assert (picture[sheet] == 60).sum() == count + extra
    assert (find_sheets(picture) is not None) == found


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(20, 40, 20, 25)], True),  # a stroke of 6x21 pixels; 0.15 of the side of 45 pixels are 7
        ([(20, 40, 20, 26)], False),
        ([(20, 40, 20, 26), (20, 40, 30, 32)], True),  # a bar, and a thin stroke
        ([(10, 16, 20, 26), (17, 33, 20, 22)], True),  # of 49 and 51 pixels: half of a stroke is thin
        ([(10, 16, 20, 26), (17, 32, 20, 22)], False),
        ([(0, 26, 20, 22)], False),  # at the edge
        ([(0, 26, 20, 22), (20, 22, 30, 30)], True),  # 81 pixels, 0.04 of the sheet, at the edge
        ([(0, 27, 20, 22), (20, 22, 30, 30)], False),
        ([(0, 26, 20, 22), (20, 21, 30, 30)], False),  # two pixels
    ],
)
def test_writing_is_thin_ink_away_from_the_edge(boxes, expected):
    ink, sheet = np.zeros((2, 47, 47), np.uint8)
    sheet[1:-1, 1:-1] = 1
    for top, bottom, left, right in boxes:
        ink[top + 1 : bottom + 2, left + 1 : right + 2] = 1
    assert module._is_written(ink, sheet) is expected


def test_a_thick_stroke_counts_if_the_thickness_is_even():
    """0.15 of 53 pixels are 8; a stroke of 9x9 pixels with a thin tail of 50 is thick."""
    ink, sheet = np.zeros((2, 55, 55), np.uint8)
    sheet[1:-1, 1:-1] = 1
    ink[20:29, 4:13], ink[20:22, 13:38] = 1, 1
    assert module._is_written(ink, sheet) is False


@pytest.mark.parametrize("side", [60, 120])
def test_a_light_0_on_a_dark_ground_is_not_a_sheet(side):
    picture = np.full((180, 240), GROUND, np.uint8)
    picture[30 : 30 + side, 60 : 60 + 2 * side // 3] = LIGHT
    hole = np.s_[30 + side // 5 : 30 + side - side // 5, 60 + side // 5 : 60 + 2 * side // 3 - side // 5]
    picture[hole] = GROUND
    assert 0.15 < (picture[hole].size) / (2 * side**2 / 3) < 0.25
    assert find_sheets(picture) is None


@pytest.mark.parametrize(
    ("side", "level", "found"),
    [(30, 60, True), (34, 20, False), (34, 200, False), (35, 20, True), (35, 200, True)],
)
def test_a_small_sheet_beside_writing_is_a_label(side, level, found):
    """Of 0.115 or 0.122 of the picture; the writing around it is darker or lighter than the ground."""
    picture = picture_of((100, 120), 10, 10, side, 4 * side // 3 - 4, ground=60, ink=3)
    picture[picture == LIGHT] = 230
    picture[60:90, 20:100:8] = level
    assert (find_sheets(picture) is not None) == found


@pytest.mark.parametrize(("level", "found"), [(139, True), (140, False)])
def test_ink_has_less_than_0_7_of_the_level_around_it(level, found):
    picture = picture_of((100, 140), 20, 30, 50, 70, ink=2)
    picture[60, 50] = level  # the third pixel
    assert (find_sheets(picture) is not None) == found


@pytest.mark.parametrize(
    ("at_border", "outside", "found"),
    [
        (0.05, 4, True),
        (0.05, 5, False),
        (0.049, 50, True),
        (0.4, 4, True),
        (0.41, 0, False),
        (0.55, 0, False),
        (0.56, 0, False),
    ],
)
@pytest.mark.parametrize("ground", [71, 70])
def test_a_lit_part_has_a_border_ink_around_it_and_a_shadow(monkeypatch, at_border, outside, found, ground):
    """At most 0.55 of the outline runs along the picture's border; from 0.05 on, half of the ink may be outside.

    More than 0.4 is that of a lit part without ink outside, too. A ground with up to 0.35 of the sheet's level is a
    table, and its grain may look like any amount of ink.
    """
    found |= ground == 70 and at_border <= 0.55
    monkeypatch.setattr(module, "_at_border", lambda *_: at_border)
    picture = picture_of((100, 140), 30, 30, 50, 70, ground, ink=8)
    spots = [(y, x) for y in (8, 12, 16) for x in range(10, 130, 4)]
    for y, x in spots[:outside]:
        picture[y, x] = 20
    assert (find_sheets(picture) is not None) == found


@pytest.mark.parametrize(("shade", "is_whole"), [(120, True), (78, True), (77, False)])
@pytest.mark.parametrize("turns", range(4))
def test_a_sheet_is_found_as_a_whole_if_a_shadow_crosses_it(shade, is_whole, turns):
    """Paper with up to 0.35 of the level in the light would be part of the table."""
    picture = np.full((140, 200), 40, np.uint8)
    picture[20:120, 30:110], picture[20:120, 110:170] = 220, shade
    picture[40:60:4, 50:90:4] = 30
    picture[40:60:4, 130:160:4] = shade // 4
    expected = rectangle(picture.shape, 24, 34, 92, 132 if is_whole else 72)
    found = find_sheets(np.ascontiguousarray(np.rot90(picture, turns)))
    np.testing.assert_array_equal(np.rot90(found, -turns), expected)


def test_a_sheet_is_no_part_of_a_table_on_a_darker_floor():
    """Its edges are not those of the table."""
    picture = np.full((140, 200), 20, np.uint8)
    picture[10:130, 10:190], picture[40:100, 60:140] = 110, 220
    picture[60:80:4, 80:120:4] = 30
    np.testing.assert_array_equal(find_sheets(picture), rectangle(picture.shape, 44, 64, 52, 72))


@pytest.mark.parametrize(
    ("shape", "parts", "gap", "joined"),
    [
        ((120, 160), (40, 60), 10, True),  # by 11 pixels
        ((120, 160), (40, 60), 11, False),
        ((30, 40), (10, 15), 2, True),
        ((30, 40), (10, 15), 3, False),
        ((60, 48), (18, 12), 4, True),  # by 5
        ((60, 48), (18, 12), 5, False),
    ],
)
def test_light_parts_are_joined_across_gaps_of_up_to_a_twelfth(shape, parts, gap, joined):
    picture = np.full(shape, GROUND, np.uint8)
    picture[8:-8, 5 : 5 + parts[0]] = picture[8:-8, 5 + parts[0] + gap : 5 + sum(parts) + gap] = LIGHT
    outlines = next(iter(module._outlines_of((picture == LIGHT).view(np.uint8))))
    sizes = [np.ptp(outline[:, 0], axis=0).tolist() for outline in outlines]
    assert sorted(sizes) == [[width - 1, shape[0] - 17] for width in ([sum(parts) + gap] if joined else sorted(parts))]


# Shape


def test_an_object_near_a_sheet_is_not_part_of_it():
    """The gap of 10 pixels is narrower than a twelfth of the picture, and the coin than twice as wide a square."""
    picture = picture_of((180, 240), 40, 30, 100, 130)
    cv2.circle(picture, (184, 52), 14, LIGHT, cv2.FILLED)
    np.testing.assert_array_equal(find_sheets(picture), rectangle(picture.shape, 44, 34, 92, 122))


@pytest.mark.parametrize("angle", [0, 15, 30, 40])
def test_a_tilted_sheet_and_a_strip_keep_their_sizes(angle):
    """No part of them is as wide as the square that cuts off objects."""
    for height, width in ((110, 110), (39, 200)):
        corners = cv2.boxPoints(((120, 120), (width, height), angle)).round().astype(np.int32)
        picture = cv2.fillPoly(np.full((240, 240), GROUND, np.uint8), [corners], LIGHT)
        cv2.line(picture, (110, 120), (125, 120), 60, 2)
        found = find_sheets(picture)
        assert found.sum() == pytest.approx((height - 8) * (width - 8), rel=0.12)


def polygon(*points):
    return np.array(points, np.int32)[:, np.newaxis]


SQUARE = polygon((10, 10), (110, 10), (110, 110), (10, 110))


TURNS = np.arange(10) * np.pi / 5
RADII = 80 * np.where(np.arange(10) % 2, 0.84, 1)  # of corners and the middles of sides, which bulge by 0.03
PENTAGON = polygon(*np.stack([100 + RADII * np.cos(TURNS), 100 + RADII * np.sin(TURNS)], 1).round().tolist())


def bulging(by):
    return polygon((10, 50), (60, 50 - by), (110, 50), (110, 150), (60, 150 + by), (10, 150))


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        (polygon((10, 10), (110, 10), (60, 110)), True),
        (SQUARE, True),
        (polygon((10, 10), (110, 10), (110, 110), (60, 170), (10, 110)), True),
        (PENTAGON, True),
        (polygon((10, 60), (60, 10), (120, 10), (170, 60), (120, 110), (60, 110)), False),
        (bulging(13), True),  # 0.032 of the circumference of 406.6
        (bulging(15), False),  # 0.0367 of 408.8
    ],
    ids=["3", "4", "5", "5 with slightly bulging sides", "6", "slightly bulging", "bulging"],
)  # fmt: skip
def test_a_sheet_has_at_most_five_corners(outline, expected):
    assert module._has_shape_of_sheet(outline, 1e6, (200, 200)) is expected


def ellipse(across, power):
    """An ellipse, or for a power below 1 a rectangle with round corners."""
    turns = np.arange(0, 2 * np.pi, 0.02)
    sides = [np.sign(each) * np.abs(each) ** power for each in (np.cos(turns), np.sin(turns))]
    return polygon(*(100 + np.stack(sides, axis=1) * (across, 80)).round().tolist())


@pytest.mark.parametrize(("across", "power", "expected"), [(30, 1, False), (60, 0.3, False), (60, 0.15, True)])
def test_a_sheet_is_not_round(across, power, expected):
    """Each has four corners. The ellipse has 1.57 times the area of their polygon, and the others 1.19 and 1.10."""
    assert module._has_shape_of_sheet(ellipse(across, power), 1e6, (200, 200)) is expected


@pytest.mark.parametrize(("radius", "expected"), [(12, True), (15, False)])
def test_a_sheet_may_have_slightly_round_corners(radius, expected):
    """The hull of 100x100 pixels has 1.16 or 1.18 times the area of its corners, and 0.985 or 0.979 of its square."""
    mask = np.zeros((200, 200), np.uint8)
    mask[50 + radius : 151 - radius, 50:151] = mask[50:151, 50 + radius : 151 - radius] = 1
    for x, y in np.ndindex(2, 2):
        cv2.circle(mask, (50 + radius + x * (100 - 2 * radius), 50 + radius + y * (100 - 2 * radius)), radius, 1, -1)
    [outline], _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert module._has_shape_of_sheet(outline, 1e6, (200, 200)) is expected


@pytest.mark.parametrize(("area", "expected"), [(9300, True), (9299, False)])
def test_a_sheet_fills_0_93_of_its_hull(area, expected):
    assert module._has_shape_of_sheet(SQUARE, area, (200, 200)) is expected


def side_by_side(within, around):
    """A sheet on the left, the background on the right, and the sheet's pixels; levels may differ by row and column."""
    coarse = np.empty((40, 40), np.uint8)
    coarse[:, :20], coarse[:, 20:] = within, around
    return coarse, (np.arange(40) < 20)[np.newaxis].repeat(40, axis=0).view(np.uint8)


SHADE = np.where(np.arange(40) < 30, 0.5, 1)[:, np.newaxis]  # most of the edge is in a shadow


@pytest.mark.parametrize(
    ("within", "around", "expected"),
    [
        (200, 160, True),  # 0.8
        (200, 161, False),
        (200 * SHADE, 158 * SHADE, True),
        (200 * SHADE, 164 * SHADE, False),
        (200, 200 - 5 * np.arange(20), False),  # a soft edge: 180 on average next to it
        (200, np.where(np.arange(40) < 19, 150, 190)[:, np.newaxis], False),  # along less than half of the edge
        (200, np.where(np.arange(40) < 25, 150, 190)[:, np.newaxis], True),
    ],
)
def test_the_background_has_at_most_0_8_of_the_level_of_the_sheet_next_to_it(within, around, expected):
    coarse, sheet = side_by_side(within, around)
    assert module._stands_out(coarse, sheet, sheet == 0) is expected


@pytest.mark.parametrize("strength", [0.3, 0.45, 0.6])
@pytest.mark.parametrize("angle", [0.4, 2.0, 4.0])
def test_a_soft_shadow_across_a_grey_table_does_not_split_a_sheet(strength, angle):
    """Paper in the shadow is as dark as the table in the light; only the edges of the sheet are sharp."""
    picture = np.full((180, 240), 125.0)
    picture[30:150, 50:190] = 235
    picture[60:120:12, 70:170:3] = 60
    x, y = np.meshgrid(np.arange(240) - 120, np.arange(180) - 90)
    shadow = 1 / (1 + np.exp(-(x * np.cos(angle) + y * np.sin(angle)) / 6))
    expected = rectangle(picture.shape, 34, 54, 112, 132)
    found = find_sheets((picture * (1 - strength * shadow)).astype(np.uint8))
    assert (found != expected).sum() <= 0.01 * expected.sum()


@pytest.mark.parametrize("level", [80, 120, 160, 200])
def test_a_darker_sheet_beside_a_light_one_is_found(level):
    picture = np.full((190, 256), GROUND, np.uint8)
    picture[30:160, 20:116] = picture_of((130, 96), 0, 0, 130, 96)
    picture[30:160, 140:236] = picture_of((130, 96), 0, 0, 130, 96) * (level / LIGHT)
    expected = rectangle(picture.shape, 34, 24, 122, 88) | rectangle(picture.shape, 34, 144, 122, 88)
    assert (find_sheets(picture) != expected).sum() <= 0.02 * expected.sum()


def test_a_sheet_is_found_as_a_whole_if_its_lit_part_has_another_shape():
    """The shadow of a hand reaches across the sheet from one side, with a hard edge."""
    picture = picture_of((192, 256), 12, 16, 168, 224)
    shadow = cv2.fillPoly(
        np.zeros(picture.shape, np.uint8), [np.array([(90, 192), (60, 70), (170, 40), (220, 192)])], 1
    )
    found = find_sheets(np.where(shadow == 1, picture * 0.5, picture).astype(np.uint8))
    expected = rectangle(picture.shape, 16, 20, 160, 216)
    assert (found != expected).sum() <= 0.02 * expected.sum()


@pytest.mark.parametrize(("inside", "expected"), [(120, True), (119, False)])
def test_a_sheet_has_at_least_0_6_of_the_level_of_its_rim(inside, expected):
    """A light frame on a dark ground has not."""
    picture = picture_of((110, 140), 20, 30, 50, 70, ink=0)
    picture[24:66, 34:96] = inside
    sheet = rectangle(picture.shape, 20, 30, 50, 70, rounded=False).view(np.uint8)
    assert module._is_filled(picture, sheet) is expected


@pytest.mark.parametrize("ground", [60, 90, 125])
@pytest.mark.parametrize("light", [0.5, 0.7])
@pytest.mark.parametrize(
    "shadow",
    [[(90, 180), (80, 80), (120, 60), (150, 90), (150, 180)], [(0, 0), (130, 0), (100, 180), (0, 180)]],
    ids=["hand", "half"],
)
def test_the_parts_of_a_sheet_that_a_hard_shadow_crosses_are_one_sheet(shadow, light, ground):
    picture = np.full((180, 240), ground, np.uint8)
    picture[30:150, 50:190] = 235
    picture[60:120:12, 70:170:3] = 60
    is_dark = cv2.fillPoly(np.zeros(picture.shape, np.uint8), [np.array(shadow, np.int32)], 1) > 0
    expected = rectangle(picture.shape, 34, 54, 112, 132)
    found = find_sheets(np.where(is_dark, picture * light, picture).astype(np.uint8))
    assert (found != expected).sum() <= 0.01 * expected.sum()


@pytest.mark.parametrize(("shape", "size"), [((15, 18), 3), ((33, 35), 5), ((40, 47), 5)])
def test_ink_on_a_region_is_closed_without_the_rest_of_the_picture(shape, size):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, shape, np.uint8)
    region = np.zeros(shape, bool)
    region[4:-3, 3:-5] = True
    coarse[4:9, 3:9] = 0
    reach = (size // 2, (size - 1) // 2)

    def windows(image, fill):
        return sliding_window_view(np.pad(image, (reach, reach), constant_values=fill), (size, size))

    grown = windows(np.where(region, coarse, 0), 0).max(axis=(2, 3))
    expected = windows(np.where(region, grown, 255), 255).min(axis=(2, 3))
    np.testing.assert_array_equal(without_ink(coarse, region), expected)


def test_the_border_and_the_extreme_levels_of_a_picture():
    grey = np.array([[5, 6, 7], [8, 1, 9], [10, 99, 11], [12, 13, 14]], np.uint8)
    assert sorted(border_of(grey).tolist()) == sorted([5, 6, 7, 12, 13, 14, 5, 8, 10, 12, 7, 9, 11, 14])
    assert levels_of(grey) == (1, 99)


# Corners


def distances(line, points):
    a, b, c = line
    assert a * a + b * b == pytest.approx(1)
    return [abs(a * x + b * y + c) for x, y in points]


@pytest.mark.parametrize("turned", [False, True])
def test_a_side_is_fitted_to_the_outline_between_an_eighth_and_seven_eighths(turned):
    """Points of the corners, and those 4 pixels away, do not count, however many there are."""
    middle = [(20, 1), (31, 1), (40, 1), (50, 1), (60, 1)]
    outline = np.array(middle + 20 * [(9, 3), (10, 3), (70, -3), (71, -3), (75, 3), (40, 4), (40, -4)], np.int32)
    ends = np.array([(0.0, 0.0), (80.0, 0.0)])
    if turned:
        outline, ends = np.ascontiguousarray(outline[:, ::-1]), ends[:, ::-1]
    line = module._side(outline, *ends)
    points = [(1, 0), (1, 80)] if turned else [(0, 1), (80, 1)]
    assert distances(line, points) == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize(("count", "offset"), [(4, 2), (3, 0)])
def test_a_side_of_fewer_than_4_points_connects_the_corners(count, offset):
    outline = np.array([(20 + 10 * n, 2) for n in range(count)], np.int32)
    line = module._side(outline, np.array([0.0, 0]), np.array([80.0, 0]))
    assert distances(line, [(0, offset), (80, offset)]) == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize(("shape", "box"), [((90, 90), (20, 10, 61, 71)), ((120, 100), (30, 24, 100, 50))])
def test_the_corners_of_a_rectangle_are_exact(shape, box):
    top, left, bottom, right = box
    sheet = np.zeros(shape, bool)
    sheet[top:bottom, left:right] = True
    expected = [(left - 4, top - 4), (right + 3, top - 4), (right + 3, bottom + 3), (left - 4, bottom + 3)]
    np.testing.assert_allclose(corners_of(sheet), expected, atol=1e-3)


@pytest.mark.parametrize("angle", [-30, -8, 0, 20, 40])
@pytest.mark.parametrize("cut", [0, 34])
def test_the_corners_of_a_turned_sheet_are_clockwise_from_the_upper_left(angle, cut):
    """A corner that is cut off is where the sides meet."""
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([(-70, -40), (70, -40), (70, 40), (-70, 40)]) @ rotation.T + (128, 100)
    outline = np.array([(-70, -40), (70 - cut, -40), (70, -40 + cut), (70, 40), (-70, 40)]) @ rotation.T + (128, 100)
    sheet = np.zeros((200, 256), np.uint8)
    cv2.fillConvexPoly(sheet, (outline * 256).round().astype(np.int32), 1, shift=8)
    inside = cv2.erode(sheet, np.ones((9, 9), np.uint8)) == 1
    expected = np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)
    np.testing.assert_allclose(corners_of(inside), expected, atol=2.5)


@pytest.mark.parametrize(
    "corners",
    [
        [(60, 30), (180, 50), (210, 160), (40, 150)],
        [(90, 30), (150, 30), (220, 170), (30, 170)],
        [(30, 60), (190, 20), (170, 130), (60, 170)],
    ],
)
def test_the_corners_of_a_sheet_seen_in_perspective_are_where_the_sides_meet(corners):
    sheet = cv2.fillConvexPoly(np.zeros((192, 256), np.uint8), np.array(corners, np.int32), 1)
    inside = cv2.erode(sheet, np.ones((9, 9), np.uint8)) == 1
    np.testing.assert_allclose(corners_of(inside), corners, atol=1.5)


# Blank sheets


@pytest.mark.parametrize(
    ("size", "ink", "expected"),
    [
        ((50, 70), 0, True),
        ((50, 70), 2, True),  # pixels, which may be a defect
        ((50, 70), 3, False),  # written on
        ((37, 90), 0, True),  # 0.404 between the middles of the pixels
        ((36, 90), 0, False),  # 0.393, as a light 1
    ],
)
def test_a_blank_sheet_is_wide_and_has_no_ink(size, ink, expected):
    picture = picture_of((110, 140), 20, 25, *size, ink=ink)
    assert module.shows_blank_sheet(picture) is expected
    assert (find_sheets(picture) is not None) is (ink == 3)
    assert (find_sheets(picture, may_be_blank=True) is not None) is (expected or ink == 3)


def test_ink_at_the_edge_of_a_blank_sheet_does_not_count():
    picture = picture_of((110, 140), 20, 25, 50, 70, ink=0)
    picture[21:24, 40:60:2] = 60
    assert module.shows_blank_sheet(picture)


@pytest.mark.parametrize("level", [8, 160])  # of strokes beside the sheet
def test_a_blank_sheet_beside_writing_is_none(level):
    picture = picture_of((110, 140), 20, 10, 50, 70, ink=0)
    assert module.shows_blank_sheet(picture)
    picture[30:60, 110:134:6] = level
    assert find_sheets(picture, may_be_blank=True) is None


def test_a_blank_sheet_beside_a_written_one_is_none():
    picture = picture_of((110, 240), 20, 20, 60, 80, ink=0)
    picture[:, 120:] = picture_of((110, 120), 30, 30, 50, 60)
    assert not module.shows_blank_sheet(picture)
    assert not find_sheets(picture, may_be_blank=True)[:, :120].any()
