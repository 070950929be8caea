"""Every common form of a picture gives the same reading."""

import io
import mmap
import os

import numpy as np
import pytest
from PIL import Image

import lenet
from lenet.reading import prepare, read

DIGITS = lenet.data.load_digits()


@pytest.fixture(scope="module")
def page():
    """A page with four digits, in grey levels."""
    page = np.full((60, 160), 255, np.uint8)
    for place, image in enumerate(DIGITS.X_test[183:187]):
        page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - image
    return page


TEXT = "".join(map(str, DIGITS.y_test[183:187]))


def png(page):
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG")
    return file.getvalue()


def with_alpha(page):
    """The ink alone, black on nothing."""
    return np.dstack([np.zeros((*page.shape, 3), np.uint8), 255 - page])


FORMS = {
    "path": lambda page, folder: saved(page, folder),
    "text of the path": lambda page, folder: str(saved(page, folder)),
    "path of bytes": lambda page, folder: entry(saved(page, folder)),
    "bytes": lambda page, _: png(page),
    "bytearray": lambda page, _: bytearray(png(page)),
    "memoryview": lambda page, _: memoryview(png(page)),
    "file in memory": lambda page, _: io.BytesIO(png(page)),
    "memory map": lambda page, _: mapped(png(page)),
    "open file": lambda page, folder: saved(page, folder).open("rb"),
    "Pillow, grey": lambda page, _: Image.fromarray(page),
    "Pillow, RGB": lambda page, _: Image.fromarray(page).convert("RGB"),
    "Pillow, palette": lambda page, _: Image.fromarray(page).convert("P"),
    "Pillow, premultiplied alpha": lambda page, _: Image.fromarray(page).convert("LA").convert("La"),
    "Pillow, RGBA": lambda page, _: Image.fromarray(with_alpha(page)),
    "list of integers": lambda page, _: page.tolist(),
    "int64": lambda page, _: page.astype(np.int64),
    "float": lambda page, _: page / 255,
    "RGB": lambda page, _: np.dstack([page] * 3),
    "RGBA": lambda page, _: with_alpha(page),
    "one channel": lambda page, _: page[..., np.newaxis],
    "one channel first": lambda page, _: page[np.newaxis],
    "channels first": lambda page, _: np.stack([page] * 3),
    "Fortran order": lambda page, _: np.asfortranarray(page),
}


def saved(page, folder):
    path = folder / "page.png"
    path.write_bytes(png(page))
    return path


def entry(path):
    with os.scandir(os.fsencode(path.parent)) as entries:
        return next(each for each in entries if each.name == b"page.png")


def mapped(content):
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memory


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_the_same(page, tmp_path, form):
    given = FORMS[form](page, tmp_path)
    try:
        assert read(given).text == TEXT
    finally:
        if hasattr(given, "close"):
            given.close()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_prepared_the_same(page, tmp_path, form):
    digit = np.ascontiguousarray(page[8:52, 16:54])
    given = FORMS[form](digit, tmp_path)
    try:
        np.testing.assert_array_equal(prepare(given), prepare(digit))
    finally:
        if hasattr(given, "close"):
            given.close()


@pytest.mark.landing
def test_tensors_of_pytorch_are_read(page):
    torch = pytest.importorskip("torch")
    assert read(torch.from_numpy(page)).text == TEXT
    assert read(torch.from_numpy(page)[None] / 255).text == TEXT
