"""The layout, theme and accessibility of the page in Chromium."""

import itertools

import pytest
from page_actions import FRAMES, READY, STAGES, THREE, answer, draw, drop, opened, picture_of, resize, shown

pytest_plugins = ["page_fixture"]
pytestmark = pytest.mark.landing


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


def test_a_phone_on_its_side_has_room_around_the_pad(page):
    for width, height in ((740, 360), (667, 375)):
        resize(page, width, height)
        page.locator("#pad").scroll_into_view_if_needed()
        box = page.locator("#pad").bounding_box()
        assert box["width"] == box["height"] < height - 100  # the rest is for the offer of the tour
        assert box["x"] + box["width"] / 2 == pytest.approx(width / 2, abs=1)


def test_products_have_numbers_on_phones(page):
    page.keyboard.press("5")
    answer(page, "5")
    page.evaluate("""() => {
        const { fillText } = CanvasRenderingContext2D.prototype;
        window.sizes = window.captions = {};  // by place, as a resized window draws again
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
          const value = this.canvas.id === "equation" && /^\\S?[0-9.]+$/.test(text);
          if (value) window.sizes[[x, y]] = parseFloat(this.font.match(/[0-9.]+px/)[0]);
          if (this.canvas.id === "equation" && y < 20) window.captions[x] = text;
          fillText.call(this, text, x, y);
        };
      }""")
    for width in (360, 412):
        resize(page, width)
        page.evaluate("lenet.pointAt(null)")
        page.evaluate("window.sizes = {}; window.captions = {}")
        page.evaluate("lenet.pointAt({stage: 'c1', map: 2, row: 9, column: 13})")
        sizes = page.evaluate("Object.values(window.sizes)")
        assert len(sizes) == 25
        assert min(sizes) > 9.5  # CSS pixels
        terms, equation = (page.locator(each).bounding_box() for each in ("#terms", "#equation"))
        assert equation["width"] <= terms["width"]
        assert page.evaluate("Object.values(window.captions).join()") == "standardised,kernel,products"


def test_the_pen_moves_nothing(page):
    for width in (1440, 768, 360):
        resize(page, width)
        before = page.evaluate("document.documentElement.scrollHeight")
        for pad in ("#pad", "#lesson-pad"):
            page.locator(pad).press(" ")
        page.evaluate(FRAMES)
        assert page.evaluate("document.documentElement.scrollHeight") == before
        for button in ("#clear", "#lesson-clear"):
            page.locator(button).click()


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
