"""Folders of pictures: how they are listed, split and named, and how pictures become a data set."""

import numpy as np
import pytest

from lenet.data import image_folder, load, load_parquet
from lenet.data.pictures import Options, Picture
from lenet.errors import DataError, InputTypeError

cv2 = pytest.importorskip("cv2")
pytest.importorskip("PIL.Image")


def made(folder, *names):
    """Empty files, and folders if the name ends with a slash."""
    for name in names:
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return folder


def listed(folder, found):
    return [str(path)[len(str(folder)) + 1 :].replace("\\", "/") for path in found]


def test_pictures_are_listed_in_the_order_of_their_names(tmp_path):
    made(
        tmp_path,
        "b.png", "a.JPG", "c.txt", ".d.png", "png", "m/2.webp", "m/1.pgm", "e.png/x.gif", ".hidden/1.png",
        "f.jpeg.txt", "g.tiff", "__cache/h.bmp", "empty/", "@eaDir/b.png/SYNOPHOTO_THUMB_XL.jpg", "@eaDirs/j.png",
    )  # fmt: skip
    found = listed(tmp_path, image_folder.pictures_in(tmp_path)[0])
    assert found == ["@eaDirs/j.png", "__cache/h.bmp", "a.JPG", "b.png", "e.png/x.gif", "g.tiff", "m/1.pgm", "m/2.webp"]


@pytest.mark.parametrize("name", ["@eaDir", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information", ".Trashes"])
def test_folders_of_the_system_are_hidden(tmp_path, name):
    made(tmp_path, f"{name}/a.png", f"a/{name}/b.png")
    assert [path.name for path in image_folder._subfolders(tmp_path)] == ["a"]
    assert image_folder.pictures_in(tmp_path) == ([], [])


@pytest.mark.parametrize("suffix", [*image_folder.SUFFIXES, ".PNG", ".Tif"])
def test_pictures_are_known_by_their_suffix(tmp_path, suffix):
    made(tmp_path, f"a{suffix}", f"b{suffix[1:]}", f"c{suffix}x")
    assert listed(tmp_path, image_folder.pictures_in(tmp_path)[0]) == [f"a{suffix}"]


@pytest.mark.parametrize(("depth", "valid"), [(16, True), (17, False)])
def test_folders_of_a_class_are_nested_at_most_16_deep(tmp_path, depth, valid):
    path = "/".join(["n"] * depth)
    made(tmp_path, f"{path}/a.png")
    [found], _ = image_folder.pictures_in(tmp_path)
    if valid:
        assert listed(tmp_path, [found]) == [f"{path}/a.png"]
    else:
        assert "or is nested too deeply" in found.message


def test_subfolders_that_are_hidden_or_internal_are_no_classes(tmp_path):
    made(tmp_path, ".git/", "__pycache__/", "@eaDir/", "a.png")
    assert not image_folder.holds_classes(tmp_path)
    made(tmp_path, "_b/a.png", "a/2.png", "a/1.png")
    assert image_folder.holds_classes(tmp_path)
    found = image_folder._pictures_by_class(tmp_path)
    assert {name: listed(tmp_path, paths) for name, paths in found.items()} == {
        "_b": ["_b/a.png"],
        "a": ["a/1.png", "a/2.png"],
    }
    made(tmp_path, "c/notes.txt")
    message = r"c has no pictures; expected PNG, JPEG.* If it has IDX, \.npy or Parquet files, pass it instead\.$"
    with pytest.raises(DataError, match=message):
        image_folder._pictures_by_class(tmp_path)


@pytest.mark.parametrize(("count", "valid"), [(1000, True), (1001, False)])
def test_a_set_has_at_most_1000_classes(tmp_path, monkeypatch, count, valid):
    monkeypatch.setattr(image_folder, "_subfolders", lambda folder: (folder / str(n) for n in range(count)))
    monkeypatch.setattr(image_folder, "pictures_in", lambda folder: ([folder.name], []))
    if valid:
        assert image_folder._pictures_by_class(tmp_path) == {str(n): [str(n)] for n in range(count)}
    else:
        with pytest.raises(DataError, match=r"has more than 1,000 subfolders; expected one per class\.$"):
            image_folder._pictures_by_class(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/", "b/"], {"all": ""}), (["train/", "test/"], {"train": "train", "test": "test"}),
        (["Training/", "TESTING/"], {"train": "Training", "test": "TESTING"}), (["train/"], {"train": "train"}),
        (["train/", "readme.txt", ".cache/"], {"train": "train"}), (["trains/", "tests/"], {"all": ""}),
        (["training_set/", "test_set/"], {"train": "training_set", "test": "test_set"}),
        (["trainSet/", "test-images/"], {"train": "trainSet", "test": "test-images"}),
        (["Train data/"], {"train": "Train data"}), (["trained/", "set/"], {"all": ""}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("needs_train", [True, False])
def test_train_and_test_may_be_folders(tmp_path, names, expected, needs_train):
    made(tmp_path, *names)
    found = image_folder._splits(tmp_path, needs_train)
    assert found == {split: tmp_path / name for split, name in expected.items()}


@pytest.mark.parametrize(
    ("names", "needs_train", "message"),
    [
        (["test/"], True, "has 'test' and no folder 'train'; expected"),
        (["test/"], False, None),
        (["test/", "a/"], False, "has 'test' and no folder 'train'; expected"),
        (["train/", "a/", "b/"], True, "has 'train' and also 'a'; expected"),
        (["train/", "test/", "a/"], False, "has 'test' and 'train' and also 'a'; expected"),
        (["trainSet/", "testSet/", "sample/"], True, "has 'testSet' and 'trainSet' and also 'sample'; expected"),
    ],
)
def test_a_folder_besides_train_and_test_is_an_error(tmp_path, names, needs_train, message):
    made(tmp_path, *names)
    if message is None:
        assert image_folder._splits(tmp_path, needs_train) == {"test": tmp_path / "test"}
    else:
        with pytest.raises(DataError, match=message):
            image_folder._splits(tmp_path, needs_train)


@pytest.mark.parametrize(
    ("splits", "names"),
    [
        ([["b", "a"]], ("a", "b")), ([["10", "9", "b", "A", "0"]], ("0", "9", "10", "A", "b")),
        ([["a", "b"], ["c", "a"]], ("a", "b", "c")), ([["a"], ["b"]], ("a", "b")),
        ([["10", "1a", "9"]], ("9", "10", "1a")),
        ([["01", "1"]], ("01", "1")), ([["x" * 100, "2"]], ("2", "x" * 100)),
    ],
)  # fmt: skip
def test_numbers_come_before_names(tmp_path, splits, names):
    by_class = {str(n): {name: ["x.png"] for name in classes} for n, classes in enumerate(splits)}
    assert image_folder._class_names(tmp_path, by_class) == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no subfolders; expected at least two"), (["b"], "has one class, 'b'; expected at least two"),
        (["a", "Ab", "aB"], "has the classes 'Ab' and 'aB', which differ only in case"),
        (["a\a", "b"], r"has a class named 'a\x07'; expected printable characters"),
    ],
)  # fmt: skip
def test_names_of_classes_are_printable_and_differ(tmp_path, names, message):
    with pytest.raises(DataError) as caught:
        image_folder._class_names(tmp_path, {"all": {name: ["x.png"] for name in names}})
    assert message in str(caught.value)


def dataset_of(labels, splits, hold_out=True, names=("a", "b"), damaged=()):
    """A data set of raw pictures, of which each has its number as level."""
    given = []
    for n, (label, split) in enumerate(zip(labels, splits, strict=True)):
        content = cv2.imencode(".png", np.pad(np.full((20, 20), n + 2, np.uint8), 4))[1].tobytes()
        given.append(Picture(f"p{n}", label, split, b"none" if n in damaged else content))
    found = image_folder.labelled_pictures(given, names, "mine", Options(True, False, None, hold_out))
    assert found.classes == names
    numbers = [(images[:, 9, 9] - 2).tolist() for images in (found.X_train, found.X_test)]
    assert [found.y_train.tolist(), found.y_test.tolist()] == [[labels[n] for n in part] for part in numbers]
    return numbers


@pytest.mark.parametrize("hold_out", [True, False])
def test_split_pictures_stay_in_their_parts(hold_out):
    assert dataset_of([0, 1, 0, 1], ["train", "train", "test", "test"], hold_out) == [[0, 1], [2, 3]]
    assert dataset_of([0, 1, 1, 0], ["test", "train", "train", "train"], hold_out) == [[1, 2, 3], [0]]


def test_other_pictures_are_held_out_or_all_for_testing():
    train, test = dataset_of([0, 1] * 8, ["all"] * 16)
    assert (len(train), len(test), sorted(train + test)) == (12, 4, list(range(16)))
    assert sorted(n % 2 for n in test) == [0, 0, 1, 1]  # of 8, a fifth is 1.6
    assert dataset_of([0, 1, 0], ["all"] * 3, hold_out=False) == [[], [0, 1, 2]]
    assert dataset_of([0, 1, 0], ["test"] * 3, hold_out=False) == [[], [0, 1, 2]]
    assert dataset_of([0, 1, 0, 1], ["all"] * 4, hold_out=False, damaged=[1]) == [[], [0, 2, 3]]
    with pytest.raises(DataError, match=r"^mine has no training images"):
        dataset_of([0, 1, 0], ["test"] * 3)


def test_each_class_has_training_pictures():
    with pytest.raises(DataError, match=r"^mine has no training pictures of class 'b'; expected at least one\. Add"):
        dataset_of([0, 0, 1], ["train", "train", "test"])
    with pytest.raises(DataError, match="of class 'b'"):
        dataset_of([0, 2, 1], ["train", "train", "test"], names=("a", "b", "c"))
    with pytest.raises(DataError, match="of class 'b'"):
        dataset_of([0] * 5 + [1], ["all"] * 6, damaged=[5])


def drawn(folder, margin=4, names=("a", "b"), count=5):
    for name in names:
        (folder / name).mkdir()
        for n in range(count):
            cv2.imwrite(str(folder / name / f"{n}.png"), np.pad(np.full((20, 20), 50, np.uint8), margin))
    return folder


@pytest.mark.parametrize("name", ["raw", "strict", "progress", "hold_out"])
@pytest.mark.parametrize("load", [load, load_parquet, image_folder.load_image_folder])
def test_options_are_checked_before_anything_is_read(tmp_path, load, name):
    with pytest.raises(InputTypeError, match=f"^{name} is 3; expected"):
        load(tmp_path / "missing", **{name: 3})


def test_a_set_has_at_most_the_limit_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "MAX_IMAGES", 10)
    drawn(tmp_path)
    assert len(load(tmp_path, raw=True).y_train) == 8
    monkeypatch.setattr(image_folder, "MAX_IMAGES", 9)
    with pytest.raises(DataError, match=r"has more than 9 pictures\. Use a subset of them\.$"):
        load(tmp_path, raw=True)


def test_by_default_pictures_are_prepared_and_damaged_ones_are_skipped(tmp_path):
    drawn(tmp_path, margin=10)
    (tmp_path / "a" / "torn.png").write_bytes(b"none")
    for found in (load(tmp_path), image_folder.load_image_folder(tmp_path)):
        assert (len(found.y_train), len(found.y_test)) == (8, 2)
        assert found.X_train.max() == 255
    with pytest.raises(DataError, match=r"torn\.png is not a picture"):
        load(tmp_path, strict=True)


@pytest.mark.parametrize("hold_out", [True, False])
def test_training_pictures_never_become_the_test_set(hold_out):
    with pytest.raises(DataError, match=r"^mine has no test images"):
        dataset_of([0, 1] * 8 + [0, 1], ["train"] * 16 + ["test"] * 2, hold_out, damaged=[16, 17])


@pytest.mark.parametrize("names", [["train/", "test/", "testing/"], ["training/", "train/", "test/"]])
def test_two_folders_of_one_part_are_an_error(tmp_path, names):
    with pytest.raises(DataError, match="expected one folder for training and one for testing"):
        image_folder._splits(made(tmp_path, *names), True)


def test_parts_within_a_part_are_no_classes(tmp_path):
    """As in copies of Kaggle's MNIST: the second folder of each name contains the pictures."""
    made(tmp_path, "trainingSet/trainingSet/0/a.jpg", "trainingSet/trainingSet/1/b.jpg", "testSet/testSet/c.jpg")
    with pytest.raises(
        DataError, match=r"trainingSet has a folder 'trainingSet'; expected one folder per class\. Pass"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["train/0/a.png", "train/1/b.png", "train/train/0/c.png", "test/0/d.png"],
        ["train/train/0/a.png", "train/val/0/b.png"],
    ],
)
def test_a_part_among_the_classes_of_a_part_is_an_error(tmp_path, names):
    with pytest.raises(DataError, match=r"train has a folder 'train'; expected one folder per class\. Pass"):
        image_folder.load_image_folder(made(tmp_path, *names))


def test_a_class_may_have_the_name_of_a_part(tmp_path):
    made(tmp_path, "train/car/a.png", "train/train/b.png", "test/train/c.png", "test/plane/d.png")
    for part, classes in [("train", ["car", "train"]), ("test", ["plane", "train"])]:
        assert list(image_folder._pictures_by_class(tmp_path / part)) == classes
