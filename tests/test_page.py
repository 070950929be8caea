"""The page in Chromium. tests/test_page_arithmetic.py checks its numbers without a browser."""

import base64
import contextlib
import io
import itertools
import re
import shutil

import numpy as np
import pytest
from served import serving

import lenet
from lenet.rejection import RejectionRule
from lenet.serving.page import model_document, page_html

pytestmark = [pytest.mark.landing, pytest.mark.uninstrumented]  # a browser cannot load a sanitizer

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "open sesame"  # noqa: S105
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"  # waits for two
READY = "() => window.lenet?.state.outputs"
THREE = [(0.3, 0.2), (0.5, 0.12), (0.68, 0.22), (0.64, 0.4), (0.45, 0.47), (0.66, 0.55), (0.7, 0.75), (0.5, 0.88)]
THREE += [(0.28, 0.8)]
ZIGZAG = [(0.1 + 0.8 * (k % 2), 0.1 + 0.8 * k / 23) for k in range(24)]
WIDE = {"width": 1440, "height": 1000}
STAGES = ["input", "c1", "s2", "c3", "s4", "c5", "f6", "output"]


@pytest.fixture(scope="module")  # no longer: playwright keeps an event loop running
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server.url


@pytest.fixture(scope="module")
def model():
    return lenet.load_pretrained("mnist")


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The address of the page with the shipped model in it, as a file."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(page_html(model_document(model, "mnist", "1")))
    return path.as_uri()


@contextlib.contextmanager
def opened(browser, url, script="", **options):
    """Open a page in its own context; any error in it fails the test."""
    context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce"} | options)
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.add_init_script(script)
    page.goto(url)
    page.wait_for_function(READY)
    yield page
    context.close()
    assert not faults


@pytest.fixture(scope="module")
def shared(browser, saved):
    with opened(browser, saved) as page:
        yield page


@pytest.fixture(scope="module")
def shared_served(browser, served):
    with opened(browser, served) as page:
        yield page


@pytest.fixture
def page(shared):
    """The page from a file, as most tests share it: empty and without a tour."""
    return emptied(shared)


@pytest.fixture
def served_page(shared_served):
    """The page from a server, as most tests share it: empty and without a tour."""
    return emptied(shared_served)


def emptied(page):
    page.set_viewport_size(WIDE)
    page.evaluate("""() => {
        for (const id of ["clear", "tour-close", "dismiss", "lesson-clear"]) document.getElementById(id).click();
        lenet.pointAt(null);
        scrollTo(0, 0);
        document.activeElement.blur();
    }""")
    answer(page, "Draw a digit")
    return page


def answer(page, text):
    """Wait until the page shows that answer."""
    page.wait_for_function(
        "text => document.querySelector('#reading strong').textContent === text", arg=text, timeout=5000
    )


def on_pad(page, points, pad="#pad"):
    page.locator(pad).scroll_into_view_if_needed()
    box = page.locator(pad).bounding_box()
    return [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]


def resize(page, width, height=900):
    """Give the window another size, and wait until the network is drawn for it."""
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function(
        """width => {
             const { width: drawn, clientWidth } = document.getElementById("figure");
             return innerWidth === width && drawn === clientWidth;
           }""",
        arg=width,
    )


def draw(page, points, pad="#pad", steps=3):
    places = on_pad(page, points, pad)
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=steps)
    page.mouse.up()


def pixels(page):
    page.evaluate("new Promise(requestAnimationFrame)")
    return np.array(page.evaluate("Array.from(lenet.state.pixels)"), np.uint8).reshape(28, 28)


def shown(page, selector):
    """Return a canvas' pixels, (H, W, 4)."""
    from PIL import Image

    page.evaluate(FRAMES)
    url = page.evaluate("selector => document.querySelector(selector).toDataURL()", selector)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def strokes(page):
    return page.evaluate("lenet.state.strokes.length")


def distance(a, b):
    """Return the mean difference of two images, one of them moved by a pixel at most: centres may lie between two."""
    moved = [np.roll(a, (down, across), (0, 1)).astype(float) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    return min(np.abs(each - b).mean() for each in moved)


def place_of_unit(page, stage, plane, row, column, side):
    """Return where on the screen a unit is."""
    page.wait_for_timeout(50)
    page.locator("#figure").scroll_into_view_if_needed()
    box = page.locator("#figure").bounding_box()
    place = page.evaluate("([stage, map]) => lenet.places().stages[stage].planes[map]", [stage, plane])
    x, y = box["x"] + place["x"], box["y"] + place["y"]
    return x + place["w"] * (column + 0.5) / side, y + place["h"] * (row + 0.5) / side


STROKES = {  # in a box of 60x100
    "0": [(30, 2), (8, 20), (3, 55), (12, 88), (32, 98), (52, 80), (57, 45), (48, 14), (30, 2)],
    "1": [(34, 0), (26, 100)],
    "2": [(6, 22), (20, 3), (42, 4), (52, 22), (42, 48), (5, 97), (58, 95)],
    "4": [(18, 2), (4, 58), (58, 56), (44, 56), (46, 20), (40, 100)],
    "9": [(50, 14), (30, 2), (10, 14), (8, 36), (26, 48), (44, 38), (50, 14), (48, 56), (40, 100)],
}


def picture_of(text):
    """Return a PNG of digits, written with a blue pen on paper."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (60 + 110 * len(text), 180), (238, 234, 226))
    pen = ImageDraw.Draw(image)
    for k, each in enumerate(text):
        points = [(50 + 110 * k + x, 40 + y) for x, y in STROKES[each]]
        pen.line(points, fill=(40, 50, 120), width=11, joint="curve")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def drop(page, content, kind, times=1):
    page.evaluate(
        """([content, type, times]) => {
             const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
             const dataTransfer = new DataTransfer();
             for (let k = 0; k < times; k++) dataTransfer.items.add(new File([bytes], `picture ${k}`, { type }));
             document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
           }""",
        [base64.b64encode(content).decode(), kind, times],
    )


def error(page):
    page.locator("[role=alert] #error-text").wait_for()
    page.wait_for_function("() => document.getElementById('error-text').textContent")
    return page.locator("#error-text").text_content()


# ---- drawing -----------------------------------------------------------------------------------------------


def test_the_mouse_draws_a_3_as_pictures_of_digits_are_prepared(page, model):
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
    assert model.predict(image)[0] == 3
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


CLOCK = "let time = 0; performance.now = () => time; window.passTime = (milliseconds) => (time += milliseconds);"


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


def test_a_scribble_is_a_non_digit(page, model):
    before = page.locator("#try").bounding_box()
    draw(page, ZIGZAG, steps=1)
    answer(page, "not a digit")
    assert not RejectionRule.from_metadata(model.metadata).answers(model.predict_proba(pixels(page))).is_digit[0]
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


# ---- the tour ----------------------------------------------------------------------------------------------


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


def test_the_captions_of_a_small_equation_are_whole(browser, saved):
    """The caption of a patch of 2 x 2 is wider than the patch."""
    with opened(browser, saved) as page:
        for _ in range(3):
            page.click("#tour-next")
        assert page.locator("#tour-name").text_content() == "S2 (3 of 8)"
        first = "[...document.getElementById('equation').getContext('2d').getImageData(0, 0, 2, 20).data]"
        assert set(page.evaluate(first)) == {0}


# ---- pointing ----------------------------------------------------------------------------------------------


def test_pointing_shows_a_units_name_and_value(page, model):
    page.keyboard.press("5")
    answer(page, "5")
    page.mouse.move(*place_of_unit(page, "c3", 5, 3, 7, 10))
    page.wait_for_function("() => document.getElementById('unit-name').textContent.startsWith('C3')")
    assert page.locator("#unit-name").text_content() == "C3, map 5, row 3, column 7"
    value = model.activations(pixels(page))["c3"][0, 5, 3, 7]
    said = page.locator("#arithmetic").text_content()
    _, shown_sum, shown_value = re.fullmatch(
        r"(.*)\nsigmoid\((.*)\) = (.*)", said.replace("\N{MINUS SIGN}", "-")
    ).groups()
    assert float(shown_value) == pytest.approx(value, abs=0.0051)
    assert float(shown_sum) == pytest.approx(np.log(value / (1 - value)), abs=0.0051)
    assert page.locator("#figure").get_attribute("data-field") == "4,12,18,26"
    page.wait_for_function("text => document.getElementById('unit-spoken').textContent.endsWith(text)", arg=said)
    assert "6 kernels" in page.locator("#kernel-title").text_content()


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


def test_the_equation_shows_the_patch_and_the_weights(page, model):
    page.keyboard.press("5")
    answer(page, "5")
    page.evaluate("lenet.pointAt({stage: 'c1', map: 2, row: 9, column: 13})")
    image = shown(page, "#equation")[..., :3].astype(int)
    palette = page.evaluate("lenet.tones()")
    standardised = (pixels(page) - pixels(page).mean()) / pixels(page).std()
    patch, kernel = standardised[7:12, 11:16], model.parameters["c1.weight"][2, 0]
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


# ---- changing its mind, and training -----------------------------------------------------------------------


def test_steps_along_the_gradient_change_the_answer(page):
    page.keyboard.press("4")
    answer(page, "4")
    page.wait_for_function("() => document.getElementById('nearest').textContent.startsWith('4, at ')")
    assert page.locator("#nearest li").count() == 4
    before = pixels(page).astype(int)
    page.locator("#target").select_option("9")
    page.locator("#change").click()
    page.wait_for_function("() => / reads 9 with /.test(document.getElementById('mind-text').textContent)")
    after = pixels(page).astype(int)
    assert 0 < np.abs(after - before).mean() < 40
    count = int(page.locator("#steps").input_value())
    assert page.locator("#mind-text").text_content().startswith(f"After {count} step")
    page.locator("#steps").focus()
    page.keyboard.press("Home")
    answer(page, "4")
    np.testing.assert_array_equal(pixels(page), before)


def test_a_step_that_is_rejected_as_a_non_digit_is_said_to_be(page):
    page.keyboard.press("0")
    answer(page, "0")
    page.wait_for_function("() => document.getElementById('nearest').textContent.startsWith('0, at ')")
    steps = page.evaluate("""() => {
        lenet.state.model.least_digit_score = 0.8;
        const steps = document.getElementById("steps");
        return Array.from({ length: Number(steps.max) + 1 }, (_, count) => {
            steps.value = count;
            steps.dispatchEvent(new Event("input"));
            return ["reading", "mind-text"].map((id) => document.getElementById(id).textContent);
        });
    }""")
    rejected = [" The answer is “not a digit”." in text for _, text in steps]
    assert rejected == ["not a digit" in reading for reading, _ in steps]
    assert 0 < sum(rejected) < len(rejected)


def test_steps_begin_at_the_drawing_even_right_after_a_stroke(page):
    """The timer that waits for the reader to rest must not take a step for the drawing."""
    page.keyboard.press("4")
    answer(page, "4")
    page.wait_for_function("() => document.getElementById('nearest').textContent.startsWith('4, at ')")
    page.evaluate(
        """async (frames) => {
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "7", bubbles: true }));
        await eval(frames);
        window.drawn = [...lenet.state.pixels];
        document.getElementById("change").click();
    }""",
        FRAMES,
    )
    page.wait_for_timeout(400)  # the timer takes 250 ms
    assert page.locator("#mind-text").text_content().startswith("After ")
    changed = page.evaluate("[...lenet.state.pixels].map((pixel, i) => Math.abs(pixel - drawn[i]))")
    assert 0 < np.mean(changed) < 40


def triangle(rng):
    corners = [np.array(each) + rng.uniform(-0.08, 0.08, 2) for each in ((0.5, 0.15), (0.85, 0.8), (0.15, 0.8))]
    return [*corners, corners[0]]


def spiral(rng):
    turn, size = rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.2)
    angles = np.linspace(0, 11, 14)
    return [0.5 + 0.032 * size * angle * np.array([np.cos(angle + turn), np.sin(angle + turn)]) for angle in angles]


def test_the_page_learns_two_symbols(page):
    rng = np.random.default_rng(0)
    symbols = {"A": triangle, "B": spiral}
    for name in "ABABABAB":
        draw(page, symbols[name](rng), "#lesson-pad", steps=1)
        page.locator(f"#keep-{name}").click()
    assert page.locator("#examples-A button").count() == page.locator("#examples-B button").count() == 4
    page.locator("#train").click()
    said = page.locator("#lesson-text").text_content()
    first, last = map(float, re.fullmatch(r"170 parameters .* from (.*) to (\S+)\. .*", said).groups())
    assert first == pytest.approx(np.log(2), abs=1e-3)
    assert last < 0.05
    right = 0
    for name in "ABABABABAB":
        draw(page, symbols[name](rng), "#lesson-pad", steps=1)
        page.evaluate(FRAMES)
        right += f" reads {name} with " in page.locator("#lesson-text").text_content()
        page.locator("#lesson-clear").click()
    assert right >= 9
    page.get_by_label("Remove example 2 of A").click()
    assert page.locator("#examples-A button").count() == 3
    assert page.locator("#lesson-text").text_content().startswith("Ready to train.")


# ---- pictures and the server -------------------------------------------------------------------------------


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
    page.evaluate("() => (lenet.state.model.version = 'older')")
    page.locator("#compare").click()
    page.wait_for_function("() => document.getElementById('comparison').textContent.startsWith('The server now')")
    text = page.locator("#comparison").text_content()
    assert re.fullmatch(r"The server now has version \S+\. Reload the page\.", text)


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


# ---- named classes -----------------------------------------------------------------------------------------

WORDS = ("zero", "one", "two", "three", "four of a kind", "five", "six", "seven", "eight", "a very long name " * 5)


@pytest.fixture(scope="module")
def named(browser, tmp_path_factory):
    """A page whose classes have words as names."""
    model = lenet.load_pretrained("mnist")
    model.classes = WORDS
    path = tmp_path_factory.mktemp("named") / "page.html"
    path.write_bytes(page_html(model_document(model, "words", "1")))
    with opened(browser, path.as_uri()) as page:
        yield page


def test_class_names_replace_numbers(named):
    page = named
    answer(page, "Draw a symbol")
    assert "10 classes (zero, one " in page.locator("#model-facts").text_content()
    page.keyboard.press("3")
    assert strokes(page) == 0
    assert not page.locator("#examples").is_visible()
    draw(page, THREE)
    answer(page, "three")
    assert page.locator("#reading strong").text_content() == page.locator(".best .name").text_content() == "three"
    assert page.locator("#bars .name").all_text_contents() == list(WORDS)
    assert page.locator("#pad-title").text_content() == "Draw a symbol"
    page.evaluate("lenet.pointAt({stage: 'output', map: 7, row: 0, column: 0})")
    assert page.locator("#unit-name").text_content() == "Output, unit 7 (seven)"
    drop(page, picture_of("4"), "image/png")
    answer(page, "four of a kind")
    assert page.locator("#boxes button").get_attribute("aria-label").startswith("four of a kind, ")
    assert page.locator("#lines").text_content() == "four of a kind"
    draw(page, ZIGZAG, steps=1)
    answer(page, "not any of the classes")


def test_long_names_stay_in_place(named):
    for width, height in ((1600, 1000), (1280, 900), (360, 740)):
        resize(named, width, height)
        named.locator("#clear").click()
        answer(named, "Draw a symbol")
        before = named.locator("#answer-box").bounding_box()
        named.evaluate("lenet.state.strokes = lenet.handwritten(9)")
        named.locator("#pad").press("ArrowLeft")  # which reads the strokes
        answer(named, WORDS[9])
        assert named.evaluate("document.documentElement.scrollWidth") == width
        inner = named.locator("#answer-box").bounding_box()
        assert (inner["width"], inner["height"]) == (before["width"], before["height"])
        for selector in ("#reading strong", ".best .name", ".best .track", ".best .percent"):
            box = named.locator(selector).bounding_box()
            assert inner["x"] < box["x"] < box["x"] + box["width"] < inner["x"] + inner["width"]
        assert named.locator(".best .track").bounding_box()["width"] > 60


def test_the_server_reads_lines_of_letters_and_the_browser_words(browser, tmp_path):
    model = lenet.load_pretrained("mnist")
    for name, classes in {"letters": "ABCDEFGHIJ", "words": WORDS}.items():
        model.classes = tuple(classes)
        model.save(tmp_path / f"{name}.safetensors")
    models = [f"--model={name}={tmp_path / name}.safetensors" for name in ("letters", "words")]
    with serving(*models) as server, opened(browser, server.url + "?model=words") as page:
        drop(page, picture_of("44"), "image/png")
        page.wait_for_function("() => document.querySelectorAll('#boxes button').length === 1")
        assert "/predict" not in str(server.log())
        page.goto(server.url + "?model=letters")
        page.wait_for_function(READY)
        drop(page, picture_of("44"), "image/png")
        page.wait_for_function("() => document.getElementById('lines').textContent === 'EE'")
        assert page.locator("#boxes span").all_text_contents() == ["E", "E"]


# ---- looks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_axe_finds_no_serious_fault(browser, saved, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, saved, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        page.evaluate("lenet.pointAt({stage: 'c5', map: 5, row: 0, column: 0})")
        draw(page, THREE, "#lesson-pad")
        page.locator("#keep-A").click()
        drop(page, picture_of("4"), "image/png")
        answer(page, "4")
        page.wait_for_function("() => document.querySelectorAll('#nearest li').length")
        found = axe.run(page).response["violations"]
        faults = [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
        assert not faults


def test_pointing_moves_nothing_and_is_never_too_wide(page):
    page.keyboard.press("5")
    for width in (1440, 1280, 900, 320):
        resize(page, width)
        heights = set()
        for stage in STAGES:
            page.evaluate("stage => lenet.pointAt({stage, map: 0, row: 0, column: 0})", stage)
            page.evaluate(FRAMES)
            heights.add(page.evaluate("document.documentElement.scrollHeight"))
            assert page.evaluate("document.documentElement.scrollWidth") == width, stage
        assert len(heights) == 1, width


def test_most_of_the_network_is_seen_while_drawing(page, served_page):
    for each in (page, served_page):
        for width in (1280, 1366):
            resize(each, width)
            box = each.locator("#figure").bounding_box()
            assert (900 - box["y"]) / box["height"] > 0.85
            assert each.evaluate("document.documentElement.scrollWidth") == width


def test_captions_do_not_overlap(page):
    page.evaluate("""() => {
        window.written = [];
        const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.clearRect = function (...box) {  // each drawing begins with it
          if (this.canvas.id === "figure") window.written = [];
          clearRect.call(this, ...box);
        };
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
          const wide = this.measureText(text).width;
          const left = { left: x, center: x - wide / 2, right: x - wide }[this.textAlign];
          if (this.canvas.id === "figure") window.written.push({ text: `${text}`, left, right: left + wide, y });
          fillText.call(this, text, x, y);
        };
      }""")
    for width in (320, 390, 1280, 1440):
        resize(page, width, 740)
        page.evaluate("window.written = []")
        page.keyboard.press("5")
        page.wait_for_function("() => window.written.some(({ text }) => text === 'C3')")
        written = page.evaluate("window.written")
        for line in {each["y"] for each in written}:
            places = sorted({(each["left"], each["right"]) for each in written if each["y"] == line})
            assert all(end + 4 <= start for (_, end), (start, _) in itertools.pairwise(places))


def test_the_theme_is_chosen_and_remembered(browser, served):
    with opened(browser, served, color_scheme="light") as page:
        before = shown(page, "#sees")
        page.locator("#theme").click()
        after = shown(page, "#sees")
        assert before[0, 0, :3].min() > 200
        assert after[0, 0, :3].max() < 80
        page.locator("#tour-close").click()
        page.reload()
        page.wait_for_function(READY)
        assert page.locator("#theme").text_content() == "Light"
        assert not page.locator("#tour").is_visible()
        page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } })")
        page.reload()
        page.wait_for_function(READY)
        page.locator("#theme").click()
        assert page.locator("#theme").text_content() == "Light"


def test_without_javascript_the_page_says_what_is_missing(browser, saved):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(saved)
    assert page.locator("noscript p").is_visible()
    context.close()
