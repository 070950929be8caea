"""Take the tour of the page in Chromium, and point at its units."""

import itertools
import re

import numpy as np
import pytest
from page_actions import CLOCK, STAGES, THREE, answer, draw, opened, pixels, place_of_unit, resize, shown

pytest_plugins = ["page_fixture"]
pytestmark = pytest.mark.landing


@pytest.mark.parametrize(("width", "height"), [(360, 640), (360, 740), (768, 1024)])
def test_the_keyboard_controls_the_tour(browser, saved, width, height):
    with opened(browser, saved, viewport={"width": width, "height": height}) as page:
        assert page.locator("#tour-next").text_content() == "Take the tour"
        page.locator("#tour-next").focus()
        names = []
        for _ in STAGES:
            page.keyboard.press("Enter")
            names.append(page.locator("#tour-name").text_content().split()[0].lower())
            assert page.evaluate("lenet.state.unit.stage") == names[-1]
            page.wait_for_timeout(30)
            box = page.locator("#figure").bounding_box()
            places = page.evaluate("lenet.places().stages")
            before, stage = places[STAGES[max(0, len(names) - 2)]], places[names[-1]]
            tour, unit = (page.locator(each).bounding_box() for each in ("#tour", "#unit"))
            text = page.locator("#tour-text").text_content()
            assert ("sigmoid" in text) == (names[-1] in ("c1", "f6"))
            assert tour["y"] + tour["height"] < box["y"] + before["y"]  # over which the kernel slides
            assert box["y"] + stage["y"] + stage["h"] <= unit["y"] < height - 100
        assert names == STAGES
        anchor = "getComputedStyle(document.documentElement).overflowAnchor"
        assert page.evaluate(anchor) == "none"  # else a text that is taller moves the end of a scroll that has begun
        assert "here 5, with " in page.locator("#tour-text").text_content()
        page.keyboard.press("ArrowLeft")
        assert page.locator("#tour-name").text_content() == "F6 (7 of 8)"
        page.keyboard.press("Escape")
        assert not page.locator("#tour").is_visible()
        assert page.evaluate("document.activeElement.id") == "tour-open"
        assert page.evaluate(anchor) == "auto"
        page.keyboard.press("Enter")
        assert page.locator("#tour-name").text_content() == "Input (1 of 8)"


def test_a_phone_that_is_turned_keeps_the_stage_of_the_tour(browser, saved):
    with opened(browser, saved, viewport={"width": 360, "height": 740}) as page:
        for _ in range(5):
            page.click("#tour-next")
        for width, height in ((740, 360), (360, 740)):
            resize(page, width, height)
            page.wait_for_timeout(100)
            box, tour = page.locator("#figure").bounding_box(), page.locator("#tour").bounding_box()
            end = tour["y"] + tour["height"]
            assert end < box["y"] + page.evaluate("lenet.places().stages.c3.y") < end + 40
        page.evaluate("scrollTo(0, 0)")
        resize(page, 740, 360)
        page.wait_for_timeout(100)
        assert page.evaluate("scrollY") < 400  # the pad stays in view


def test_a_stroke_withdraws_the_offer_of_the_tour_but_not_the_tour(browser, saved):
    with opened(browser, saved) as page:
        answer(page, "5")
        assert page.locator("#tour").is_visible()
        before = page.locator("#pad").bounding_box()
        draw(page, THREE)
        answer(page, "3")
        assert not page.locator("#tour").is_visible()
        assert page.locator("#pad").bounding_box() == before
        page.locator("#tour-open").click()
        draw(page, THREE)
        assert page.locator("#tour").is_visible()


def test_the_captions_of_a_small_equation_are_whole(browser, saved):
    """The caption of a patch of 2 x 2 is wider than the patch, and on phones that of a patch of the input."""
    for width, clicks, name in ((1440, 3, "S2 (3 of 8)"), (360, 2, "C1 (2 of 8)")):
        with opened(browser, saved, viewport={"width": width, "height": 1000}) as page:
            for _ in range(clicks):
                page.click("#tour-next")
            assert page.locator("#tour-name").text_content() == name
            first = "[...document.getElementById('equation').getContext('2d').getImageData(0, 0, 1, 20).data]"
            assert set(page.evaluate(first)) == {0}


def test_pointing_shows_a_units_name_and_value(page, shipped):
    page.keyboard.press("5")
    answer(page, "5")
    page.mouse.move(*place_of_unit(page, "c3", 5, 3, 7, 10))
    page.wait_for_function("() => document.getElementById('unit-name').textContent.startsWith('C3')")
    assert page.locator("#unit-name").text_content() == "C3, map 5, row 3, column 7"
    value = shipped.activations(pixels(page))["c3"][0, 5, 3, 7]
    said = page.locator("#arithmetic").text_content()
    _, shown_sum, shown_value = re.fullmatch(
        r"(.*)\nsigmoid\((.*)\) \N{ALMOST EQUAL TO} (.*)", said.replace("\N{MINUS SIGN}", "-")
    ).groups()
    assert float(shown_value) == pytest.approx(value, abs=0.0051)
    assert float(shown_sum) == pytest.approx(np.log(value / (1 - value)), abs=0.0051)
    assert page.locator("#figure").get_attribute("data-field") == "4,12,18,26"
    page.wait_for_function("text => document.getElementById('unit-spoken').textContent.endsWith(text)", arg=said)
    assert "6 kernels" in page.locator("#kernel-title").text_content()


@pytest.mark.parametrize("size", [(1440, 900), (768, 1024), (360, 740)])
def test_a_click_or_a_key_scrolls_to_a_unit_and_its_arithmetic(browser, saved, size):
    with opened(browser, saved, viewport=dict(zip(("width", "height"), size, strict=True))) as page:
        page.locator("#tour-close").click()
        _, y = place_of_unit(page, "c3", 2, 9, 1, 10)
        page.evaluate("rows => scrollBy(0, rows)", y - size[1] + 20)  # to the end of the window
        page.mouse.click(*place_of_unit(page, "c3", 2, 9, 1, 10))
        assert page.locator("#unit-name").text_content() == "C3, map 2, row 9, column 1"
        page.wait_for_function("""() => {
            const [panel, figure] = ["unit", "figure"].map((id) => document.getElementById(id).getBoundingClientRect());
            const { y, h } = lenet.places().stages.c3.planes[2];
            return figure.y + y > 0 && figure.y + y + h <= panel.top && panel.bottom <= innerHeight;
        }""")
        page.locator("#network").focus()
        for _ in range(4):
            page.keyboard.press("]")
        page.wait_for_function("""() => {
            const [panel, figure] = ["unit", "figure"].map((id) => document.getElementById(id).getBoundingClientRect());
            const { y, h } = lenet.places().stages.output;
            return lenet.state.unit.stage === "output" && figure.y + y + h <= panel.top && panel.bottom <= innerHeight;
        }""")


@pytest.mark.parametrize("size", [(1200, 900), (800, 400), (1440, 600)])
def test_a_click_never_scrolls_its_unit_away(browser, saved, size):
    """The tour is open, and these windows have no room for the first unit and the arithmetic."""
    with opened(browser, saved, viewport=dict(zip(("width", "height"), size, strict=True))) as page:
        _, y = place_of_unit(page, "c1", 0, 2, 2, 28)
        page.evaluate("rows => scrollBy(0, rows)", y - size[1] + 20)
        page.mouse.click(*place_of_unit(page, "c1", 0, 2, 2, 28))
        assert page.locator("#unit-name").text_content() == "C1, map 0, row 2, column 2"
        page.wait_for_timeout(100)
        figure, tour = page.locator("#figure").bounding_box(), page.locator("#tour").bounding_box()
        plane = page.evaluate("lenet.places().stages.c1.planes[0]")
        assert figure["y"] + plane["y"] + 2 * plane["h"] / 28 >= tour["y"] + tour["height"]


def test_all_maps_of_c3_and_s4_are_seen(page):
    for width in (1440, 1280, 900, 360):
        resize(page, width)
        for stage in ("c3", "s4"):
            planes = page.evaluate("stage => lenet.places().stages[stage].planes", stage)
            assert len(planes) == 16
            for a, b in itertools.combinations(planes, 2):
                across, down = abs(a["x"] - b["x"]) > a["w"], abs(a["y"] - b["y"]) > a["h"]
                assert across or down


def test_the_map_pointed_at_comes_to_the_front(page):
    page.evaluate("lenet.pointAt({stage: 'c1', map: 2, row: 20, column: 20})")
    page.mouse.move(*place_of_unit(page, "c1", 2, 20, 20, 28))  # which map 3 would hide
    assert page.locator("#unit-name").text_content() == "C1, map 2, row 20, column 20"


def test_the_equation_shows_the_patch_and_the_weights(page, shipped):
    page.keyboard.press("5")
    answer(page, "5")
    page.evaluate("lenet.pointAt({stage: 'c1', map: 2, row: 9, column: 13})")
    image = shown(page, "#equation")[..., :3].astype(int)
    palette = page.evaluate("lenet.tones()")
    standardised = (pixels(page) - pixels(page).mean()) / pixels(page).std()
    patch, kernel = standardised[7:12, 11:16], shipped.parameters["c1.weight"][2, 0]
    most = standardised.max(), np.abs(kernel).max()
    for place, values in enumerate((patch / most[0], kernel / most[1], patch * kernel / np.prod(most))):
        for row, column in np.ndindex(5, 5):
            tone = palette[round(255 * (1 + float(values[row, column])))]
            x, y = 1 + place * (150 + 26) + 30 * column, 20 + 30 * row
            np.testing.assert_allclose(image[y + 3, x + 15], tone, atol=6)


def test_a_kernel_slides_over_its_map(browser, saved):
    with opened(browser, saved, script=CLOCK, reduced_motion="no-preference") as page:
        page.locator("#tour-close").click()
        page.evaluate("lenet.pointAt({stage: 'c1', map: 4, row: 9, column: 9})")
        page.locator("#slide").click()
        page.evaluate("passTime(5000)")
        page.wait_for_function("() => lenet.state.unit.row > 2 && lenet.state.slide < 784")
        page.evaluate("passTime(5000)")
        page.wait_for_function("() => document.getElementById('unit-name').textContent.endsWith('row 9, column 9')")


def test_the_keyboard_goes_through_the_network(page):
    page.locator("#network").focus()
    keys = ("ArrowRight", "ArrowDown", "PageDown", "]", "End", "[", "Home", "PageUp")
    names = []
    for key in keys:
        page.keyboard.press(key)
        names.append(page.locator("#unit-name").text_content())
    assert names == [
        "C1, map 0, row 13, column 13",
        "C1, map 0, row 14, column 13",
        "C1, map 1, row 14, column 13",
        "S2, map 1, row 7, column 6",
        "C3, map 1, row 5, column 4",
        "S2, map 1, row 7, column 6",
        "C1, map 1, row 15, column 13",
        "C1, map 0, row 15, column 13",
    ]
    page.keyboard.press("Escape")
    assert not page.locator("#unit").is_visible()
