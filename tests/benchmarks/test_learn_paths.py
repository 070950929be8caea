"""The examples and the loss that the coefficients of lines are learned from."""

import numpy as np
import pytest

import lenet
from lenet.reading.features import Features
from lenet.reading.graph import LEARNED
from lenet.reading.segments import Segments

pytestmark = pytest.mark.release
learning = pytest.importorskip("benchmarks.learn_paths", reason="needs OpenCV and SciPy")
rows = pytest.importorskip("benchmarks.rows")
example, examples_of, loss_and_gradient = learning.example, learning.examples_of, learning.loss_and_gradient
flattened, unflattened = learning.flattened, learning.unflattened
plain, row, varied = rows.plain, rows.row, rows.varied


@pytest.fixture(scope="module")
def digits():
    data = lenet.data.load_digits()
    return data.X_train, data.y_train


@pytest.fixture(scope="module")
def examples(digits):
    return examples_of(lenet.load_pretrained("mnist"), varied, 12, 0, *digits)


def test_a_row_records_the_owner_of_each_pixel(digits):
    images, labels = digits
    made = row([images[0], images[1]], [int(labels[0]), rows.OTHER], np.array([0, 3]), np.array([0, 2]))
    for n in (0, 1):
        assert made.ink[made.owner == n].sum() == images[n].astype(int).sum()
    assert (made.ink[made.owner == -1] == 0).all()
    assert made.text == str(labels[0])


@pytest.mark.parametrize("make", [plain, varied])
def test_rows_are_the_same_for_the_same_seed(digits, make):
    first, again = (make(*digits, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.ink, again.ink)
    assert 3 <= len(first.labels) <= 8


def test_the_right_path_is_marked(examples):
    for each in examples:
        s = each.segments
        digits = np.flatnonzero(each.wanted >= 0)
        order = digits[np.argsort(s.starts[digits])]
        assert (s.stops[order][:-1] <= s.starts[order][1:]).all()  # they follow each other
        assert set(each.wanted) <= {*range(10), learning.AS_OTHER, learning.NOT_THIS}


def test_without_other_things_the_marked_segments_cover_the_line(digits):
    found = examples_of(lenet.load_pretrained("mnist"), plain, 10, 1, *digits)
    assert len(found) >= 7
    for each in found:
        marked = np.flatnonzero(each.wanted >= 0)
        assert sorted(each.segments.starts[marked]) == [0, *sorted(each.segments.stops[marked])[:-1]]


def test_the_gradient_is_that_of_the_loss(examples):
    rng = np.random.default_rng(0)
    x = flattened(LEARNED) + rng.normal(0, 0.1, len(flattened(LEARNED)))
    step = 1e-6
    _, gradient = loss_and_gradient(x, examples)
    for k in range(len(x)):
        there, here = (loss_and_gradient(x + d * np.eye(len(x))[k], examples)[0] for d in (step, -step))
        assert gradient[k] == pytest.approx((there - here) / (2 * step), rel=1e-4, abs=1e-6)


def test_the_loss_is_the_logarithm_of_a_probability(examples):
    """With a single segment, only its label and that it is a digit matter."""
    one = examples[0].segments
    features = Features(*(value[:1] for value in vars(one.features).values()))
    others = ("starts", "stops", "boxes", "images", "probabilities")
    first = Segments(one.pieces, *(getattr(one, name)[:1] for name in others), features)
    first.starts[:], first.stops[:] = 0, 1
    coefficients = unflattened(flattened(LEARNED) * 0)  # nothing counts: 10 digits and none are alike
    loss, _ = loss_and_gradient(flattened(coefficients), [learning.Example(first, np.array([3]))])
    assert loss == pytest.approx(np.log(11))


def test_a_row_that_cannot_be_cut_right_teaches_nothing(digits):
    images, labels = digits
    on_each_other = row([images[0], images[1]], [int(labels[0]), int(labels[1])], np.array([0, -14]), np.array([0, 0]))
    assert example(lenet.load_pretrained("mnist"), on_each_other) is None
