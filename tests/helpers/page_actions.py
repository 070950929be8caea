"""Actions on the page in Chromium, and what it shows."""

import base64
import contextlib
import io

import numpy as np

FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"  # waits for two
READY = "() => window.lenet?.state.outputs"
THREE = [(0.3, 0.2), (0.5, 0.12), (0.68, 0.22), (0.64, 0.4), (0.45, 0.47), (0.66, 0.55), (0.7, 0.75), (0.5, 0.88)]
THREE += [(0.28, 0.8)]
ZIGZAG = [(0.1 + 0.8 * (k % 2), 0.1 + 0.8 * k / 23) for k in range(24)]
STAGES = ["input", "c1", "s2", "c3", "s4", "c5", "f6", "output"]
WIDE = {"width": 1440, "height": 1000}
CLOCK = "let time = 0; performance.now = () => time; window.passTime = (milliseconds) => (time += milliseconds);"


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
    assert not faults, faults


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
