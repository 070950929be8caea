"""Draw the pictures of the page: `python docs/draw_page.py` writes them to docs/images/page.

They are what Chromium shows of it, with an example written and a unit pointed at, in light and dark and on a phone.
That needs Playwright and Chromium besides the package.
"""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import lenet
from lenet.serving.page import model_document, page_html

OUT = Path(__file__).parent / "images" / "page"
UNIT = {"stage": "c3", "map": 7, "row": 4, "column": 5}
WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
GAP = 36  # pixels between the screens of a phone
# The example digits vary; with this generator of random numbers each run writes the same one.
SEEDED = "let seed = {seed}; Math.random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;"


def opened(browser: Browser, url: str, digit: int, **options: object) -> Page:
    """Return the page with an example written."""
    page = browser.new_context(reduced_motion="reduce", **options).new_page()  # type: ignore[arg-type]
    page.add_init_script(SEEDED.format(seed=48271 * (digit + 1)))
    page.goto(url)
    page.wait_for_function("window.lenet?.state.outputs")
    page.keyboard.press(f"{digit}")
    page.wait_for_timeout(300)
    return page


def seen(page: Page, *, whole: bool = False) -> Image.Image:
    """Return what is on the screen, or the whole page."""
    page.wait_for_timeout(300)
    return Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")


def desk(browser: Browser, url: str, digit: int, scheme: str) -> Image.Image:
    """Return the whole page on a wide screen, a unit being pointed at."""
    page = opened(browser, url, digit, viewport=WIDE, color_scheme=scheme)
    page.evaluate("unit => lenet.pointAt(unit)", UNIT)
    return seen(page, whole=True)


def phone(browser: Browser, url: str, digit: int) -> Image.Image:
    """Return two screens of a phone: the drawing, and a unit pointed at."""
    page = opened(browser, url, digit, viewport=PHONE, device_scale_factor=1.25, is_mobile=True, has_touch=True)
    first = seen(page)
    page.evaluate("unit => lenet.pointAt(unit)", UNIT)
    page.evaluate("document.getElementById('network').scrollIntoView(); scrollBy(0, 190)")
    second = seen(page)
    both = Image.new("RGB", (2 * first.width + GAP, first.height), "white")
    both.paste(first, (0, 0))
    both.paste(second, (first.width + GAP, 0))
    return both


def main() -> None:
    """Write the pictures."""
    OUT.mkdir(parents=True, exist_ok=True)
    document = model_document(lenet.load_pretrained("mnist"), "mnist", "1")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        saved = Path(folder, "page.html")
        saved.write_bytes(page_html(document))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        url = saved.as_uri()
        pictures = {
            "light": desk(browser, url, 5, "light"),
            "dark": desk(browser, url, 3, "dark"),
            "phone": phone(browser, url, 2),
        }
        browser.close()
    for name, picture in pictures.items():
        picture.save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
