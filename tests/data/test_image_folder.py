"""Folders with a subfolder of pictures per class."""

import logging
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import PureWindowsPath

import cv2
import numpy as np
import pytest

import lenet
from lenet.data import image_folder, load, load_image_folder, pictures
from lenet.errors import DataError
from lenet.reading import prepare

NOT_ON_WINDOWS = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows ignores case in file names, and links need privileges"
)

SHAPES = {"circle": lambda page, s: cv2.circle(page, (s // 2, s // 2), s // 3, 0, 3),
          "line": lambda page, s: cv2.line(page, (s // 4, s // 5), (s // 2, 4 * s // 5), 0, 3)}  # fmt: skip


def picture(name, size=40, invert=False):
    page = np.full((size, size), 255, np.uint8)
    SHAPES[name](page, size)
    return 255 - page if invert else page


def write(folder, count=5, invert=False, suffix=".png", names=("circle", "line"), **sizes):
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            size = sizes.get("size", 40 + 8 * number)
            cv2.imwrite(str(folder / name / f"{number}{suffix}"), picture(name, size, invert))
    return folder


def test_each_picture_is_prepared_and_has_its_folder_as_class(tmp_path):
    data = load_image_folder(write(tmp_path))
    assert data.classes == ("circle", "line")
    assert len(data.X_train) == 8
    assert data.y_test.tolist() == [0, 1]  # one in five
    expected = {prepare(picture(name, 40 + 8 * n)).tobytes(): k for k, name in enumerate(SHAPES) for n in range(5)}
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert [expected[image.tobytes()] for image in X] == y.tolist()


@pytest.mark.parametrize(("size", "threads"), [(127, 1), (128, 3)])
def test_only_large_pictures_are_prepared_by_several_threads(tmp_path, monkeypatch, size, threads):
    used = []
    monkeypatch.setattr(pictures.os, "cpu_count", lambda: 3)
    monkeypatch.setattr(pictures, "ThreadPoolExecutor", lambda n: used.append(n) or ThreadPoolExecutor(n))
    data = load_image_folder(write(tmp_path, size=size))
    assert used == [threads]
    assert len(data.X_train) == 8


def test_large_pictures_wait_at_the_size_that_suffices(tmp_path):
    page = picture("line", 2000)
    cv2.imwrite(str(tmp_path / "line.png"), page)
    each = pictures.Picture(str(tmp_path / "line.png"), 0, "all")
    assert pictures._decoded(each, True, raw=False).shape == (640, 640)
    assert pictures._images([each], dark=True, raw=False)[0].tobytes() == prepare(page).tobytes()


def test_train_and_test_remain_separate(tmp_path):
    write(tmp_path / "Train", 4)
    write(tmp_path / "test", 2)
    data = load_image_folder(tmp_path)
    assert (len(data.X_train), len(data.X_test)) == (8, 4)
    assert data.y_train.tolist() == [0] * 4 + [1] * 4


def test_a_folder_may_be_for_testing_only(tmp_path):
    data = load(write(tmp_path, count=1), hold_out=False)
    assert (len(data.X_train), len(data.y_train), data.classes) == (0, 0, ("circle", "line"))
    expected = {prepare(picture(name)).tobytes(): k for k, name in enumerate(SHAPES)}
    assert [expected[image.tobytes()] for image in data.X_test] == data.y_test.tolist() == [0, 1]


def test_numbers_come_in_their_order_and_before_names(tmp_path):
    for name in ("10", "9", "b", "a"):
        (tmp_path / name).mkdir()
        for number in range(5):
            cv2.imwrite(str(tmp_path / name / f"{number}.jpg"), picture("circle"))
    assert load_image_folder(tmp_path).classes == ("9", "10", "a", "b")


@pytest.mark.parametrize("invert", [False, True])
def test_the_polarity_is_decided_for_the_whole_set_and_logged(tmp_path, caplog, invert):
    write(tmp_path, invert=invert)
    # alone, a picture that is nearly all ink would be taken for its opposite
    blot = np.full((40, 40), 0, np.uint8)
    blot[:6, :6] = 255
    cv2.imwrite(str(tmp_path / "line" / "blot.png"), 255 - blot if invert else blot)
    with caplog.at_level(logging.INFO, "lenet.data"):
        load_image_folder(tmp_path)
    assert ("light on dark" if invert else "dark on light") in caplog.text


def test_raw_pictures_only_change_their_colours(tmp_path):
    data = load_image_folder(write(tmp_path, size=28), raw=True)
    np.testing.assert_array_equal(data.X_train[0], 255 - picture("circle", 28))
    (tmp_path / "more").mkdir()
    dark = load_image_folder(write(tmp_path / "more", size=28, invert=True), raw=True)
    np.testing.assert_array_equal(dark.X_train[0], 255 - picture("circle", 28))


def test_files_that_are_not_pictures_are_counted_and_logged(tmp_path, caplog):
    """Those that are hidden, or that the file managers of macOS and Windows add, are not.

    Pictures beside the folders of the classes are logged, too.
    """
    write(tmp_path)
    names = "stray.PNG", "circle/c.HEIC", "circle/a.HEIC", "line/b.txt", "line/d.pdf"
    for name in (*names, "README.txt", "._stray.png", "line/.DS_Store", "circle/Thumbs.db", "line/desktop.ini"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.INFO, "lenet.data"):
        assert len(load_image_folder(tmp_path).X_train) == 8
    names = "stray.PNG, a.HEIC, c.HEIC and 2 more (convert HEIC to JPEG)"
    said = f"Skipped files of {tmp_path} that are not pictures of a class: {names}"
    assert [each.getMessage() for each in caplog.records if "Skipped" in each.getMessage()] == [said]


def test_the_order_of_files_is_the_same_on_windows():
    """In ASCII, capitals come before small letters."""
    paths = [PureWindowsPath("circle", name) for name in ("x0.png", "Y1.png", "x2.png")]
    assert [path.name for path in image_folder.in_order(paths)] == ["Y1.png", "x0.png", "x2.png"]


def test_damaged_and_blank_pictures_are_skipped_and_listed(tmp_path, caplog):
    write(tmp_path)
    (tmp_path / "line" / "torn.png").write_bytes((tmp_path / "line" / "0.png").read_bytes()[:60])
    cv2.imwrite(str(tmp_path / "line" / "white.png"), np.full((40, 40), 255, np.uint8))
    data = load_image_folder(tmp_path)
    assert len(data.X_train) + len(data.X_test) == 10
    assert "Skipped 2 of 12 pictures" in caplog.text
    assert "torn.png is a damaged picture" in caplog.text
    assert "white.png shows no ink; expected a digit or symbol," in caplog.text


def test_blank_raw_pictures_are_skipped_or_an_error(tmp_path, caplog):
    for name in ("circle", "line"):
        (tmp_path / name).mkdir()
        for n in range(6):
            cv2.imwrite(
                str(tmp_path / name / f"{n}.png"), np.pad(np.full((4, 4 + n), 255, np.uint8), ((12, 12), (12, 12 - n)))
            )
    cv2.imwrite(str(tmp_path / "line" / "blank.png"), np.zeros((28, 28), np.uint8))
    data = load_image_folder(tmp_path, raw=True)
    assert len(data.X_train) + len(data.X_test) == 12
    assert "blank.png shows no ink;" in caplog.text
    with pytest.raises(DataError, match=r"blank\.png shows no ink;"):
        load_image_folder(tmp_path, raw=True, strict=True)


def one_class(folder):
    write(folder, names=["line"])


def empty_class(folder):
    write(folder)
    (folder / "square").mkdir()


def case(folder):
    write(folder)
    (folder / "Line").mkdir()
    cv2.imwrite(str(folder / "Line" / "0.png"), picture("line"))


def loop(folder):
    write(folder)
    (folder / "line" / "again").symlink_to(folder)


def only_test(folder):
    write(folder / "test")


def all_blank(folder):
    write(folder)
    for number in range(5):
        cv2.imwrite(str(folder / "line" / f"{number}.png"), np.full((40, 40), 255, np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (one_class, "has one class, 'line'; expected at least two"),
        (empty_class, "WebP or PNM files. Add some (convert HEIC to JPEG), or remove the folder. If it has"),
        pytest.param(case, "has the classes 'Line' and 'line', which differ only in case", marks=NOT_ON_WINDOWS),
        pytest.param(loop, "line/again links back to a folder that contains it", marks=NOT_ON_WINDOWS),
        (only_test, "has 'test' and no folder 'train'; expected"),
        (all_blank, "has no training pictures of class 'line'"),
    ],
)
def test_an_invalid_data_set_is_a_one_sentence_error(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        load_image_folder(tmp_path)
    assert message in str(caught.value)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one file for both spellings")
def test_both_unicode_spellings_of_a_name_are_one_class(tmp_path):
    for spelling in ("\xe9toile", "e\u0301toile"):
        (write(tmp_path) / "line").rename(tmp_path / spelling)
    data = load_image_folder(tmp_path)
    assert data.classes == ("circle", "\xe9toile")
    assert np.bincount(np.concatenate([data.y_train, data.y_test])).tolist() == [5, 10]


def test_a_name_of_a_class_that_is_too_long_is_an_error_of_the_folder(tmp_path):
    (write(tmp_path) / "line").rename(tmp_path / ("l" * 101))
    with pytest.raises(DataError, match=r": classes contains 'lll.*; expected 1 to 100 printable characters"):
        load_image_folder(tmp_path)


@pytest.mark.timing
@pytest.mark.landing
def test_ten_thousand_folders_are_refused_at_once(tmp_path):
    for number in range(10_000):
        (tmp_path / f"{number}").mkdir()
    began = time.process_time()
    with pytest.raises(DataError, match=r"has more than 1,000 subfolders; expected one per class\.$"):
        load(tmp_path)
    assert time.process_time() - began < 2


@NOT_ON_WINDOWS
def test_a_folder_that_is_its_own_class_is_refused(tmp_path):
    (write(tmp_path) / "again").symlink_to(tmp_path)
    with pytest.raises(DataError, match="again links back to a folder that contains it"):
        load_image_folder(tmp_path)


def test_only_some_pictures_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("lenet.data.pictures._PROGRESS_EVERY", 4)
    write(tmp_path, count=20, size=500)
    load_image_folder(tmp_path)  # imports
    tracemalloc.start()
    load_image_folder(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 500 * 500 / 2  # bytes of all pictures


def test_progress_counts_all_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("lenet.data.pictures._PROGRESS_EVERY", 4)
    calls = []
    load_image_folder(write(tmp_path), progress=lambda *numbers: calls.append(numbers))
    assert calls == [(4, 10), (8, 10), (10, 10)]


def test_digits_in_folders_are_evaluated_by_the_shipped_model(tmp_path):
    digits = lenet.data.load_digits()
    for name in ("3", "7"):
        (tmp_path / name).mkdir()
        for number, image in enumerate(digits.X_test[digits.y_test == int(name)][:10]):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), 255 - cv2.resize(image, (112, 112)))
    model = lenet.load_pretrained("mnist")
    data = load_image_folder(tmp_path).numbered_as(model.classes, "folder")
    assert lenet.evaluation.evaluate(model, data.X_train, data.y_train)[1] >= 0.85
