"""The page in Chromium: it computes what lenet does, by mouse, touch, keyboard and screen reader."""

import base64
import contextlib
import io
import itertools
import json
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
READY = "() => window.lenet?.state.outputs"
THREE = [(0.3, 0.2), (0.5, 0.12), (0.68, 0.22), (0.64, 0.4), (0.45, 0.47), (0.66, 0.55), (0.7, 0.75), (0.5, 0.88)]
THREE += [(0.28, 0.8)]
ZIGZAG = [(0.1 + 0.8 * (k % 2), 0.1 + 0.8 * k / 23) for k in range(24)]
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
def opened(browser, url, **options):
    """Open a page in a context of its own; what goes wrong in it fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, "reduced_motion": "reduce"} | options)
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(url)
    page.wait_for_function(READY)
    yield page
    context.close()
    assert not faults


@pytest.fixture
def page(browser, saved):
    with opened(browser, saved) as page:
        yield page


def answer(page, text):
    """Wait until the page says that answer."""
    page.wait_for_function("text => document.getElementById('answer').textContent === text", arg=text, timeout=5000)


def on_pad(page, points):
    box = page.locator("#pad").bounding_box()
    return [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]


def draw(page, points):
    places = on_pad(page, points)
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def pixels(page):
    page.evaluate("new Promise(requestAnimationFrame)")
    return np.array(page.evaluate("Array.from(lenet.state.pixels)"), np.uint8).reshape(28, 28)


def shown(page, selector):
    """Return a canvas' pixels, (H, W, 4)."""
    from PIL import Image

    page.wait_for_timeout(100)
    url = page.evaluate("selector => document.querySelector(selector).toDataURL()", selector)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def passes(page, images):
    """Return what the page computes of images, by stage; "sums" are the logits."""
    return page.evaluate(
        """images => images.map((image) => {
             const outputs = lenet.forward(lenet.state.model, image);
             const values = Object.entries(outputs).map(([name, { values }]) => [name, Array.from(values)]);
             return { ...Object.fromEntries(values), sums: Array.from(outputs.output.sums) };
           })""",
        images.reshape(len(images), -1).tolist(),
    )


def assert_same(model, page, images):
    activations, logits, probabilities = model.activations(images), model.logits(images), model.predict_proba(images)
    for k, own in enumerate(passes(page, images)):
        np.testing.assert_allclose(own["output"], probabilities[k], atol=1e-5, rtol=0)
        np.testing.assert_allclose(own["sums"], logits[k], atol=1e-5, rtol=1e-5)
        for name in STAGES[:-1]:
            np.testing.assert_allclose(own[name], activations[name][k].ravel(), atol=1e-5, rtol=0, err_msg=name)


# ---- the forward pass --------------------------------------------------------------------------------------


def test_the_browser_computes_what_lenet_does(page, model):
    blank, full = np.zeros((1, 28, 28), np.uint8), np.full((1, 28, 28), 255, np.uint8)
    assert_same(model, page, np.concatenate([lenet.data.load_digits().X_test[:20].reshape(-1, 28, 28), blank, full]))


def test_so_it_does_in_doubles_with_26_classes(browser, tmp_path):
    model = lenet.LeNet5(seed=1, dtype="float64", num_classes=26)
    model.mean, model.std = 0.1, 0.3
    path = tmp_path / "letters.html"
    path.write_bytes(page_html(model_document(model, "letters", "1")))
    with opened(browser, path.as_uri()) as page:
        assert_same(model, page, lenet.data.load_digits().X_test[:5].reshape(-1, 28, 28))
        assert page.locator("#bars li").count() == 26
        assert page.locator("#count").text_content() == f"{model.parameters.flat.size:,}"


# ---- named classes -----------------------------------------------------------------------------------------

WORDS = ("zero", "one", "two", "three", "four of a kind", "five", "six", "seven", "eight", "a very long name " * 5)
VIEWPORTS = [{"width": 1600, "height": 1000}, {"width": 1280, "height": 900}, {"width": 360, "height": 740}]


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """The address of a page whose classes have words as names, as a file."""
    model = lenet.load_pretrained("mnist")
    model.classes = WORDS
    path = tmp_path_factory.mktemp("named") / "page.html"
    path.write_bytes(page_html(model_document(model, "words", "1")))
    return path.as_uri()


def test_names_stand_for_numbers(browser, named):
    with opened(browser, named) as page:
        answer(page, "Draw a symbol")
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


def test_a_page_of_symbols_offers_no_digits(browser, named):
    with opened(browser, named) as page:
        page.keyboard.press("3")
        assert strokes(page) == 0
        assert not page.locator("#examples").is_visible()
        draw(page, ZIGZAG)
        answer(page, "not any of the classes")


@pytest.mark.parametrize(("viewport", "word"), zip(VIEWPORTS, (3, 9, 9), strict=True))
def test_long_names_keep_their_places(browser, named, viewport, word):
    with opened(browser, named, viewport=viewport) as page:
        before = page.locator("#answer-box").bounding_box()
        page.evaluate("digit => { lenet.state.strokes = lenet.handwritten(digit); }", word)
        page.locator("#pad").press("ArrowLeft")  # which reads the strokes
        answer(page, WORDS[word])
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        inner = page.locator("#answer-box").bounding_box()
        assert inner == before
        for selector in ("#reading strong", ".best .name", ".best .track", ".best .percent"):
            box = page.locator(selector).bounding_box()
            assert inner["x"] < box["x"] < box["x"] + box["width"] < inner["x"] + inner["width"]
        assert page.locator(".best .track").bounding_box()["width"] > 60


@pytest.mark.parametrize(("classes", "by_server"), [(tuple("ABCDEFGHIJ"), True), (WORDS, False)])
def test_the_server_reads_lines_of_letters_and_the_browser_words(browser, tmp_path, classes, by_server):
    model = lenet.load_pretrained("mnist")
    model.classes = classes
    model.save(tmp_path / "named.safetensors")
    with serving("--model", tmp_path / "named.safetensors") as server, opened(browser, server.url) as page:
        drop(page, picture_of("44"), "image/png")
        if by_server:
            page.wait_for_function("() => document.getElementById('lines').textContent === 'EE'")
            assert page.locator("#boxes span").all_text_contents() == ["E", "E"]
        else:
            page.wait_for_function("() => document.querySelectorAll('#boxes button').length === 1")
        assert ("/predict" in str(server.log())) == by_server


# ---- drawing -----------------------------------------------------------------------------------------------


def test_the_mouse_draws_a_3_as_mnist_has_it(page, model):
    answer(page, "Draw a digit")
    draw(page, THREE)
    answer(page, "3")
    image = pixels(page)
    assert image.max() == 255
    rows, columns = np.indices(image.shape)
    centre = (image * rows).sum() / image.sum(), (image * columns).sum() / image.sum()
    np.testing.assert_allclose(centre, 14, atol=0.51)
    assert np.ptp(np.flatnonzero(image.max(axis=1))) in (18, 19)
    assert model.predict(image)[0] == 3


def distance(a, b):
    """Return the mean difference of two images, one of them moved by a pixel at most: centres may lie between two."""
    moved = [np.roll(a, (down, across), (0, 1)).astype(float) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    return min(np.abs(each - b).mean() for each in moved)


def test_the_pad_is_prepared_as_pictures_are(page, model):
    from lenet.reading import prepare

    draw(page, THREE)
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
    assert distance(prepare(picture), pixels(page)) < 6  # of 255: the pens differ a little


def test_each_move_is_read_and_seen(page):
    places = on_pad(page, THREE)
    before = shown(page, "#figure")
    page.mouse.move(*places[0])
    page.mouse.down()
    widths = set()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        widths.add(page.evaluate("[...document.querySelectorAll('.fill')].map((bar) => bar.style.transform).join()"))
    page.mouse.up()
    assert len(widths) == len(places) - 1
    after = shown(page, "#figure")
    assert after.shape == before.shape
    assert (after != before).any(axis=2).mean() > 0.02
    page.locator("#clear").click()
    page.mouse.move(1, 1)
    np.testing.assert_array_equal(shown(page, "#figure"), before)


def test_a_finger_draws_on_a_phone(browser, saved):
    with opened(browser, saved, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        touch = page.context.new_cdp_session(page)

        def send(kind, *places):
            points = [{"x": x, "y": y} for x, y in places]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        first, *rest = on_pad(page, THREE)
        send("touchStart", first)
        for place in rest:
            send("touchMove", place)
        send("touchEnd")
        answer(page, "3")
        assert page.evaluate("scrollY") == 0
        assert page.evaluate("lenet.state.strokes.length") == 1


def test_the_keyboard_alone_draws_a_7_and_takes_it_back(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pad":
            break
    for key, times in (("ArrowLeft", 7), (" ", 1), ("ArrowRight", 14), (" ", 1)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press(" ")
    for _ in range(14):
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowLeft")
    page.keyboard.press(" ")
    answer(page, "7")
    assert page.evaluate("lenet.state.strokes.length") == 2
    page.keyboard.press("Control+z")
    assert page.evaluate("lenet.state.strokes.length") == 1
    page.keyboard.press("Delete")
    answer(page, "Draw a digit")
    assert not pixels(page).any()


def test_shift_moves_the_pen_farther(page):
    page.locator("#pad").focus()
    for key in (" ", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    xs = [point["x"] for point in page.evaluate("lenet.state.strokes[0]")]
    assert xs[2] - xs[1] > 2 * (xs[1] - xs[0]) > 0


@pytest.mark.parametrize(
    "digit", [2, 7, *(pytest.param(n, marks=pytest.mark.release) for n in (0, 1, 3, 4, 5, 6, 8, 9))]
)
def test_an_example_is_read_right_however_it_is_varied(page, digit):
    page.keyboard.press(f"{digit}")
    answer(page, f"{digit}")
    read = page.evaluate(
        """digit => Array.from({ length: 30 }, () => {
             const image = lenet.pixelsOfStrokes(lenet.handwritten(digit));
             return lenet.judged(lenet.state.model, Array.from(lenet.forward(lenet.state.model, image).output.values));
           })""",
        digit,
    )
    assert {(each["kind"], each["label"]) for each in read} == {("digit", digit)}


def test_examples_are_written_stroke_by_stroke(browser, saved):
    with opened(browser, saved, reduced_motion="no-preference") as page:
        page.locator("#examples button").nth(4).click()
        early = page.evaluate("lenet.state.strokes.flat().length")
        answer(page, "4")
        assert early < page.evaluate("lenet.state.strokes.flat().length")


def test_a_scribble_is_no_digit(page, model):
    draw(page, ZIGZAG)
    answer(page, "not a digit")
    assert not RejectionRule.from_metadata(model.metadata).answers(model.predict_proba(pixels(page))).is_digit[0]


@pytest.mark.parametrize(
    ("where", "hint"),
    [("saved", "This page reads one digit at a time."), ("served", "To read a number, choose a picture.")],
)
def test_what_to_do_about_several_digits_is_said(browser, request, where, hint):
    with opened(browser, request.getfixturevalue(where), viewport={"width": 1280, "height": 900}) as page:
        assert page.locator("#hint").text_content() == ""
        before = page.locator("#try").bounding_box()
        draw(page, ZIGZAG)
        answer(page, "not a digit")
        assert page.locator("#hint").text_content() == hint
        assert page.locator("#try").bounding_box() == before
        page.keyboard.press("4")
        answer(page, "4")
        assert page.locator("#hint").text_content() == ""


def test_doubt_is_said(page, model):
    threshold = json.loads(model.metadata["thresholds"])["0.005"]
    probabilities = [0.0] * 10
    probabilities[3], probabilities[8] = threshold - 1e-3, 1 - threshold + 1e-3
    judged = page.evaluate("values => lenet.judged(lenet.state.model, values).text", probabilities)
    assert judged == "unsure; most likely 3"
    probabilities[3] = threshold
    assert page.evaluate("values => lenet.judged(lenet.state.model, values).text", probabilities) == "3"


def strokes(page):
    return page.evaluate("lenet.state.strokes.length")


@pytest.mark.parametrize("replace", ["clear", "example", "picture"])
def test_undo_brings_back_what_was_replaced(page, replace):
    draw(page, THREE)
    answer(page, "3")
    if replace == "clear":
        page.locator("#clear").click()
        answer(page, "Draw a digit")
    elif replace == "example":
        page.keyboard.press("7")
        answer(page, "7")
    else:
        drop(page, picture_of("4"), "image/png")
        answer(page, "4")
    page.locator("#undo").click()
    answer(page, "3")
    page.keyboard.press("Control+z")
    answer(page, "Draw a digit")
    page.keyboard.press("Control+z")  # of nothing, which is no fault
    assert strokes(page) == 0


def test_undo_goes_back_over_several_steps(page):
    draw(page, THREE)
    page.locator("#clear").click()
    draw(page, ZIGZAG)
    page.keyboard.press("6")
    seen = []
    for _ in range(4):
        page.locator("#undo").click()
        seen.append(page.evaluate("lenet.state.strokes.flat().length"))
    assert seen[0] > 0 == seen[1] == seen[3] < seen[2]


@pytest.mark.parametrize("how", ["pointer", "keyboard", "undo", "other"])
def test_a_half_written_example_goes_when_something_else_is_done(browser, saved, how):
    with opened(browser, saved, reduced_motion="no-preference") as page:
        draw(page, THREE)
        answer(page, "3")
        page.evaluate("performance.now = ((now) => () => now() / 50)(performance.now.bind(performance))")  # slowly
        page.keyboard.press("4")
        page.wait_for_function("() => lenet.state.strokes.flat().length < 10")
        if how == "pointer":
            draw(page, [(0.2, 0.2), (0.8, 0.2)])
        elif how == "keyboard":
            page.locator("#pad").press(" ")
        elif how == "other":
            page.keyboard.press("Delete")
        if how != "undo":
            page.wait_for_timeout(100)
            assert strokes(page) == (how != "other")
        page.keyboard.press("Control+z")
        answer(page, "3")
        assert strokes(page) == 1


def test_what_replaces_a_drawing_ends_the_stroke_in_hand(page):
    first, *rest = on_pad(page, THREE)
    page.mouse.move(*first)
    page.mouse.down()
    page.keyboard.press("Delete")
    page.mouse.move(*rest[0], steps=4)
    page.mouse.up()
    assert strokes(page) == 0


def test_a_dot_stays_small(page):
    for length in (0, 0.01):
        draw(page, [(0.5, 0.5), (0.5 + length, 0.5)])
        assert 0 < np.count_nonzero(pixels(page)) <= 25
        page.locator("#clear").click()


# ---- pointing ----------------------------------------------------------------------------------------------


def field(page, stage, row, column):
    return page.evaluate("unit => lenet.receptiveField(unit)", {"stage": stage, "map": 0, "row": row, "column": column})


def test_receptive_fields_are_those_computed_by_hand(page):
    for stage, row, column, wanted in (
        ("c1", 10, 3, (8, 1, 13, 6)),
        ("c1", 0, 27, (0, 25, 3, 28)),
        ("s2", 5, 6, (8, 10, 14, 16)),
        ("c3", 3, 4, (4, 6, 18, 20)),
        ("s4", 1, 2, (2, 6, 18, 22)),
        ("s4", 4, 0, (14, 0, 28, 14)),
        ("c5", 0, 0, (0, 0, 28, 28)),
        ("output", 0, 0, (0, 0, 28, 28)),
    ):
        box = field(page, stage, row, column)
        assert (box["top"], box["left"], box["bottom"], box["right"]) == wanted, (stage, row, column)


def test_pixels_within_a_receptive_field_matter_and_no_others(page, model):
    rng = np.random.default_rng(0)
    image, other = rng.random((2, 28, 28))
    for stage, row, column in (("c1", 0, 13), ("s2", 7, 3), ("c3", 0, 9), ("s4", 2, 2)):
        box = field(page, stage, row, column)
        within = np.zeros((28, 28), bool)
        within[box["top"] : box["bottom"], box["left"] : box["right"]] = True
        value = model.activations(image)[stage][0, :, row, column]
        outside = model.activations(np.where(within, image, other))[stage][0, :, row, column]
        np.testing.assert_array_equal(value, outside)
        for corner in (box["top"], box["left"]), (box["bottom"] - 1, box["right"] - 1):
            changed = image.copy()
            changed[corner] = 1 - changed[corner]
            assert (model.activations(changed)[stage][0, :, row, column] != value).any()


def place_of_unit(page, stage, plane, row, column, side):
    """Return where on the screen a unit is."""
    page.wait_for_timeout(50)
    page.locator("#figure").scroll_into_view_if_needed()
    box = page.locator("#figure").bounding_box()
    place = page.evaluate("([stage, map]) => lenet.places().stages[stage].planes[map]", [stage, plane])
    x, y = box["x"] + place["x"], box["y"] + place["y"]
    return x + place["w"] * (column + 0.5) / side, y + place["h"] * (row + 0.5) / side


def test_pointing_tells_a_units_name_and_value(page, model):
    page.keyboard.press("5")
    answer(page, "5")
    page.mouse.move(*place_of_unit(page, "c3", 5, 3, 7, 10))
    page.wait_for_function("() => document.getElementById('unit-name').textContent.startsWith('C3')")
    assert page.locator("#unit-name").text_content() == "C3, map 5, row 3, column 7"
    value = model.activations(pixels(page))["c3"][0, 5, 3, 7]
    said = page.locator("#arithmetic").text_content()
    shown_sum, shown_value = re.fullmatch(r"sigmoid\((.*)\) = (.*)", said.replace("\N{MINUS SIGN}", "-")).groups()
    assert float(shown_value) == pytest.approx(value, abs=0.0051)
    assert float(shown_sum) == pytest.approx(np.log(value / (1 - value)), abs=0.0051)
    assert page.locator("#figure").get_attribute("data-field") == "4,12,18,26"
    page.wait_for_function("text => document.getElementById('unit-spoken').textContent.endsWith(text)", arg=said)
    assert "6 kernels" in page.locator("#kernel-title").text_content()


def test_the_map_pointed_at_comes_to_the_front(page):
    page.keyboard.press("5")
    answer(page, "5")
    page.evaluate("lenet.pointAt({stage: 'c3', map: 5, row: 8, column: 8})")
    page.mouse.move(*place_of_unit(page, "c3", 5, 8, 8, 10))  # which map 6 would hide
    assert page.locator("#unit-name").text_content() == "C3, map 5, row 8, column 8"


def test_the_kernel_shown_is_the_weights(page, model):
    page.evaluate("lenet.pointAt({stage: 'c1', map: 2, row: 9, column: 9})")
    image = shown(page, "#kernels")[..., :3].astype(int)
    palette = page.evaluate("lenet.tones()")
    cell = (image.shape[0] - 2) / 5
    kernel = model.parameters["c1.weight"][2, 0]
    for row, column in np.ndindex(5, 5):
        tone = palette[round(255 * (1 + float(kernel[row, column] / np.abs(kernel).max())))]
        seen = image[int(1 + (row + 0.5) * cell), int(1 + (column + 0.5) * cell)]
        np.testing.assert_allclose(seen, tone, atol=6)


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
    assert page.locator("#unit-name").text_content() == "No unit selected"


def test_a_tap_points_on_a_phone(browser, saved):
    with opened(browser, saved, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        page.touchscreen.tap(*place_of_unit(page, "c1", 4, 7, 9, 28))
        page.wait_for_function("() => document.getElementById('unit-name').textContent.startsWith('C1, map 4, row 7')")


# ---- pictures and the server -------------------------------------------------------------------------------


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


def test_the_server_reads_a_dropped_picture(browser, served):
    with opened(browser, served) as page:
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


def test_the_saved_page_reads_one_digit_by_itself(page, model):
    from PIL import Image

    from lenet.reading import prepare

    content = picture_of("4")
    page.locator("#file").set_input_files({"name": "4.png", "mimeType": "image/png", "buffer": content})
    answer(page, "4")
    assert page.locator("#boxes button").text_content() == "4"
    wanted = prepare(np.asarray(Image.open(io.BytesIO(content))))
    assert distance(wanted, pixels(page)) < 4


def test_the_saved_page_says_that_it_reads_no_numbers(page):
    drop(page, picture_of("2019"), "image/png")
    answer(page, "not a digit")
    assert page.locator("#lines").text_content() == "not a digit. This page reads one digit at a time."


def test_light_ink_on_dark_paper_is_read_too(page):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(255 - np.asarray(Image.open(io.BytesIO(picture_of("2"))))).save(file, "PNG")
    drop(page, file.getvalue(), "image/png")
    answer(page, "2")


@pytest.mark.parametrize("where", ["saved", "served"])
def test_what_is_no_picture_is_said_in_words(browser, request, where):
    with opened(browser, request.getfixturevalue(where)) as page:
        drop(page, b"no picture at all", "text/plain")
        assert error(page).endswith(".")
        page.locator("#dismiss").click()
        assert not page.locator("#error").is_visible()


@pytest.mark.parametrize(("where", "before"), [("saved", "drawing"), ("served", "picture")])
def test_a_refused_picture_changes_nothing(browser, request, where, before):
    with opened(browser, request.getfixturevalue(where)) as page:
        if before == "picture":
            drop(page, picture_of("4"), "image/png")
            answer(page, "4")
        else:
            draw(page, THREE)
            answer(page, "3")
        look = """() => [lenet.state.strokes, Array.from(lenet.state.pixels),
            document.getElementById("lines").textContent, document.getElementById("picture-box").hidden,
            document.getElementById("answer").textContent]"""
        wanted = page.evaluate(look)
        drop(page, b"no picture at all", "text/plain")
        assert error(page)
        assert page.evaluate(look) == wanted


def test_a_picture_that_was_read_comes_into_view(browser, saved):
    with opened(browser, saved, viewport={"width": 1280, "height": 700}) as page:
        drop(page, picture_of("4"), "image/png")
        answer(page, "4")
        box = page.locator("#picture").bounding_box()
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 700


def test_of_two_pictures_the_first_is_said_to_be_read(page):
    drop(page, picture_of("4"), "image/png", times=2)
    answer(page, "4")
    assert page.locator("#picture-note").text_content() == "Only the first of the 2 pictures is read."
    drop(page, picture_of("4"), "image/png")
    assert page.locator("#picture-note").text_content() == ""


@pytest.mark.parametrize(("where", "grey"), [("saved", 255), ("served", 0)])
def test_ink_on_nothing_is_put_on_a_paper_of_the_other_kind(browser, request, where, grey):
    from PIL import Image

    ink = Image.open(io.BytesIO(picture_of("2"))).convert("L").point(lambda level: 255 * (level < 128))
    picture = Image.new("RGBA", ink.size, (grey, grey, grey, 0))
    picture.putalpha(ink)
    file = io.BytesIO()
    picture.save(file, "PNG")
    with opened(browser, request.getfixturevalue(where)) as page:
        drop(page, file.getvalue(), "image/png")
        answer(page, "2")
        assert shown(page, "#picture")[0, 0].tolist() == [255 - grey] * 3 + [255]


def test_a_blank_picture_is_said_to_be_one(page):
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (90, 90), 200).save(file, "PNG")
    drop(page, file.getvalue(), "image/png")
    assert error(page) == "The picture shows no ink. Choose one with a digit."


def test_the_server_computes_the_same(browser, served):
    with opened(browser, served) as page:
        page.keyboard.press("8")
        answer(page, "8")
        page.locator("#compare").click()
        page.wait_for_function("() => document.getElementById('comparison').textContent")
        text = page.locator("#comparison").text_content()
        assert float(text.split(" at most ")[1].rstrip(".")) < 1e-5


def test_a_server_with_another_version_is_not_compared(browser, served):
    with opened(browser, served) as page:
        page.keyboard.press("8")
        answer(page, "8")
        page.evaluate("() => (lenet.state.model.version = 'older')")
        page.locator("#compare").click()
        page.wait_for_function("() => document.getElementById('comparison').textContent")
        text = page.locator("#comparison").text_content()
        assert re.fullmatch(r"The server now has version \S+\. Reload the page\.", text)


def test_a_server_that_is_gone_is_said_to_be(browser):
    with serving() as server, opened(browser, server.url) as page:
        server.process.terminate()
        server.process.wait(20)
        page.locator("#compare").click()
        assert error(page) == "The server does not respond. Check that it is running."
        page.locator("#dismiss").click()
        drop(page, picture_of("4"), "image/png")
        assert error(page) == "The server does not respond. Check that it is running."


def test_a_token_is_asked_for_and_sent(browser):
    with serving(LENET_TOKEN=TOKEN) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        for text in ("wrong", TOKEN):
            page.get_by_label("Token").fill(text)
            page.keyboard.press("Enter")
        page.wait_for_function(READY)
        page.keyboard.press("3")
        page.locator("#compare").click()
        page.wait_for_function("() => document.getElementById('comparison').textContent")
        assert not page.locator("#error").is_visible()
        context.close()


def test_drawing_asks_the_network_for_nothing(browser, served):
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served)
    page.wait_for_function(READY)
    draw(page, THREE)
    answer(page, "3")
    page.evaluate("lenet.pointAt({stage: 'c3', map: 5, row: 3, column: 4})")
    assert asked == [served, served + "model.json"]
    context.close()


def test_the_saved_page_asks_for_nothing(browser, saved):
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(saved)
    page.wait_for_function(READY)
    draw(page, THREE)
    answer(page, "3")
    drop(page, picture_of("4"), "image/png")
    answer(page, "4")
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [saved]
    context.close()


# ---- looks -------------------------------------------------------------------------------------------------

VIEWS = {
    "wide": {"width": 1600, "height": 1000},
    "low": {"width": 1280, "height": 900},
    "phone": {"width": 360, "height": 740},
}


@pytest.mark.parametrize(("view", "scheme"), [("wide", "light"), ("low", "dark"), ("phone", "light")])
def test_axe_finds_no_serious_fault(browser, saved, view, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, saved, viewport=VIEWS[view], color_scheme=scheme) as page:
        for state in ("empty", "drawn"):
            if state == "drawn":
                page.keyboard.press("5")
                page.evaluate("lenet.pointAt({stage: 'c5', map: 5, row: 0, column: 0})")
                drop(page, picture_of("4"), "image/png")
                answer(page, "4")
            found = axe.run(page).response["violations"]
            faults = [
                (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
            ]
            assert not faults, state


@pytest.mark.parametrize("width", [1440, 900, 360])
def test_pointing_moves_nothing(browser, saved, width):
    with opened(browser, saved, viewport={"width": width, "height": 900}) as page:
        page.keyboard.press("5")
        answer(page, "5")
        heights = set()
        for stage in (None, *STAGES):
            page.evaluate("stage => lenet.pointAt(stage && {stage, map: 0, row: 0, column: 0})", stage)
            page.wait_for_timeout(50)
            heights.add(page.evaluate("document.documentElement.scrollHeight"))
        assert len(heights) == 1


def test_comparing_moves_nothing(browser, served):
    with opened(browser, served, viewport={"width": 1280, "height": 900}) as page:
        before = page.evaluate("document.documentElement.scrollHeight")
        page.locator("#compare").click()
        page.wait_for_function("() => document.getElementById('comparison').textContent")
        assert page.evaluate("document.documentElement.scrollHeight") == before


@pytest.mark.parametrize(("where", "width"), [("saved", 1280), ("served", 1366)])
def test_most_of_the_network_is_seen_while_drawing(browser, request, where, width):
    with opened(browser, request.getfixturevalue(where), viewport={"width": width, "height": 900}) as page:
        page.wait_for_timeout(100)
        box = page.locator("#figure").bounding_box()
        assert (900 - box["y"]) / box["height"] > 0.85
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [320, 390])
def test_captions_do_not_overlap(browser, saved, width):
    spy = """() => {
        window.written = [];
        const fillText = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
          const wide = this.measureText(text).width;
          const left = { left: x, center: x - wide / 2, right: x - wide }[this.textAlign];
          if (this.canvas.id === "figure") window.written.push({ text: `${text}`, left, right: left + wide, y });
          fillText.call(this, text, x, y);
        };
      }"""
    with opened(browser, saved, viewport={"width": width, "height": 740}) as page:
        page.evaluate(spy)
        page.keyboard.press("5")
        answer(page, "5")
        written = page.evaluate("window.written")
        assert any(each["text"] == "C3" for each in written)
        for line in {each["y"] for each in written}:
            places = sorted({(each["left"], each["right"]) for each in written if each["y"] == line})
            assert all(end + 4 <= start for (_, end), (start, _) in itertools.pairwise(places))


def test_nothing_is_wider_than_a_phone(browser, saved):
    with opened(browser, saved, viewport=VIEWS["phone"]) as page:
        page.keyboard.press("5")
        for unit in (None, "c1", "c3", "c5", "f6", "output"):
            page.evaluate("stage => lenet.pointAt(stage && {stage, map: 3, row: 0, column: 0})", unit)
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") == 360, unit


def test_the_theme_is_chosen(browser, saved):
    with opened(browser, saved, color_scheme="light") as page:
        before = shown(page, "#sees")
        page.locator("#theme").click()
        after = shown(page, "#sees")
        assert before[0, 0, :3].min() > 200
        assert after[0, 0, :3].max() < 80
        assert page.locator("#theme").text_content() == "Light"


def test_the_theme_is_remembered(browser, served):
    with opened(browser, served, color_scheme="light") as page:
        page.locator("#theme").click()
        page.reload()
        page.wait_for_function(READY)
        assert page.locator("#theme").text_content() == "Light"


def test_a_browser_that_remembers_nothing_is_no_fault(browser, saved):
    with opened(browser, saved, color_scheme="light") as page:
        page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } })")
        page.reload()
        page.wait_for_function(READY)
        page.locator("#theme").click()
        assert page.locator("#theme").text_content() == "Light"


def test_forced_colours_leave_the_bars_to_be_seen(browser, saved):
    with opened(browser, saved, forced_colors="active") as page:
        page.keyboard.press("5")
        answer(page, "5")
        colours = """() => {
            const [fill, track] = [".best .fill", ".best .track"].map((each) => document.querySelector(each));
            return [fill, track].map((each) => getComputedStyle(each).backgroundColor);
        }"""
        fill, track = page.evaluate(colours)
        assert fill != track


def test_without_javascript_it_is_said_what_is_missing(browser, saved):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(saved)
    assert page.locator("noscript p").is_visible()
    context.close()


def test_an_error_keeps_its_distance_from_the_cards(page):
    drop(page, b"no picture at all", "text/plain")
    assert error(page)
    banner, card = page.locator("#error").bounding_box(), page.locator(".card").first.bounding_box()
    assert card["y"] - banner["y"] - banner["height"] >= 10
