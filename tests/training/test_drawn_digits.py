"""Drawn digits: their forms, curves, sizes and shares, and training on them."""

from collections import Counter
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet.errors import InputError
from lenet.training import RECIPES
from lenet.training.augment import drawn_digits as module
from lenet.training.augment.drawn_digits import FORMS, drawn_digits, smooth
from lenet.training.training_set import TrainingSet

cv2 = pytest.importorskip("cv2")


SHORT = replace(RECIPES["small"], epochs=1, validation=0.1, distort=False)
DIGITS = lenet.data.load_digits()


def test_images_and_labels_repeat_by_their_seed():
    (one, y), (two, y_two) = (drawn_digits(300, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(y, y_two)
    assert (one.shape, one.dtype, y.shape, y.dtype) == ((300, 28, 28), np.uint8, (300,), np.int64)
    assert len({image.tobytes() for image in one}) == 300
    assert Counter(y.tolist()).keys() == set(range(10))


def test_labels_are_those_that_the_network_reads():
    images, labels = drawn_digits(1000, np.random.default_rng(1))
    read = lenet.load_pretrained("mnist").predict(images)
    assert (read == labels).mean() > 0.95
    for digit in range(10):
        assert (read == labels)[labels == digit].mean() > 0.85


def test_30_percent_are_printed(monkeypatch):
    monkeypatch.setattr(module, "printed", lambda *_: np.uint8(1))
    monkeypatch.setattr(module, "_written", lambda *_: np.uint8(0))
    images, labels = drawn_digits(10_000, np.random.default_rng(0))
    assert images.mean() == pytest.approx(0.3, abs=0.015)
    np.testing.assert_allclose(np.bincount(labels) / 10_000, 0.1, atol=0.01)


def test_a_digit_is_printed_if_its_random_number_is_below_the_fraction(monkeypatch):
    monkeypatch.setattr(module, "printed", lambda *_: np.uint8(1))
    monkeypatch.setattr(module, "_written", lambda *_: np.uint8(0))
    rng = np.random.default_rng(0)
    rng.integers(0, 10, 1)  # the label
    number = rng.random()
    for fraction, expected in ((number, 0), (np.nextafter(number, 1), 1)):
        monkeypatch.setattr(module, "_PRINTED", fraction)
        assert drawn_digits(1, np.random.default_rng(0))[0].tolist() == [expected]


def test_forms_have_strokes_within_the_grid():
    assert len(FORMS) == 10
    assert min(map(len, FORMS)) >= 5
    for form in chain.from_iterable(FORMS):
        for stroke in form.split("|"):
            points = stroke.split()
            assert len(points) >= 2
            assert all(len(point) == 2 and point.isdecimal() for point in points)
            assert all(points[k] != points[k + 2] for k in range(len(points) - 2))  # twice is a corner, thrice a slip


class Fixed:
    """A generator that draws the first form, no shifts, and given values for the rest."""

    def __init__(self, slant=0.0, width=10.0, pen=7):
        self.slant, self.width, self.pen = slant, width, pen
        self.ranges, self.pens, self.normals = [], [], []

    def integers(self, low, high=None):
        if high is None:
            return 0
        self.pens.append((low, high))
        return self.pen

    def normal(self, mean, deviation, size=None):
        self.normals.append((mean, deviation, size))
        return self.slant if size is None else np.zeros(size)

    def uniform(self, low, high):
        self.ranges.append((low, high))
        return self.width


def test_a_form_is_drawn_where_its_points_are(monkeypatch):
    """The first 1 is a line from row 0 to 9 in column 4; a column has 10 pixels here, and so has a row."""
    monkeypatch.setattr(module, "FORMS", (("40 49",),))
    calls = []
    opencv = SimpleNamespace(polylines=lambda *arguments, **options: calls.append((arguments, options)), LINE_AA=16)
    monkeypatch.setattr(module, "cv2", opencv)
    for slant in (0.0, 2.0):
        rng = Fixed(slant)
        assert module._written(0, rng).shape == (28, 28)
        (canvas, (points,), closed, ink, pen, kind), options = calls.pop()
        assert (canvas.shape, closed, ink, pen, kind, options) == ((160, 160), False, 255, 7, 16, {"shift": 3})
        # Relative to the middle, 4.5: the top is half a column to the left and 4.5 rows up, and leans to the right.
        top, bottom = (80 - 5 + 4.5 * slant, 80 - 45), (80 - 5 - 4.5 * slant, 80 + 45)
        np.testing.assert_allclose(points / 8, np.linspace(top, bottom, 8), atol=1 / 16)  # rounded to eighths
        assert rng.pens == [(5, 17)]
        assert rng.ranges == [(0.2, 0.6), (4, 10)]
        assert rng.normals == [(0, 10.0, (10, 10, 2)), (0, 2.5, None)]  # the former by the number drawn before it


def test_a_point_is_shifted_by_the_numbers_of_its_column_and_row(monkeypatch):
    monkeypatch.setattr(module, "FORMS", (("40 49",),))
    lines = []
    opencv = SimpleNamespace(polylines=lambda canvas, points, *_, **__: lines.append(points[0] / 8), LINE_AA=16)
    monkeypatch.setattr(module, "cv2", opencv)
    rng, shifts = Fixed(), np.zeros((10, 10, 2))
    shifts[4, 0], shifts[4, 9] = (0.5, -0.25), (-1, 2)  # columns to the right, and rows down, of 10 pixels
    monkeypatch.setattr(rng, "normal", lambda mean, deviation, size=None: 0.0 if size is None else shifts)
    module._written(0, rng)
    np.testing.assert_array_equal(lines[0][[0, -1]], [[80 - 5 + 5, 80 - 45 - 2.5], [80 - 5 - 10, 80 + 45 + 20]])


def test_equal_points_are_shifted_alike(monkeypatch):
    monkeypatch.setattr(module, "FORMS", (("40 04 | 04 49",),))
    ends = []
    opencv = SimpleNamespace(
        polylines=lambda canvas, points, *_, **__: ends.append((points[0][0], points[0][-1])), LINE_AA=16
    )
    monkeypatch.setattr(module, "cv2", opencv)
    module._written(0, np.random.default_rng(0))
    np.testing.assert_array_equal(ends[0][1], ends[1][0])


def test_print_has_the_faces_sizes_and_pens_of_its_ranges(monkeypatch):
    calls, stretched = [], []

    def resize(ink, size, **options):
        stretched.append(size[0] / ink.shape[1])
        return cv2.resize(ink, size, **options)

    def put_text(canvas, text, *arguments):
        calls.append((text, *arguments))
        return cv2.putText(canvas, text, *arguments)

    opencv = SimpleNamespace(putText=put_text, resize=resize, LINE_AA=cv2.LINE_AA, INTER_AREA=cv2.INTER_AREA)
    monkeypatch.setattr(module, "cv2", opencv)
    rng = np.random.default_rng(0)
    images = [module.printed("7", rng) for _ in range(400)]
    assert {image.shape for image in images} == {(28, 28)}
    texts, places, faces, sizes, inks, pens, kinds = zip(*calls, strict=True)
    assert (set(texts), set(places), set(inks), set(kinds)) == ({"7"}, {(30, 120)}, {255}, {cv2.LINE_AA})
    assert set(faces) == set(range(8))
    assert (min(sizes), max(sizes)) == pytest.approx((2.5, 4), abs=0.02)
    assert set(pens) == set(range(4, 19))
    assert (min(stretched), max(stretched)) == pytest.approx((0.6, 1.1), abs=0.02)


def test_print_keeps_its_height(monkeypatch):
    sizes = []
    opencv = SimpleNamespace(
        putText=cv2.putText, LINE_AA=cv2.LINE_AA, INTER_AREA=cv2.INTER_AREA,
        resize=lambda ink, size, interpolation: sizes.append((len(ink), size[1], interpolation)) or ink,
    )  # fmt: skip
    monkeypatch.setattr(module, "cv2", opencv)
    for digit in range(10):
        module.printed(str(digit), np.random.default_rng(digit))
    assert len({height for height, *_ in sizes}) > 3
    assert all(before == after and method == cv2.INTER_AREA for before, after, method in sizes)


def test_one_digit_is_drawn_and_none_is_refused():
    assert drawn_digits(1, np.random.default_rng(0))[0].shape == (1, 28, 28)
    with pytest.raises(InputError, match="n is 0; expected at least 1"):
        drawn_digits(0, np.random.default_rng(0))


def test_the_largest_print_is_not_cut():
    for digit in "0123456789":
        for face in range(8):
            canvas = np.zeros((module._CANVAS, module._CANVAS), np.uint8)
            cv2.putText(canvas, digit, (30, 120), face, 4, 255, 18, cv2.LINE_AA)
            assert not canvas[[0, -1]].any()
            assert not canvas[:, [0, -1]].any()


def test_curves_are_cubic_hermite_splines_with_the_tangents_of_catmull_and_rom():
    interpolate = pytest.importorskip("scipy.interpolate")
    points = np.random.default_rng(0).uniform(0, 9, (6, 2))
    tangents = np.concatenate([points[1:2] - points[:1], points[2:] - points[:-2], points[-1:] - points[-2:-1]])
    tangents[1:-1] /= 2
    expected = interpolate.CubicHermiteSpline(np.arange(6), points, tangents)
    t = np.concatenate([k + np.linspace(0, 1, 8) for k in range(5)])
    np.testing.assert_allclose(smooth(points), expected(t), atol=1e-12)


def test_curves_have_corners_at_repeated_points():
    corner = smooth(np.array([[0.0, 0], [7, 0], [7, 0], [3, 9]]))
    np.testing.assert_allclose(corner[:8], [[k, 0] for k in range(8)], atol=1e-12)
    np.testing.assert_allclose(corner[8:], [[7 - 4 * k / 7, 9 * k / 7] for k in range(8)], atol=1e-12)


def prepared(model, recipe, X=DIGITS.X_train[:200], y=DIGITS.y_train[:200], sample_weight=None):
    return TrainingSet.prepare(X, y, sample_weight, model, recipe, 3)


def test_accuracy_counts_given_and_drawn_digits():
    """A network of zeros predicts 0 for every image, and does not change if the learning rate underflows."""
    model = lenet.LeNet5(seed=0)
    model.parameters.flat[...] = 0
    recipe = replace(SHORT, drawn_digits=1.0, non_digits=1.0, lr=1e-60, momentum=0.0)
    state = lenet.train(model, DIGITS.X_train[:200], DIGITS.y_train[:200], recipe, seed=3)
    data = prepared(lenet.LeNet5(seed=0), recipe)
    learned = data.y[data.members]
    assert state.history[0].accuracy == pytest.approx((learned == 0).sum() / (learned >= 0).sum())
    assert (learned >= 0).sum() == 2 * len(data.parts.train)


@pytest.mark.parametrize("changes", [{}, {"drawn_digits": 0.2}, {"non_digits": 0.2}])
def test_the_training_set_is_not_copied(changes):
    data = prepared(lenet.LeNet5(seed=0), replace(SHORT, **changes))
    assert np.shares_memory(data.X, DIGITS.X_train)
    assert data.added.base is None or np.shares_memory(data.added.base, DIGITS.X_train)
