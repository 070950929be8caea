"""Draw on the page in Chromium, and share and undo drawings."""

import numpy as np
import pytest
from page_actions import (
    CLOCK,
    FRAMES,
    THREE,
    ZIGZAG,
    answer,
    distance,
    draw,
    drop,
    error,
    on_pad,
    opened,
    picture_of,
    pixels,
    place_of_unit,
    resize,
    shown,
    strokes,
)

from lenet.rejection import RejectionRule

pytest_plugins = ["page_fixture"]
pytestmark = pytest.mark.landing


def test_the_mouse_draws_a_3_as_pictures_of_digits_are_prepared(page, shipped):
    from lenet.reading import prepare

    draw(page, THREE)
    answer(page, "3")
    page.wait_for_function("() => document.getElementById('answer').textContent === '3'")  # the text for screen readers
    image = pixels(page)
    assert image.max() == 255
    rows, columns = np.indices(image.shape)
    centre = (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()
    np.testing.assert_allclose(centre, 14, atol=0.51)
    assert np.ptp(np.flatnonzero(image.max(axis=1))) in (18, 19)
    assert shipped.predict(image)[0] == 3
    picture = 255 - np.asarray(
        page.evaluate("""() => {
        const [W, context] = [280, new OffscreenCanvas(280, 280).getContext("2d")];
        Object.assign(context, { lineWidth: 0.09 * W, lineCap: "round", lineJoin: "round" });
        lenet.state.strokes[0].forEach(({ x, y }) => context.lineTo(x * W, y * W));
        context.stroke();
        return Array.from(context.getImageData(0, 0, W, W).data).filter((_, i) => i % 4 === 3);
    }"""),
        np.uint8,
    ).reshape(280, 280)
    assert distance(prepare(picture), image) < 6  # of 255: the pens differ a little


def test_each_move_is_read_and_seen(page):
    before = shown(page, "#figure")
    places = on_pad(page, THREE)
    page.mouse.move(*places[0])
    page.mouse.down()
    widths = set()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
        page.evaluate(FRAMES)
        widths.add(page.evaluate("[...document.querySelectorAll('.fill')].map((bar) => bar.style.transform).join()"))
    page.mouse.up()
    assert len(widths) == len(places) - 1
    after = shown(page, "#figure")
    assert after.shape == before.shape
    assert (after != before).any(axis=2).mean() > 0.02
    page.locator("#clear").click()
    np.testing.assert_array_equal(shown(page, "#figure"), before)


def test_a_finger_draws_and_points_on_a_phone_and_the_pad_stays(browser, saved):
    with opened(browser, saved, viewport={"width": 412, "height": 740}, has_touch=True, is_mobile=True) as page:
        touch = page.context.new_cdp_session(page)

        def send(kind, *places):
            points = [{"x": x, "y": y} for x, y in places]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        page.evaluate("window.boxOfPad = () => JSON.stringify(document.getElementById('pad').getBoundingClientRect())")
        look = f"{FRAMES}.then(() => [document.getElementById('pad-answer').textContent, boxOfPad()])"
        seen = set()
        for width in (320, 360, 412):
            resize(page, width, 740)
            page.evaluate("scrollTo(0, 60)")
            for points in (ZIGZAG[::2], THREE):
                page.evaluate("document.getElementById('clear').click()")
                before = page.evaluate("boxOfPad()")
                first, *rest = on_pad(page, points)
                send("touchStart", first)
                for place in rest:
                    send("touchMove", place)
                    text, box = page.evaluate(look)
                    seen.add(text)
                    assert box == before
                send("touchEnd")
            answer(page, "3")
            assert strokes(page) == 1
        assert {"3", "not a digit"} <= seen
        assert not page.locator("#tour").is_visible()
        page.touchscreen.tap(*place_of_unit(page, "c1", 4, 7, 9, 28))
        page.wait_for_function("() => document.getElementById('unit-name').textContent.startsWith('C1, map 4, row 7')")


def test_the_keyboard_alone_draws_a_7_and_takes_it_back(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pad":
            break
    for key, times in (("ArrowLeft", 7), (" ", 1), ("ArrowRight", 14), (" ", 2)):
        for _ in range(times):
            page.keyboard.press(key)
    assert page.locator("#pen").text_content() == "Pen down"
    for _ in range(14):
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowLeft")
    page.keyboard.press(" ")
    answer(page, "7")
    assert strokes(page) == 2
    page.keyboard.press("Control+z")
    assert strokes(page) == 1
    page.keyboard.press("Delete")
    answer(page, "Draw a digit")
    assert not pixels(page).any()
    for key in (" ", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    xs = [point["x"] for point in page.evaluate("lenet.state.strokes[0]")]
    assert xs[2] - xs[1] > 2 * (xs[1] - xs[0]) > 0


@pytest.mark.parametrize("digits", [[2, 7], pytest.param([0, 1, 3, 4, 5, 6, 8, 9], marks=pytest.mark.release)])
def test_an_example_is_read_right_however_it_is_varied(page, digits):
    for digit in digits:
        page.keyboard.press(f"{digit}")
        answer(page, f"{digit}")
        read = page.evaluate(
            """digit => Array.from({ length: 20 }, () => {
                 const outputs = lenet.forward(lenet.state.model, lenet.pixelsOfStrokes(lenet.handwritten(digit)));
                 return lenet.judged(lenet.state.model, Array.from(outputs.output.values));
               })""",
            digit,
        )
        assert {(each["kind"], each["label"]) for each in read} == {("digit", digit)}


def test_the_page_opens_with_a_digit_that_writes_itself(browser, saved):
    with opened(browser, saved, script=CLOCK, reduced_motion="no-preference") as page:
        points = "lenet.state.strokes.flat().length"
        early, bars = page.evaluate(points), page.locator("#bars").inner_html()
        page.evaluate("passTime(1200)")
        page.wait_for_function(f"early => {points} > early + 8", arg=early)
        page.evaluate(FRAMES)
        assert page.locator("#bars").inner_html() != bars
        page.evaluate("passTime(5000)")
        answer(page, "5")
        draw(page, THREE)  # which replaces the digit
        answer(page, "3")
        assert strokes(page) == 1
        for how in ("Control+z", "Delete", " "):
            page.keyboard.press("4")
            page.evaluate("passTime(100)")
            page.wait_for_function(f"() => 1 < {points} && {points} < 20")
            page.locator("#pad").press(how)
            page.evaluate("passTime(100)")
            page.evaluate(FRAMES)
            assert strokes(page) == {"Control+z": 1, "Delete": 0, " ": 1}[how]
            if how == "Delete":
                page.keyboard.press("Control+z")  # brings back the drawing, and no half-written example
                assert strokes(page) == 1


def test_reduced_motion_and_forced_colours_are_respected(browser, saved):
    with opened(browser, saved, forced_colors="active") as page:
        answer(page, "5")
        fill, track = page.evaluate("""() => {
            const elements = [".best .fill", ".best .track"].map((each) => document.querySelector(each));
            return elements.map((each) => getComputedStyle(each).backgroundColor);
        }""")
        assert fill != track
        before = page.evaluate("lenet.state.strokes")
        page.wait_for_timeout(100)
        assert page.evaluate("lenet.state.strokes") == before
        assert page.locator("#tour").is_visible()
        page.evaluate("lenet.pointAt({stage: 'c1', map: 2, row: 9, column: 9})")
        assert not page.locator("#slide").is_visible()
        page.locator("#change").click()
        assert f" reads {page.locator('#target').input_value()} with " in page.locator("#mind-text").text_content()


def test_a_scribble_is_a_non_digit(page, shipped):
    before = page.locator("#try").bounding_box()
    draw(page, ZIGZAG, steps=1)
    answer(page, "not a digit")
    assert not RejectionRule.from_metadata(shipped.metadata).answers(shipped.predict_proba(pixels(page))).is_digit[0]
    assert page.locator("#hint").text_content() == "This page reads one digit at a time."
    assert page.locator("#try").bounding_box() == before


def test_undo_restores_a_replaced_drawing(page):
    draw(page, THREE)
    answer(page, "3")
    replacements = {
        "Draw a digit": lambda: page.locator("#clear").click(),
        "7": lambda: page.keyboard.press("7"),
        "4": lambda: drop(page, picture_of("4"), "image/png"),
    }
    for text, replace in replacements.items():
        replace()
        answer(page, text)
        page.locator("#undo").click()
        answer(page, "3")
    page.keyboard.press("Control+z")
    answer(page, "Draw a digit")


def test_replacing_a_drawing_ends_the_current_stroke(page):
    first, *rest = on_pad(page, THREE)
    page.mouse.move(*first)
    page.mouse.down()
    page.keyboard.press("Delete")
    page.mouse.move(*rest[0], steps=4)
    page.mouse.up()
    assert strokes(page) == 0


def test_a_dot_stays_small(page):
    for length in (0, 0.01):
        page.locator("#clear").click()
        draw(page, [(0.5, 0.5), (0.5 + length, 0.5)])
        assert 0 < np.count_nonzero(pixels(page)) <= 25


def test_a_link_carries_the_drawing(browser, saved, page):
    draw(page, THREE)
    answer(page, "3")
    image = pixels(page)
    page.locator("#share").click()
    page.wait_for_function("() => document.getElementById('pen').textContent")
    link = page.url
    assert link.startswith(saved + "#drawing=")
    with opened(browser, link) as other:
        answer(other, "3")
        assert distance(pixels(other), image) < 3  # of 255: points are rounded
        other.evaluate("location.hash = '#drawing=AA'")
        assert error(other) == "The drawing in this link is damaged. Ask for the link again."
        assert strokes(other) == 1


def test_a_link_carries_the_whole_digit_that_writes_itself(browser, saved):
    with opened(browser, saved, script=CLOCK, reduced_motion="no-preference") as page:
        page.locator("#share").click()
        page.wait_for_function("() => document.getElementById('pen').textContent")
        with opened(browser, page.url) as other:
            answer(other, "5")
            assert strokes(other) == 3
        answer(page, "5")  # without any time passing
        assert page.locator("#invitation").is_visible()
        draw(page, THREE)  # which replaces the digit, as the invitation says
        answer(page, "3")
        assert strokes(page) == 1
