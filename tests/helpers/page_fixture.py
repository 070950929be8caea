"""Fixtures of the page's tests: Chromium, and the page from a file and from a server."""

import shutil

import pytest
from page_actions import WIDE, answer, opened
from served import serving

import lenet
from lenet.serving.page import model_document, page_html

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
def shipped():
    return lenet.load_pretrained("mnist")


@pytest.fixture(scope="module")
def saved(shipped, tmp_path_factory):
    """The address of the page with the shipped model in it, as a file."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(page_html(model_document(shipped, "mnist", "1")))
    return path.as_uri()


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
