"""Change a drawing along the gradient, and train on two symbols, on the page in Chromium."""

import re

import numpy as np
import pytest
from page_actions import CLOCK, FRAMES, answer, draw, opened, pixels

pytest_plugins = ["page_fixture"]
pytestmark = pytest.mark.landing


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
    assert 0 < np.abs(after - before).mean() < 60
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
        lenet.state.model.min_digit_score = 0.8;
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
    assert 0 < np.mean(changed) < 60


def test_another_target_stops_the_steps(browser, saved):
    with opened(browser, saved, script=CLOCK, reduced_motion="no-preference") as page:
        page.evaluate("passTime(4000)")
        answer(page, "5")
        page.wait_for_function("() => document.getElementById('nearest').textContent.startsWith('5, at ')")
        page.locator("#change").click()
        page.evaluate("passTime(60)")
        page.wait_for_function("() => document.getElementById('mind-text').textContent.startsWith('After 1 step')")
        page.locator("#target").select_option("1")
        page.evaluate("passTime(60)")
        page.evaluate(FRAMES)
        assert page.locator("#steps").input_value() == "0"


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
    text = "document.getElementById('lesson-text').textContent"
    said = page.evaluate(text)
    first, last = map(float, re.fullmatch(r"170 parameters .* from (.*) to (\S+)\. .*", said).groups())
    assert first == pytest.approx(np.log(2), abs=1e-3)
    assert last < 0.05
    right = 0
    for name in "ABABABABAB":
        draw(page, symbols[name](rng), "#lesson-pad", steps=1)
        page.evaluate(FRAMES)
        right += f" reads {name} with " in page.locator("#lesson-text").text_content()
        page.locator("#lesson-clear").click()
        page.evaluate(FRAMES)
        assert page.evaluate(text) == said
    assert right >= 9
    draw(page, triangle(rng), "#lesson-pad", steps=1)
    page.locator("#train").click()
    assert page.evaluate(text).startswith("The new layer reads A with ")
    page.get_by_label("Remove example 2 of A").click()
    assert page.locator("#examples-A button").count() == 3
    assert page.locator("#lesson-text").text_content().startswith("Ready to train.")
