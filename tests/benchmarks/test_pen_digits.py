"""Digits recorded with a pen: reading UNIPEN files, drawing them, and the targets to learn."""

import numpy as np
import pytest

import lenet
from benchmarks import pen_digits
from lenet.data import load_digits
from lenet.training.splits import split
from lenet.training.training_set import added_counts

pytest.importorskip("cv2")
SEGMENTS = """.INCLUDE x/x.doc
.INCLUDE x/strokes.dat
.SEGMENT CHARACTER 0 ? "1"
.SEGMENT CHARACTER 1-3 OK "7"
.SEGMENT CHARACTER 1:3-2 OK "4"
.SEGMENT CHARACTER 0-1 ? "17"
"""
STROKES = """.COORD X Y T
.PEN_DOWN
5 90 1
5 10 2
.PEN_UP
.DT 100
.PEN_DOWN
20 90 3
60 90 4
.PEN_UP
60 90 5
30 50 6
.PEN_DOWN
 60\t90 7
 40\t10 8
"""


@pytest.fixture
def folders(tmp_path):
    one = '.SEGMENT DIGIT 0 ? "1"\n.PEN_DOWN\n 5 9\n 5 1\n.PEN_UP\n'
    wide = '.SEGMENT DIGIT 0 ? "7"\n.PEN_DOWN\n 1 5\n 9 5\n.PEN_UP\n'  # the bar of a 7
    texts = {
        "train_r01_v07/data/1a/x/digits.dat": SEGMENTS,
        "train_r01_v07/include/x/strokes.dat": STROKES,
        "pen/pendigits-orig.tra": one,
        "pen/pendigits-orig.tes": wide,
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "train_r01_v07", tmp_path / "pen"


def test_digits_and_their_strokes_are_found(folders):
    (one, bar), (seven, parts), (other, _) = pen_digits.recorded_digits(*folders)
    assert (one, seven, other) == (1, 7, 1)  # neither parts of components, nor two digits, nor the wide one
    np.testing.assert_array_equal(bar, [[[5, 90], [5, 10]]])
    # The movement in the air counts as a component, but is not a stroke; the first pause has no points.
    np.testing.assert_array_equal(parts, [[[20, 90], [60, 90]], [[60, 90], [40, 10]]])


def test_digits_are_drawn_the_right_way_up(folders):
    (_, (_, strokes), _), rng = pen_digits.recorded_digits(*folders), np.random.default_rng(0)
    images = np.stack([pen_digits.drawn(strokes, rng) for _ in range(20)])
    assert (lenet.load_pretrained().predict(images) == 7).all()
    assert len(np.unique(images.reshape(20, -1), axis=0)) == 20


def test_recorded_digits_have_labels_and_others_the_probabilities_of_the_model(folders, monkeypatch):
    recipe = pen_digits.RECIPE.with_changes(defects=0)
    monkeypatch.setattr(pen_digits, "VARIANTS", 2)
    monkeypatch.setattr(pen_digits, "RECIPE", recipe)
    data, model = load_digits(), lenet.load_pretrained()
    X, y = data.X_train[:120], data.y_train[:120]
    slashed = (0, [np.array([[0.0, 0.0], [0.0, 9.0]])])  # read as a 1
    recorded = [*pen_digits.recorded_digits(*folders), slashed]
    images, targets = pen_digits.training_images(model, X, y, recorded, 1)
    is_label = targets.max(axis=1) == 1
    assert is_label.sum() == 3  # a half of the recorded digits for each variant, without the misread 0
    np.testing.assert_array_equal(targets[is_label].argmax(axis=1), [1, 1, 7])
    np.testing.assert_array_equal(model.predict(images[is_label]), [1, 1, 7])
    train = len(split(y, recipe.validation, 0).train)
    assert len(images) == 2 * (train + sum(added_counts(recipe, train))) + 3  # no held-out images
    np.testing.assert_array_equal(targets[~is_label], model.predict_proba(images[~is_label]))
