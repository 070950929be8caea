"""Drop pictures on the page in Chromium, with and without its server."""

import io
import re
import time

import numpy as np
import pytest
from page_actions import (
    FRAMES,
    READY,
    THREE,
    answer,
    distance,
    draw,
    drop,
    error,
    on_pad,
    opened,
    picture_of,
    pixels,
    shown,
)
from served import serving
from serving_requests import TOKEN

pytest_plugins = ["page_fixture"]
pytestmark = pytest.mark.landing


def test_the_server_reads_a_dropped_picture(served_page):
    page = served_page
    drop(page, picture_of("2019"), "image/png")
    page.wait_for_function("() => document.getElementById('lines').textContent.trim() === '2019'")
    boxes = page.locator("#boxes button")
    assert [boxes.nth(k).text_content() for k in range(boxes.count())] == list("2019")
    answer(page, "2")
    assert boxes.nth(0).get_attribute("aria-pressed") == "true"
    boxes.nth(3).focus()
    page.keyboard.press("Enter")
    answer(page, "9")
    page.locator("#steps").press("End")
    assert boxes.nth(3).get_attribute("aria-pressed") == "true"  # the steps began at this digit
    draw(page, THREE)
    answer(page, "3")
    assert not page.locator("#boxes [aria-pressed=true]").count()
    picture = page.locator("#picture").bounding_box()
    box = boxes.nth(3).bounding_box()
    assert 0.7 < (box["x"] - picture["x"]) / picture["width"] < 0.9


def test_large_pictures_are_scaled_down_before_they_are_sent(served_page):
    from PIL import Image

    page = served_page
    page.evaluate("""() => {
        const own = window.fetch;
        window.fetch = (url, options) => own(url, (window.sent = options));
      }""")
    file = io.BytesIO()
    Image.open(io.BytesIO(picture_of("2019"))).resize((6500, 2340)).save(file, "PNG")  # more than the 8 megapixels sent
    drop(page, file.getvalue(), "image/png")
    page.wait_for_function("() => document.getElementById('lines').textContent.trim() === '2019'")
    sent = page.evaluate("createImageBitmap(window.sent.body).then(({ width, height }) => width * height)")
    assert sent == pytest.approx(8e6, rel=0.01)
    x = page.locator("#boxes button").nth(3).bounding_box()["x"]
    picture = page.locator("#picture").bounding_box()
    assert 0.7 < (x - picture["x"]) / picture["width"] < 0.9


@pytest.mark.parametrize(
    ("size", "shown_size"), [((120, 90), (480, 360)), ((600, 900), (600, 900)), ((3200, 800), (1600, 400))]
)
def test_a_small_picture_is_shown_enlarged(page, size, shown_size):
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(picture_of("4"))).resize(size).save(file, "PNG")
    drop(page, file.getvalue(), "image/png")
    page.wait_for_function(
        "([w, h]) => (({ width, height }) => width === w && height === h)(document.getElementById('picture'))",
        arg=[*shown_size],
    )


def test_the_saved_page_reads_one_digit_by_itself(page):
    from PIL import Image

    from lenet.reading import prepare

    content = picture_of("4")
    page.locator("#file").set_input_files({"name": "4.png", "mimeType": "image/png", "buffer": content})
    answer(page, "4")
    assert page.locator("#boxes button").text_content() == "4"
    wanted = prepare(np.asarray(Image.open(io.BytesIO(content))))
    assert distance(wanted, pixels(page)) < 4
    box = page.locator("#picture").bounding_box()
    assert 0 <= box["y"] <= box["y"] + box["height"] <= 1000  # it comes into view
    drop(page, picture_of("2019"), "image/png", times=2)
    answer(page, "not a digit")
    assert page.locator("#lines").text_content() == "not a digit. This page reads one digit at a time."
    assert page.locator("#picture-note").text_content() == "Only the first of the 2 pictures is read."


def test_an_error_is_in_front_of_the_tour(page):
    page.evaluate("document.getElementById('tour').hidden = false; scrollTo(0, document.body.scrollHeight)")
    drop(page, b"no picture at all", "text/plain")
    assert error(page)
    box = page.locator("#dismiss").bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).id", middle) == "dismiss"


def test_a_picture_replaces_the_digit_that_writes_itself(browser, saved):
    with opened(browser, saved, reduced_motion="no-preference") as page:
        page.wait_for_function("lenet.state.strokes.length")
        drop(page, picture_of("4"), "image/png")
        page.wait_for_function("document.getElementById('lines').textContent === '4'")
        assert pixels(page).any()
        assert page.locator("#reading strong").text_content() == "4"


def test_a_late_picture_leaves_a_newer_drawing(browser, served):
    with opened(browser, served, viewport={"width": 1440, "height": 700}) as page:
        waiting = []
        page.route("**/predict*", lambda route: waiting.append(route))
        drop(page, picture_of("29"), "image/png")
        start, *rest = on_pad(page, THREE)
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(*rest[0])
        waiting.pop().continue_()
        page.wait_for_function("() => document.getElementById('lines').textContent.trim() === '29'")
        assert page.evaluate("scrollY") == 0
        for place in rest[1:]:
            page.mouse.move(*place, steps=3)
        page.mouse.up()
        answer(page, "3")
        page.locator("#boxes button").nth(1).click()
        answer(page, "9")
        drop(page, picture_of("42"), "image/png")
        page.locator("#boxes button").nth(0).click()  # of the earlier picture, so there is no drawing
        waiting.pop().continue_()
        answer(page, "4")


@pytest.mark.parametrize("where", ["page", "served_page"])
def test_a_picture_that_failed_clears_the_earlier_result(request, where):
    page = request.getfixturevalue(where)
    drop(page, picture_of("4"), "image/png")
    answer(page, "4")
    drop(page, b"no picture at all", "text/plain")
    assert error(page).endswith(".")
    answer(page, "Draw a digit")
    assert page.locator("#lines").text_content() == ""
    assert not page.locator("#picture-box").is_visible()
    banner, card = page.locator("#error").bounding_box(), page.locator("#try > .card").first.bounding_box()
    assert card["y"] - banner["y"] - banner["height"] >= 10 or page.evaluate("scrollY") > 0
    page.locator("#dismiss").click()
    assert not page.locator("#error").is_visible()
    draw(page, THREE)
    drop(page, b"no picture at all", "text/plain")
    assert error(page)
    answer(page, "3")  # the drawing is not a picture


@pytest.mark.parametrize(("where", "grey"), [("page", 255), ("served_page", 0)])
def test_transparent_pictures_get_a_contrasting_background(request, where, grey):
    from PIL import Image

    page = request.getfixturevalue(where)
    ink = Image.open(io.BytesIO(picture_of("2"))).convert("L").point(lambda level: 255 * (level < 128))
    picture = Image.new("RGBA", ink.size, (grey, grey, grey, 0))
    picture.putalpha(ink)
    file = io.BytesIO()
    picture.save(file, "PNG")
    drop(page, file.getvalue(), "image/png")
    answer(page, "2")
    assert shown(page, "#picture")[0, 0].tolist() == [255 - grey] * 3 + [255]


def test_light_ink_is_read_and_blank_pictures_are_not(page):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(255 - np.asarray(Image.open(io.BytesIO(picture_of("2"))))).save(file, "PNG")
    drop(page, file.getvalue(), "image/png")
    answer(page, "2")
    file = io.BytesIO()
    Image.new("L", (90, 90), 200).save(file, "PNG")
    drop(page, file.getvalue(), "image/png")
    assert error(page) == "The picture shows no ink. Choose one with a digit."


def test_the_server_computes_the_same(served_page):
    page = served_page
    page.keyboard.press("8")
    answer(page, "8")
    before = page.evaluate("document.documentElement.scrollHeight")
    page.locator("#compare").click()
    page.wait_for_function("() => document.getElementById('comparison').textContent")
    text = page.locator("#comparison").text_content()
    assert float(text.split(" at most ")[1].rstrip(".")) < 1e-5
    assert page.evaluate("document.documentElement.scrollHeight") == before
    page.keyboard.press("7")
    answer(page, "7")
    assert page.locator("#comparison").text_content() == ""
    page.evaluate("() => (lenet.state.model.version = 'older')")
    page.locator("#compare").click()
    page.wait_for_function("() => document.getElementById('comparison').textContent.startsWith('The server now')")
    text = page.locator("#comparison").text_content()
    assert re.fullmatch(r"The server now has version \S+\. Reload the page\.", text)


def test_a_late_comparison_is_of_another_drawing(browser, served):
    with opened(browser, served) as page:
        waiting = []
        page.route("**/infer", lambda route: waiting.append(route))
        page.locator("#compare").click()
        draw(page, THREE)
        answer(page, "3")
        with page.expect_response("**/infer"):
            waiting.pop().continue_()
        page.evaluate(FRAMES)
        assert page.locator("#comparison").text_content() == ""


def test_a_token_is_requested_and_a_stopped_server_is_reported(browser):
    with serving(LENET_TOKEN=TOKEN) as server:
        context = browser.new_context(reduced_motion="reduce")
        page = context.new_page()
        page.goto(server.url)
        for text in ("wrong", TOKEN):
            page.get_by_label("Token").fill(text)
            page.keyboard.press("Enter")
        page.wait_for_function(READY)
        page.locator("#compare").click()
        page.wait_for_function("() => document.getElementById('comparison').textContent")
        assert not page.locator("#error").is_visible()
        server.process.terminate()
        server.process.wait(20)
        page.locator("#compare").click()
        assert error(page) == "The server does not respond. Check that it is running."
        page.locator("#dismiss").click()
        drop(page, picture_of("4"), "image/png")
        assert error(page) == "The server does not respond. Check that it is running."
        context.close()


def test_requests_that_wait_for_a_token_share_it(browser, served):
    with opened(browser, served) as page:
        rejected, accepted = [], []

        def check(route):
            if route.request.headers.get("authorization") == f"Bearer {TOKEN}":
                accepted.append(route.request.url)
                route.continue_()
            else:
                rejected.append(route.request.url)
                route.fulfill(status=401)

        for requests in ("**/infer", "**/predict*"):
            page.route(requests, check)
        page.locator("#compare").click()
        drop(page, picture_of("2019"), "image/png")
        for count, text in ((2, "wrong"), (4, TOKEN)):
            page.wait_for_function("() => !document.getElementById('token-form').hidden")
            end = time.monotonic() + 10
            while len(rejected) < count and time.monotonic() < end:
                page.wait_for_timeout(20)
            assert len(rejected) == count
            page.get_by_label("Token").fill(text)
            page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('lines').textContent.trim() === '2019'")
        assert len(accepted) == 2
        assert len(rejected) == 4
        assert not page.locator("#token-form").is_visible()
        assert not page.locator("#error").is_visible()


@pytest.mark.parametrize("where", ["saved", "served"])
def test_drawing_asks_the_network_for_nothing(browser, request, where):
    url = request.getfixturevalue(where)
    context = browser.new_context(reduced_motion="reduce")
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_function(READY)
    draw(page, THREE)
    answer(page, "3")
    page.evaluate("lenet.pointAt({stage: 'c3', map: 5, row: 3, column: 4})")
    if where == "saved":
        drop(page, picture_of("4"), "image/png")
        answer(page, "4")
    asked = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert asked == ([url] if where == "saved" else [url, url + "model.json"])
    context.close()
