"""Dark panels with light writing."""

import numpy as np
import pytest

pytest.importorskip("cv2")

import cv2

import lenet
from lenet.reading import prepare, read
from lenet.reading.panels import find_panels, with_inverted
from lenet.reading.sheet import find_sheets

PLACE = (slice(20, 80), slice(30, 110))  # 60x80 pixels


def picture_of(*light, panel=PLACE, shape=(120, 160)):
    """A panel of level 60 on a ground of 240, with light rectangles (top, left, height, width) on it."""
    coarse = np.full(shape, 240, np.uint8)
    coarse[panel] = 60
    for top, left, height, width in light:
        coarse[top : top + height, left : left + width] = 240
    return coarse


L_SHAPE = ((35, 60, 25, 4), (56, 60, 4, 20))


def test_a_panel_is_a_dark_region_with_light_strokes():
    expected = np.zeros((120, 160), np.uint8)
    expected[PLACE] = 1
    np.testing.assert_array_equal(find_panels(picture_of(*L_SHAPE)), expected)


@pytest.mark.parametrize(
    ("light", "found"),
    [
        ((), False),
        (((35, 60, 25, 10),), False),  # convex: it may be the hole of a 0
        (((35, 60, 4, 4), (50, 60, 4, 4)), False),
        (((35, 60, 5, 2), (38, 62, 2, 38)), True),  # 86 of the 4,800 pixels, in 40x5: the least height
        (((35, 60, 4, 2), (37, 62, 2, 38)), False),  # 40x4
        (((35, 60, 9, 2), (42, 62, 2, 15)), True),  # 48: 1%
        (((35, 60, 9, 2), (42, 62, 2, 14)), False),  # 46
        (((25, 40, 50, 8), (67, 48, 8, 60), (25, 48, 8, 10)), True),  # 960: 20%
        (((25, 40, 50, 8), (67, 48, 8, 60), (25, 48, 8, 11)), False),
        (((35, 60, 20, 2), (53, 60, 2, 20)), True),
        (((35, 60, 20, 14), (49, 60, 6, 20)), True),  # 316 of 355: 0.89
        (((35, 60, 20, 15), (48, 60, 7, 20)), False),  # 335 of 365: 0.92
    ],
)  # fmt: skip
def test_the_writing_on_a_panel_is_small_high_enough_and_not_convex(light, found):
    assert (find_panels(picture_of(*light)) is not None) is found


@pytest.mark.parametrize(("rows", "found"), [(14, True), (13, False)])
def test_less_than_half_of_a_light_rectangle_on_a_panel_is_light(rows, found):
    """Of 18x20 pixels, 180 are half; 14x13 or 13x13 inside are not. A lighter rectangle is a white box."""
    picture = picture_of((35, 60, 18, 20))
    picture[37 : 37 + rows, 61 : 61 + 13] = 60
    assert (find_panels(picture) is not None) is found


@pytest.mark.parametrize(("level", "found"), [(36, True), (35, False)])
def test_light_strokes_around_anything_darker_than_the_panel_are_a_box(level, found):
    """A U of 20x20 pixels around 4x6, 0.06 of its hull; 24 levels below the panel's 60."""
    picture = picture_of((35, 60, 20, 4), (51, 60, 4, 20), (35, 76, 20, 4))
    picture[41:47, 68:72] = level
    assert (find_panels(picture) is not None) is found


@pytest.mark.parametrize(
    ("height", "width", "found"), [(66, 88, True), (54, 72, True), (67, 80, False), (60, 89, False)]
)
def test_a_panel_of_the_size_of_another_may_have_any_writing(height, width, found):
    """Each side of another of 60x80 pixels differs by at most a tenth."""
    picture = np.hstack([picture_of(*L_SHAPE), picture_of(panel=(slice(20, 20 + height), slice(30, 30 + width)))])
    picture[30:50, 220:224] = 240  # a 1
    assert find_panels(picture)[:, 160:].any() == found


@pytest.mark.parametrize(("side", "found"), [(24, True), (23, False)])
def test_a_panel_has_a_side_of_24_pixels(side, found):
    panel = slice(20, 20 + side), slice(30, 110)
    assert (find_panels(picture_of((25, 60, 10, 2), (33, 60, 2, 20), panel=panel)) is not None) is found


@pytest.mark.parametrize(("margin", "found"), [(2, True), (1, False)])
def test_a_panel_is_not_the_whole_picture(margin, found):
    """An outline through the middles of pixels encloses 90 x 90 or 92 x 92 of 95 x 95 pixels, 0.898 or 0.938."""
    panel = slice(margin, 95 - margin), slice(margin, 95 - margin)
    assert (find_panels(picture_of(*L_SHAPE, panel=panel, shape=(95, 95))) is not None) is found


@pytest.mark.parametrize(("width", "found"), [(16, True), (17, False)])
def test_a_panel_fills_0_93_of_a_rectangle(width, found):
    """A corner of 320 or 340 pixels is missing in 59 x 79, between the middles of pixels."""
    picture = picture_of(*L_SHAPE)
    picture[20:40, 110 - width : 110] = 240
    assert (find_panels(picture) is not None) is found


@pytest.mark.parametrize(("across", "found"), [(30, True), (29, True), (27, False)])
def test_a_panel_fills_0_92_of_a_circle(across, found):
    picture = np.full((120, 160), 240, np.uint8)
    cv2.ellipse(picture, (80, 60), (30, across), 0, 0, 360, 60, -1)
    picture[50:70, 70:74] = picture[66:70, 70:90] = 240
    assert (find_panels(picture) is not None) is found


def test_writing_on_a_panel_becomes_dark_on_the_ground_around_it():
    """The panel gets the level around it, and its writing keeps its contrast: 240 * (255 - 200) / (255 - 60) is 67.7.

    Pixels at the panel's edge may be a mixture of both levels.
    """
    coarse = picture_of()
    coarse[40:50, 60:62] = 200
    coarse[20, 30:110] = coarse[19, 30:110] = 150
    panels = np.zeros_like(coarse)
    panels[PLACE] = 1
    for grey, found in zip((coarse, coarse), with_inverted(coarse, coarse, panels), strict=True):
        expected = np.full_like(grey, 240)
        expected[40:50, 60:62] = 68
        np.testing.assert_array_equal(found, expected)


def test_a_panel_is_inverted_at_the_size_of_the_picture():
    coarse = picture_of(*L_SHAPE)
    grey = coarse.repeat(3, axis=0).repeat(3, axis=1)
    panels = find_panels(coarse)
    found, small = with_inverted(grey, coarse, panels)
    assert found.shape == (360, 480)
    np.testing.assert_array_equal(found[1::3, 1::3], small)


@pytest.fixture(scope="module")
def digits():
    return lenet.data.load_digits()


def on_panel(image, colour, ground):
    """A digit of 84 pixels in the middle of a disc of 170 pixels."""
    ink = cv2.resize(image, (84, 84), interpolation=cv2.INTER_CUBIC) / 255
    picture = np.full((200, 200), ground, np.uint8)
    cv2.circle(picture, (100, 100), 85, colour, -1, cv2.LINE_AA)
    middle = picture[58:142, 58:142]
    middle[:] = (middle + ink * (255 - middle)).astype(np.uint8)
    return picture


@pytest.mark.parametrize(("colour", "ground"), [(90, 255), (40, 200), (120, 230)])
def test_digits_on_dark_discs_are_read(digits, colour, ground):
    """Before, each disc was read as a 0."""
    places = [183, 184, 185, 186]
    row = np.hstack([on_panel(digits.X_test[place], colour, ground) for place in places])
    reading = read(row)
    assert reading.text.replace(" ", "") == "".join(str(digits.y_test[place]) for place in places)
    model = lenet.load_pretrained()
    for place in places:
        image = prepare(on_panel(digits.X_test[place], colour, ground))
        assert model.predict(image[np.newaxis])[0] == digits.y_test[place]


def test_a_light_card_with_lighter_writing_is_no_sheet():
    """Light strokes enclose parts of the card, which are darker than the strokes, but not than the card."""
    page = np.full((213, 256), 18, np.uint8)
    for top in (13, 77, 141):
        page[top : top + 51, 17:239] = 45
        for left in (40, 54):
            page[top + 15 : top + 27, left : left + 9] = 255
            page[top + 17 : top + 25, left + 2 : left + 7] = 45
    assert find_sheets(page, may_be_blank=True) is None
    page[page == 255] = 10  # dark writing
    assert find_sheets(page) is not None


def test_light_writing_on_light_cards_is_read(digits):
    """A card that is lighter than the ground, but darker than its writing, is not a sheet of paper."""
    page = np.full((300, 400), 18, np.uint8)
    page[30:130, 30:370] = page[170:270, 30:370] = 45
    for row, places in enumerate(((183, 184), (185, 186))):
        for column, place in enumerate(places):
            top, left = 52 + 140 * row, 100 + 80 * column
            ink = cv2.resize(digits.X_test[place], (56, 56), interpolation=cv2.INTER_CUBIC)
            page[top : top + 56, left : left + 56] = np.maximum(page[top : top + 56, left : left + 56], ink)
    found = [line.text.replace(" ", "") for line in read(page).lines]
    assert found == ["".join(str(digits.y_test[place]) for place in places) for places in ((183, 184), (185, 186))]
