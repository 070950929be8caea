"""The checks and the split of data sets, by hand and by loops."""

import numpy as np
import pytest

from lenet.data import Dataset
from lenet.data.dataset import check_levels, check_polarity, checked, named, stratified_split
from lenet.errors import DataError, InputError


def images(n, *shape):
    return np.full((n, *(shape or (28, 28))), 7, np.uint8)


def labelled(train, test):
    return Dataset(images(len(train)), np.array(train, np.int64), images(len(test)), np.array(test, np.int64))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ([0], [0]), ([9, 3], [0]), ([3, 1], [9]),  # an excerpt of the ten digits
        (range(11), [10]), ([*range(12), 4], [0, 11]),
    ],
)  # fmt: skip
def test_labels_are_digits_or_have_no_gaps(train, test):
    dataset = labelled(train, test)
    assert checked(dataset, "mine") is dataset


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([-1, 0], [0], "mine has 2 different training labels, from -1 to 0; expected 0 to 1 without gaps."),
        ([0, 10], [0], "mine has 2 different training labels, from 0 to 10; expected 0 to 1 without gaps."),
        ([*range(10), 11], [0], "mine has 11 different training labels, from 0 to 11; expected 0 to 10 without gaps."),
        (range(1, 11), [1], "mine has 10 different training labels, from 1 to 10; expected 0 to 9 without gaps."),
        ([0, 3], [5, 10, 12], "mine has the test label 10, but its training labels end at 3."),
        ([0, 9], [-1], "mine has the test label -1, but its training labels end at 9."),
        (range(12), [11, 12], "mine has the test label 12, but its training labels end at 11."),
    ],
)
def test_labels_with_gaps_or_unknown_ones_are_rejected(train, test, message):
    with pytest.raises(DataError) as caught:
        checked(labelled(train, test), "mine")
    assert str(caught.value).startswith(message)


GOOD = images(2), np.array([0, 1])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ((images(2, 28, 27), GOOD[1]), r"has {} images of shape \(28, 27\); expected 28x28 pixels\.$"),
        ((images(2, 27, 28), GOOD[1]), r"has {} images of shape \(27, 28\)"),
        ((images(2, 28), GOOD[1]), r"has {} images of shape \(28,\)"),
        ((images(2, 28, 28, 1), GOOD[1]), r"has {} images of shape \(28, 28, 1\)"),
        ((images(3), GOOD[1]), r"has 3 {} images and 2 {} labels; expected one label per image\.$"),
        ((images(0), GOOD[1][:0]), r"has no {} images; expected at least one\.$"),
        ((images(2) // 7, GOOD[1]), "has integer pixels of 0 and 1 only"),
    ],
)
@pytest.mark.parametrize("name", ["training", "test"])
def test_each_part_of_a_data_set_is_checked(part, message, name):
    parts = (*part, *GOOD) if name == "training" else (*GOOD, *part)
    with pytest.raises(DataError, match="^mine " + message.format(name, name)):
        checked(Dataset(*parts), "mine")


@pytest.mark.parametrize(("level", "valid"), [(0, True), (1, False), (2, True), (255, True)])
def test_pixels_are_not_0_and_1_only(level, valid):
    X = np.zeros((2, 28, 28), np.uint8)
    X[1, 3, 5] = level
    check_levels(X[:0], "mine")
    if valid:
        check_levels(X, "mine")
    else:
        with pytest.raises(DataError, match=r"^mine has .* Multiply them by 255\.$"):
            check_levels(X, "mine")


def is_warned(X, caplog):
    caplog.clear()
    check_polarity(X, "mine")
    return len(caplog.records) == 1


def test_a_light_border_has_more_than_two_thirds_of_light_pixels(caplog):
    """Corners belong to two sides."""
    rng = np.random.default_rng(0)
    outcomes = []
    for fraction in rng.uniform(0.55, 0.8, 60):
        image = np.where(rng.random((6, 9)) < fraction, 128, 127).astype(np.uint8)
        sides = [*image[0], *image[5], *(row[0] for row in image), *(row[8] for row in image)]
        outcomes.append(sum(level == 128 for level in sides))
        assert is_warned(image[np.newaxis], caplog) == (outcomes[-1] >= 21)  # of 30
    assert {20, 21} <= set(outcomes)


@pytest.mark.parametrize(
    ("count", "light", "warned"),
    [
        (3, [0], False), (3, [0, 2], True), (2, [1], False), (4, [0, 3], False), (1, [0], True), (0, [], False),
        (200, range(0, 200, 2), False), (200, [1, *range(0, 200, 2)], True),
        (201, range(1, 201, 2), False), (201, range(0, 100, 2), False), (201, range(0, 101, 2), True),
        (400, range(1, 400, 2), False), (401, range(0, 401, 3), True),
        (401, [*range(1, 401, 3), *range(2, 401, 3)], False),
    ],
)  # fmt: skip
def test_a_warning_is_logged_if_most_of_at_most_200_images_are_light(count, light, warned, caplog):
    X = np.zeros((count, 4, 5), np.uint8)
    X[list(light)] = 200
    assert is_warned(X, caplog) == warned


def test_names_are_added_to_the_same_arrays():
    dataset = labelled([0, 1, 1], [2])
    assert dataset.classes is None
    assert named(dataset, None, "mine") is dataset
    with_names = named(dataset, ["a", "b", "c"], "mine")
    assert with_names.classes == ("a", "b", "c")
    assert dataset.classes is None
    assert all(one is other for one, other in zip(dataset, with_names, strict=True))
    renamed = dataset.with_classes(["a", "b", "c", "d"])
    assert renamed.classes == ("a", "b", "c", "d")
    assert renamed._replace(X_train=renamed.X_train).classes == renamed.classes


@pytest.mark.parametrize(("train", "test"), [([0, 2], [1]), ([1], [2, 0])])
def test_each_label_has_a_name(train, test):
    with pytest.raises(InputError, match=r"^classes has 2 names; expected 3, one for each label\.$"):
        labelled(train, test).with_classes(["a", "b"])
    with pytest.raises(DataError, match=r"^mine: classes has 2 names; expected 3, one for each label\.$"):
        named(labelled(train, test), ["a", "b"], "mine")


def test_labels_are_numbered_as_in_a_model():
    dataset = labelled([0, 1, 1], [2, 0]).with_classes(["c", "a", "d"])
    other = dataset.numbered_as(["a", "b", "c", "d"], "mine")
    assert other.classes == ("a", "b", "c", "d")
    assert (other.y_train.tolist(), other.y_test.tolist()) == ([2, 0, 0], [3, 2])
    assert other.X_train is dataset.X_train
    assert other.X_test is dataset.X_test
    assert dataset.numbered_as(["c", "a", "d"], "mine") is dataset
    with pytest.raises(DataError, match=r"^mine has the class 'c'; expected only classes of the model: a, d\. Use"):
        dataset.numbered_as(["a", "d"], "mine")
    with pytest.raises(DataError, match=r"^The data set has the class 'c'; expected only"):
        dataset.numbered_as(["a", "d"])


@pytest.mark.parametrize("classes", [("3", "7", "9"), ("7", "9", "3", "ten")])
def test_labels_are_names_if_a_model_has_a_class_named_by_a_number(classes):
    found = labelled([7, 9, 9], [3, 7]).numbered_as(classes, "mine")
    assert [classes[label] for label in found.y_train] == ["7", "9", "9"]
    assert [classes[label] for label in found.y_test] == ["3", "7"]
    letters = (*"0123456789", *"ABC")  # each number is in its place
    assert labelled([7, 12], [11]).numbered_as(letters, "mine").y_train.tolist() == [7, 12]
    for wrong in (8, -1, 10):
        with pytest.raises(
            DataError, match=rf"^mine has the class '{wrong}'; expected only classes of the model: 7, 9\. Use the model"
        ):
            labelled([7], [wrong]).numbered_as(["7", "9"], "mine")


@pytest.mark.parametrize(("train", "test"), [([0, 2], [1]), ([1], [2, 0])])
def test_labels_without_names_are_numbers_of_classes(train, test):
    dataset = labelled(train, test)
    assert dataset.numbered_as(["a", "b", "c"], "mine") is dataset
    with pytest.raises(DataError, match=r"^mine has the class '2'; expected only classes of the model: a, b\. Use"):
        dataset.numbered_as(["a", "b"], "mine")
    empty = Dataset(images(0), np.empty(0, np.int64), images(0), np.empty(0, np.int64))
    assert empty.numbered_as(["a"], "mine") is empty


@pytest.mark.parametrize(("count", "end"), [(20, "C19."), (21, "C19, ...."), (22, "C19, ....")])
def test_at_most_20_classes_of_a_model_are_listed(count, end):
    with pytest.raises(DataError) as caught:
        labelled([0], [0]).with_classes(["x"]).numbered_as([f"C{n}" for n in range(count)], "mine")
    assert str(caught.value).startswith("mine has the class 'x'; expected only classes of the model: C0, C1, ")
    assert str(caught.value).endswith(f"C18, {end} Use the model that was trained on these classes.")


@pytest.mark.parametrize("one_in", [2, 5, 7])
def test_the_images_with_the_first_random_numbers_of_each_class_are_held_out(one_in):
    y = np.array([0] * 5 + [2] * 17 + [1] * 23 + [0] * 20 + [5] * 3)
    X = np.arange(len(y), dtype=np.uint8)[:, np.newaxis, np.newaxis] + np.zeros((1, 28, 28), np.uint8)
    numbers = np.random.PCG64(1998).random_raw(len(y)).tolist()
    test = []
    for label in set(y.tolist()):
        members = sorted(np.flatnonzero(y == label).tolist(), key=lambda n: numbers[n])
        test += members[: round(len(members) / one_in)]
    test.sort()
    train = [n for n in range(len(y)) if n not in test]
    found = stratified_split(X, y, one_in, "mine")
    assert (found.X_train[:, 0, 0].tolist(), found.X_test[:, 3, 9].tolist()) == (train, test)
    assert (found.y_train.tolist(), found.y_test.tolist()) == (y[train].tolist(), y[test].tolist())


@pytest.mark.parametrize(("one_in", "enough"), [(2, 2), (5, 3), (7, 4)])
def test_a_class_needs_images_for_a_test_set(one_in, enough):
    """Half an image is rounded to the even number, 0."""
    y = np.repeat([0, 1], [enough, 1])
    assert stratified_split(images(len(y)), y, one_in, "mine").y_test.tolist() == [0]
    said = rf"^mine has at most {enough - 1} images per class; expected at least {enough}, of which 1 in {one_in} is"
    with pytest.raises(DataError, match=said):
        stratified_split(images(len(y) - 1), y[1:], one_in, "mine")


def test_all_images_may_be_for_testing():
    X, y = images(3), np.array([4, 0, 12])
    found = stratified_split(X, y, 2, "mine", hold_out=False)
    assert (found.X_train.shape, found.y_train.shape) == ((0, 28, 28), (0,))
    assert found.X_test is X
    assert found.y_test is y
    with pytest.raises(DataError, match=r"^mine has integer pixels of 0 and 1 only"):
        stratified_split(X // 7, y, 2, "mine", hold_out=False)
    with pytest.raises(DataError, match=r"^mine has the label -1; expected labels from 0\. Renumber them\.$"):
        stratified_split(X, y - 1, 2, "mine", hold_out=False)


@pytest.mark.parametrize("hold_out", [True, False])
def test_images_and_labels_of_a_split_are_as_many(hold_out):
    with pytest.raises(DataError, match=r"^mine has 3 images and 4 labels; expected one label per image\.$"):
        stratified_split(images(3), np.zeros(4, np.int64), 2, "mine", hold_out)


@pytest.mark.parametrize(("train", "test"), [([-1, 0], [1]), ([0], [1, -1])])
def test_negative_labels_have_no_class(train, test):
    with pytest.raises(DataError, match=r"^mine has the class '-1'; expected only"):
        labelled(train, test).numbered_as(["a", "b"], "mine")
    with pytest.raises(InputError, match="A label is negative"):
        labelled(train, test).with_classes(["a", "b"])
