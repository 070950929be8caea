"""Draw the picture of the page: `python docs/draw_page.py` writes docs/images/page/light.png.

It is a screenshot by Chromium, with an example digit written and a unit selected. This requires Playwright and Chromium
in addition to the package.
"""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import lenet
from lenet.serving.page import model_document, page_html

OUT = Path(__file__).parent / "images" / "page" / "light.png"
DIGIT = 5
UNIT = {"stage": "c3", "map": 5, "row": 4, "column": 5}
VIEWPORT = {"width": 1400, "height": 1000}
# The example digits vary; with this random number generator, each run writes the same one.
SEEDED = "let seed = {seed}; Math.random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;"


def main() -> None:
    """Write the picture."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    document = model_document(lenet.load_pretrained("mnist"), "mnist", "1")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        saved = Path(folder, "page.html")
        saved.write_bytes(page_html(document))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_context(reduced_motion="reduce", viewport=VIEWPORT, color_scheme="light").new_page()  # type: ignore[arg-type]
        page.add_init_script(SEEDED.format(seed=48271 * (DIGIT + 1)))
        page.goto(saved.as_uri())
        page.wait_for_function("window.lenet?.state.outputs")
        page.locator("#tour-close").click()
        page.keyboard.press(f"{DIGIT}")
        page.wait_for_timeout(300)
        page.evaluate("unit => lenet.pointAt(unit)", UNIT)
        page.wait_for_timeout(300)
        page.evaluate("document.activeElement.blur()")
        end = page.evaluate("document.getElementById('pair').offsetTop")  # what follows the network is left out
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        shot.crop((0, 0, shot.width, end)).save(OUT, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
