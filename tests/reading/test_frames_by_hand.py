"""Frames are erased at the limits of their size and of the ink that they enclose."""

import numpy as np
import pytest
from drawn_ink import bars

from lenet.reading import frames as module
from lenet.reading.frames import without_frames
from lenet.reading.page import Page

cv2 = pytest.importorskip("cv2")


def frame(shape, top, left, height, width, thick=2):
    ink = np.zeros(shape, np.uint8)
    ink[top : top + height, left : left + width] = 255
    ink[top + thick : top + height - thick, left + thick : left + width - thick] = 0
    return ink


def block(shape, top, left, height, width, count=None):
    """A solid rectangle, or the first pixels of one, row by row."""
    ink, inside = np.zeros(shape, np.uint8), np.zeros((height, width), np.uint8)
    inside.flat[:count] = 200
    ink[top : top + height, left : left + width] = inside
    return ink


def erases(ink, content):
    """Whether the frame around the content is erased, except for a few pixels; otherwise the page is the same."""
    page = Page(np.maximum(ink, content), ink.shape)
    found = without_frames(page)
    if found is page:
        return False
    np.testing.assert_array_equal(found.ink[content > 0], content[content > 0])
    assert (found.ink[ink > 0] > 0).mean() < 0.1
    return True


SHAPE = (120, 160)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("thick", [1, 2, 3, 4])
def test_a_frame_is_erased_and_its_content_kept(thick, turned):
    ink, content = frame(SHAPE, 10, 20, 81, 111, thick), block(SHAPE, 30, 50, 30, 12)
    content[100:118, 5:15] = 130  # outside the frame
    ink, content = (ink.T.copy(), content.T.copy()) if turned else (ink, content)
    np.testing.assert_array_equal(without_frames(Page(np.maximum(ink, content), ink.shape)).ink, content)


@pytest.mark.parametrize(("thick", "count", "erased"), [(2, 11, False), (2, 12, True), (6, 26, False), (6, 27, True)])
def test_a_rectangle_that_is_higher_than_wide_is_a_frame_if_there_is_ink_in_it(thick, count, erased):
    ink = frame(SHAPE, 10, 20, 100, 60, thick)
    assert np.count_nonzero(ink) == {2: 624, 6: 1776}[thick]  # 0.015 of it: 9.4, 26.6
    assert erases(ink, block(SHAPE, 30, 50, 7, 4, count)) is erased


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(("gap", "erased"), [(12, True), (13, False)])
@pytest.mark.parametrize("corner", [False, True])
def test_a_frame_drawn_by_hand_may_have_a_gap_of_a_fifth_of_its_shorter_side(gap, erased, corner, turns):
    """The shorter side has 60 pixels."""
    ink, content = frame(SHAPE, 10, 20, 60, 90), block(SHAPE, 25, 50, 30, 12)
    ink[:14, 108 - gap if corner else 60 :][:, :gap] = 0
    assert erases(np.rot90(ink, turns).copy(), np.rot90(content, turns).copy()) is erased


def test_digits_that_touch_two_rules_are_no_frame():
    """Two of three strokes touch the lower rule, and a gap of 5 pixels is below the third."""
    ink = 255 * bars(SHAPE, (40, 5, 2, 150), (70, 5, 2, 150), (40, 20, 32, 3), (40, 60, 25, 3))
    assert not erases(ink, block(SHAPE, 46, 32, 20, 16))


def oval():
    """A frame 100 pixels high that is no rectangle."""
    return cv2.ellipse(np.zeros(SHAPE, np.uint8), (60, 60), (30, 50), 0, 0, 360, 255, 2)


def changes(content):
    """Whether the straight sides of an oval around the content are erased."""
    page = Page(np.maximum(oval(), content), SHAPE)
    return without_frames(page) is not page


def test_an_oval_is_a_frame_if_it_encloses_a_tenth_of_its_own_ink():
    tenth = -(-np.count_nonzero(oval()) // 10)
    assert changes(block(SHAPE, 40, 55, 20, 4, tenth))
    assert not changes(block(SHAPE, 40, 55, 20, 4, tenth - 1))


@pytest.mark.parametrize(("side", "changed"), [(9, False), (10, True)])
def test_enclosed_strokes_are_longer_than_0_15_of_the_shorter_side(side, changed):
    """The oval is 62 pixels wide."""
    assert changes(np.max([block(SHAPE, top, 54, side, side) for top in (30, 45, 60)], axis=0)) is changed


@pytest.mark.parametrize("axes", [(40, 40), (55, 40), (40, 47)])
@pytest.mark.parametrize("gap", [0, 15])
@pytest.mark.parametrize(("share", "erased"), [(0.23, False), (0.27, True)])
def test_a_ring_is_erased_if_a_stroke_in_it_has_a_quarter_of_its_height(axes, gap, share, erased):
    """Around a lower stroke, as in a 0 with a dot, only straight parts are erased; the gap is in degrees."""
    ring = cv2.ellipse(np.zeros((140, 160), np.uint8), (80, 70), axes, 0, 0, 360 - gap, 255, 2)
    content = block((140, 160), 60, 70, round(share * (2 * axes[1] + 2)), 12)
    found = without_frames(Page(np.maximum(ring, content), ring.shape)).ink
    np.testing.assert_array_equal(found[content > 0], content[content > 0])
    assert bool((found[ring > 0] == 0).all()) is erased


def test_a_0_with_a_slash_that_does_not_touch_it_is_no_ring():
    """Only straight parts of the 0 are erased."""
    zero = cv2.ellipse(np.zeros((140, 160), np.uint8), (80, 70), (40, 50), 0, 0, 360, 255, 2)
    slash = cv2.line(np.zeros((140, 160), np.uint8), (95, 45), (65, 95), 255, 3)
    left = without_frames(Page(np.maximum(zero, slash), zero.shape)).ink
    assert (left[zero > 0] > 0).mean() > 0.1


@pytest.mark.parametrize(
    ("height", "width", "erased"), [(60, 60, False), (60, 61, True), (60, 140, True), (13, 30, True), (12, 30, False)]
)
def test_an_empty_box_that_is_wider_than_high_is_a_frame(height, width, erased):
    assert erases(frame(SHAPE, 10, 15, height, width, 1), np.zeros(SHAPE, np.uint8)) is erased


@pytest.mark.parametrize("angle", [0, 4, 8, 12, -8, -12])
@pytest.mark.parametrize("turned", [False, True])
def test_a_long_empty_box_may_be_tilted(angle, turned):
    """At 8 degrees, it covers less than half of the box around it; at 12 degrees, its short sides less than a third."""
    shape = (400, 900)
    drawn = cv2.polylines(
        np.zeros(shape, np.uint8),
        [np.rint(cv2.boxPoints(((450, 200), (820, 75), angle))).astype(np.int32)],
        True,
        255,
        2,
    )
    left = without_frames(Page(np.rot90(drawn).copy() if turned else drawn, shape[::-1] if turned else shape)).ink
    kept = np.count_nonzero(left) / np.count_nonzero(drawn)
    assert kept == 1 if turned else kept < 0.01  # boxes that are higher than wide may be a 0


def test_a_tilted_box_is_a_frame_and_round_digits_are_none():
    tilted = cv2.warpAffine(frame(SHAPE, 40, 20, 40, 110), cv2.getRotationMatrix2D((80, 60), 8, 1), SHAPE[::-1])
    assert erases(np.where(tilted > 96, 255, 0).astype(np.uint8), np.zeros(SHAPE, np.uint8))
    for centres, axes in [((50, 95), (26, 40)), ((80,), (60, 30))]:  # 00, and a 0 on its side
        page = np.zeros(SHAPE, np.uint8)
        for centre in centres:
            cv2.ellipse(page, (centre, 60), axes, 0, 0, 360, 255, 2)
        assert not erases(page, np.zeros(SHAPE, np.uint8))


@pytest.mark.parametrize(("side", "erased"), [(12, False), (13, True)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_frame_is_more_than_12_pixels_high_and_wide(side, erased, turned):
    ink, content = frame(SHAPE, 10, 20, side, 40, 1), block(SHAPE, 14, 30, 4, 5)
    assert erases(ink.T.copy(), content.T.copy()) is erased if turned else erases(ink, content) is erased


@pytest.mark.parametrize(("area", "erased"), [(560, False), (559, True)])
def test_the_ink_of_a_frame_covers_less_than_0_35_of_its_box(area, erased):
    ink, content = frame(SHAPE, 10, 20, 40, 40, 4), block(SHAPE, 25, 35, 8, 8)
    ink[13, 25 : 25 + 576 - area] = 0  # of the inner pixels of a side
    assert np.count_nonzero(ink) == area
    page = Page(np.maximum(ink, content), ink.shape)
    assert (without_frames(page) is not page) == erased


def test_strokes_beside_an_open_frame_are_not_enclosed():
    ink, content = frame(SHAPE, 10, 20, 80, 110), block(SHAPE, 30, 50, 30, 12)
    ink[40:60, 20:22] = 0
    assert not erases(ink, content)


def test_enclosed_ink_is_that_of_long_strokes():
    """Many specks and one stroke with less than a tenth of the oval's ink are not enough."""
    content = block(SHAPE, 40, 50, 12, 4)
    content[56:90:2, 48:72:2] = 200
    assert np.count_nonzero(content) > np.count_nonzero(oval()) / 5
    assert not changes(content)


def test_ink_beside_a_frame_but_in_its_box_is_not_enclosed():
    ink = frame(SHAPE, 10, 10, 60, 80)
    ink[10:12, 90:150] = ink[12:110, 148:150] = 255  # a line from its corner, and down
    content = np.maximum(block(SHAPE, 80, 110, 20, 20), block(SHAPE, 20, 30, 16, 1))
    assert not erases(ink, content)
    assert erases(ink, np.maximum(content, block(SHAPE, 20, 40, 16, 8)))


@pytest.mark.parametrize(("height", "erased"), [(129, 4), (128, 3)])
def test_frames_in_frames_are_erased_while_their_boxes_cover_at_most_three_pages(height, erased):
    shape, lengths = (height, 112), (110, 106, 102, 98)
    assert sum(length**2 for length in lengths) == 3 * 129 * 112
    frames = [frame(shape, 1 + 2 * n, 1 + 2 * n, length, length, 1) for n, length in enumerate(lengths)]
    ink = np.max([*frames, block(shape, 40, 40, 30, 20)], axis=0)
    left = without_frames(Page(ink, shape)).ink
    assert [bool((left[each > 0] > 0).mean() < 0.1) for each in frames] == [n < erased for n in range(4)]


@pytest.mark.parametrize(
    ("shape", "bar", "erased"),
    [
        ((40, 63), (20, 20, 1, 21), 1),  # a third of the width
        ((40, 63), (20, 20, 1, 20), 0),
        ((40, 17), (20, 5, 1, 6), 1),  # of small frames, for 6 pixels
        ((40, 17), (20, 5, 1, 5), 0),
        ((63, 40), (20, 20, 21, 1), 1),
        ((63, 40), (20, 20, 20, 1), 0),
        ((40, 64), (18, 20, 5, 31), 1),
    ],
)
def test_sides_are_straight_for_a_third_of_a_frame(shape, bar, erased):
    mask = bars(shape, bar)
    ink = mask * np.uint8(200)
    ink[2:5, 2:5] = 150  # another stroke
    left = module._without_sides(ink, mask, mask.shape[::-1])
    assert (left[mask > 0] == 0).mean() == pytest.approx(erased)
    np.testing.assert_array_equal(left[mask == 0], ink[mask == 0])


@pytest.mark.parametrize(("slope", "erased"), [(0.25, 1), (-0.25, 1), (0.1, 1), (0.3, 0), (-0.3, 0)])
@pytest.mark.parametrize("turned", [False, True])
def test_frames_may_be_turned_by_a_quarter_of_their_length(slope, erased, turned):
    mask = np.zeros((150, 303), np.uint8)
    for column in range(303):
        mask[75 + round(slope * (column - 151.5)), column] = 1
    mask = mask.T.copy() if turned else mask
    left = module._without_sides(mask * np.uint8(200), mask, mask.shape[::-1])
    assert (left[mask > 0] == 0).mean() == pytest.approx(erased, abs=0.02)


@pytest.mark.parametrize("gap", [0, 1])
def test_holes_are_the_pixels_that_a_frame_encloses(gap):
    """Paper is connected along its sides, and not diagonally."""
    mask = bars((12, 15), (1, 3, 9, 10))
    mask[3:8, 5:11] = 0
    mask[1, 3] = mask[1 : 1 + 2 * gap, 6 : 6 + gap] = 0
    expected = np.zeros((12, 15), bool)
    expected[3:8, 5:11] = not gap
    np.testing.assert_array_equal(module._holes(mask), expected)
