"""The page in Chromium with a model whose classes have names."""

import pytest
from page_actions import READY, THREE, ZIGZAG, answer, draw, drop, opened, picture_of, resize, strokes
from served import serving

import lenet
from lenet.serving.page import model_document, page_html

pytest_plugins = ["page_fixture"]
pytestmark = pytest.mark.landing

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
