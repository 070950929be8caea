"""Sets of pictures: the vote on the ink, the threads, and the pictures that are left out."""

import numpy as np
import pytest

from lenet.data import pictures
from lenet.data.pictures import Options, Picture
from lenet.errors import DataError, InputTypeError
from lenet.reading import prepare

cv2 = pytest.importorskip("cv2")
pytest.importorskip("PIL.Image")

GOOD = {"raw": False, "strict": True, "progress": None, "hold_out": False}


@pytest.mark.parametrize("name", GOOD)
def test_each_option_has_its_type(name):
    assert pictures.checked_options(**GOOD) == Options(**GOOD)
    pictures.checked_options(**{**GOOD, "progress": print})
    with pytest.raises(InputTypeError, match=f"^{name} is 3; expected"):
        pictures.checked_options(**{**GOOD, name: 3})


def png(grey):
    return cv2.imencode(".png", np.asarray(grey, np.uint8))[1].tobytes()


def stroke(dark=True, shape=(40, 40)):
    page = np.full(shape, 255, np.uint8)
    page[10:30, 18:22] = 0
    return page if dark else 255 - page


def pictures_of(*contents):
    return [Picture(f"p{n}.png", n, "all", content) for n, content in enumerate(contents)]


@pytest.mark.parametrize(
    ("dark", "expected"),
    [
        ([], True), ([True], True), ([False], False), ([True, False], True), ([True, False, False], False),
        ([True, True, False], True), ([None, False], False), ([None, None, True], True), ([None], True),
    ],
)  # fmt: skip
def test_the_ink_is_dark_unless_more_pictures_say_otherwise(dark, expected):
    contents = [b"no picture" if each is None else png(stroke(each)) for each in dark]
    votes, _ = pictures._survey(pictures_of(*contents))
    assert pictures._is_dark(votes, "mine") is expected


@pytest.mark.parametrize(
    ("light", "dark", "expected"),
    [(2, 9, True), (3, 9, None), (9, 2, False), (9, 3, None), (3, 57, True), (3, 56, None), (10, 190, True)],
)
def test_each_picture_decides_if_at_least_3_and_more_than_5_percent_differ(caplog, light, dark, expected):
    assert pictures._is_dark([False] * light + [True] * dark, "mine") is expected
    said = f"mine: {light} of {light + dark} sampled pictures are light on dark, the others dark on light. Each picture"
    assert [each.getMessage().startswith(said) for each in caplog.records] == [True] * (expected is None)


@pytest.mark.parametrize("raw", [False, True])
def test_pictures_of_both_inks_become_the_same_images(raw):
    given = pictures_of(*(png(stroke(dark, (28, 28))) for dark in [True, False] * 3))
    images, _ = pictures.images_of(given, "mine", Options(**{**GOOD, "raw": raw}))
    expected = stroke(False, (28, 28)) if raw else prepare(stroke(True, (28, 28)))
    # a 28x28 picture with a dark border is prepared already
    assert [image.tobytes() for image in images[::2]] == [expected.tobytes()] * 3
    assert [image.tobytes() for image in images[1::2]] == [stroke(False, (28, 28)).tobytes()] * 3


@pytest.mark.parametrize(
    ("count", "step"), [(1, 1), (199, 1), (200, 1), (399, 1), (400, 2), (401, 2), (599, 2), (600, 3)]
)
def test_at_least_200_pictures_vote_at_equal_distances(monkeypatch, count, step):
    asked = []
    monkeypatch.setattr(pictures, "grey_of", lambda picture: asked.append(picture) or DataError("It is damaged."))
    assert pictures._survey(range(count)) == ([], 1)
    assert asked == list(range(0, count, step))


@pytest.mark.parametrize(
    ("shapes", "cpus", "threads"),
    [
        ([(128, 128)], 6, 6), ([(127, 128)], 6, 1), ([(128, 100), (128, 156)], 6, 6), ([(128, 100), (128, 155)], 6, 1),
        ([(200, 200)], None, 1), ([], 6, 1),
    ],
)  # fmt: skip
def test_threads_prepare_pictures_of_16384_pixels_on_average(monkeypatch, shapes, cpus, threads):
    monkeypatch.setattr(pictures.os, "cpu_count", lambda: cpus)
    assert pictures._survey(pictures_of(*(png(stroke(shape=shape)) for shape in shapes)))[1] == threads


@pytest.mark.parametrize(("refused", "rest"), [(1, None), (5, None), (6, "And 1 more."), (8, "And 3 more.")])
def test_at_most_five_pictures_that_are_left_out_are_listed(caplog, refused, rest):
    given = pictures_of(png(stroke()), *[b"no picture"] * refused, png(stroke()))
    images, kept = pictures.images_of(given, "mine", Options(**{**GOOD, "strict": False}))
    assert (len(images), [each.name for each in kept]) == (2, ["p0.png", f"p{refused + 1}.png"])
    [text] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert text.startswith(f"Skipped {refused} of {refused + 2} pictures. p1.png is not a picture")
    assert text.count("is not a picture") == min(refused, 5)
    assert text.endswith(rest) if rest else "more" not in text


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_images_keep_the_order_of_the_pictures(dark, count):
    """Each has a mark whose place is its number; raw images are light on dark."""
    given, expected = [], np.zeros((count, 28, 28), np.uint8)
    for n in range(count):
        expected[n, 4 + n // 20, 4 + n % 20] = 200 + n
        given.append(png(255 - expected[n] if dark else expected[n]))
    calls = []
    options = Options(**{**GOOD, "raw": True, "progress": lambda *call: calls.append(call)})
    images, kept = pictures.images_of(pictures_of(*given), "mine", options)
    np.testing.assert_array_equal(images, expected)
    assert [each.label for each in kept] == list(range(count))
    assert calls == [(count, count)]


def test_damaged_pictures_raise_with_strict():
    given = pictures_of(png(stroke()), b"no picture")
    with pytest.raises(DataError, match=r"^p1\.png is not a picture"):
        pictures.images_of(given, "mine", Options(**GOOD))


def test_a_raw_picture_has_28_by_28_pixels():
    message = str(pictures.raw_image(np.zeros((28, 30), np.uint8), "p0.png"))
    assert message == "p0.png has 30x28 pixels; expected 28x28 for a raw picture."
    assert pictures.raw_image(np.zeros((28, 28), np.uint8), "p0.png").shape == (28, 28)


def test_errors_name_the_picture(tmp_path):
    path = tmp_path / "torn.png"
    path.write_bytes(b"no picture")
    assert str(pictures.grey_of(Picture(str(path), 0, "all"))).startswith(f"{path} is not a picture")
    path.unlink()
    assert str(pictures.grey_of(Picture(str(path), 0, "all"))) == f"{path} cannot be read (No such file or directory)."
    assert str(pictures.grey_of(Picture("row 3", 0, "all", b"no"))).startswith("row 3 is not a picture")
    assert pictures.grey_of(Picture("row 3", 0, "all", png(stroke()))).shape == (40, 40)


def test_the_name_of_a_picture_replaces_the_subject_of_an_error(monkeypatch):
    def fail(_):
        raise DataError("The file is a damaged picture (The file ends early).")

    monkeypatch.setattr("lenet.reading.pictures.read_picture", fail)
    assert (
        str(pictures.grey_of(Picture("row 3", 0, "all", b"x"))) == "row 3 is a damaged picture (The file ends early)."
    )
