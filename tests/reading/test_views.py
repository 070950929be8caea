"""Uncertain segments are classified from several views, and the others from one."""

from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet.reading import views
from lenet.reading.graph import graph_of
from lenet.reading.lines import find_lines
from lenet.reading.page import page_of
from lenet.reading.paths import arc_posteriors, best_path
from lenet.reading.pieces import pieces_of
from lenet.reading.segments import segments_of
from lenet.reading.views import with_views

pytest.importorskip("cv2")
ndimage = pytest.importorskip("scipy.ndimage")


@pytest.fixture(scope="module")
def model():
    return lenet.load_pretrained("mnist")


@pytest.fixture(scope="module")
def segments(model):
    """The segments of two lines of four digits."""
    page = np.full((130, 160), 255, np.uint8)
    for place, image in enumerate(lenet.data.load_digits().X_test[171:179]):
        top, left = 16 + 60 * (place // 4), 20 + 30 * (place % 4)
        page[top : top + 28, left : left + 28] = 255 - image
    return segments_of(model, [pieces_of(line) for line in find_lines(page_of(page))])


def mean_over_views(model, image):
    """By SciPy: slanted either way, smaller, larger and narrower, around the middle of the image."""
    seen = [image]
    slanted, scaled = [((1, 0.15), (0, 1)), ((1, -0.15), (0, 1))], [((1.12, 0), (0, 1.12)), ((0.92, 0), (0, 0.92))]
    for across, along in (*slanted, *scaled, ((1.3, 0), (0, 1))):
        matrix = np.array([along, across])[:, ::-1]  # of rows and columns
        middle = np.full(2, 13.5)
        moved = ndimage.affine_transform(image.astype(float), matrix, middle - matrix @ middle, order=1)
        seen.append(moved.round().astype(np.uint8))
    return model.predict_proba(np.stack(seen)).mean(axis=0)


def test_the_probabilities_of_segments_in_doubt_are_means_over_views(model, segments):
    assert len(segments) == 2
    for before, after in zip(segments, with_views(model, segments), strict=True):
        posteriors = arc_posteriors(graph_of(before))
        doubtful = (posteriors > 0.0025) & (posteriors * before.probabilities.max(axis=1) < 0.995)
        assert 1 <= doubtful.sum() < len(doubtful) / 2
        np.testing.assert_array_equal(after.probabilities[~doubtful], before.probabilities[~doubtful])
        expected = [mean_over_views(model, image) for image in before.images[doubtful]]
        np.testing.assert_allclose(after.probabilities[doubtful], expected, atol=0.01)
        assert not np.allclose(after.probabilities[doubtful], before.probabilities[doubtful], atol=0.01)


def test_the_label_of_a_segment_is_the_one_that_the_network_finds_most_probable(segments):
    for each in segments:
        np.testing.assert_array_equal(graph_of(each).digits.argmax(axis=1), each.probabilities.argmax(axis=1))


def test_views_of_segments_without_doubt_change_no_reading(model, segments, monkeypatch):
    found = [best_path(graph_of(each)) for each in with_views(model, segments)]
    monkeypatch.setattr("lenet.reading.views._MIN_POSTERIOR", -1.0)
    monkeypatch.setattr("lenet.reading.views._MAX_PROBABILITY", 2.0)
    complete = [best_path(graph_of(each)) for each in with_views(model, segments)]
    for one, other in zip(found, complete, strict=True):
        assert one.labels == other.labels
        assert one.confidence == pytest.approx(other.confidence, abs=0.02)


def test_no_lines_have_no_views(model):
    assert with_views(model, segments_of(model, [])) == []


class Counting:
    """A model whose probabilities of an image are its first pixel, times the number of the view."""

    def __init__(self):
        self.calls, self.jobs = 0, []

    def predict_proba(self, images, n_jobs):
        self.calls += 1
        self.jobs.append(n_jobs)
        return np.outer(images[:, 0, 0], [1, 10]).astype(np.float32) * self.calls


def line_of(monkeypatch, posteriors, probabilities):
    """The segments of a line with given posteriors, whose images have 2, 3 and so on in their first pixels."""
    images = np.zeros((len(posteriors), 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(len(posteriors)) + 2
    best = np.column_stack([probabilities, np.zeros(len(posteriors))])
    monkeypatch.setattr(views, "graph_of", lambda segments: segments.posteriors)
    monkeypatch.setattr(views, "arc_posteriors", lambda posteriors: posteriors)
    return SimpleNamespace(
        images=images, probabilities=best, posteriors=np.array(posteriors), with_probabilities=lambda new: new
    )


def test_segments_are_in_doubt_between_two_thresholds(monkeypatch):
    """The posterior is above 0.0025, and its product with the probability below 0.995."""
    seen = []

    def maps_of(maps):
        seen.append(maps)
        return SimpleNamespace(apply=lambda images: images)

    monkeypatch.setattr(views, "AffineMaps", maps_of)
    posteriors = [0.0025, 0.00251, 1, 1, 0.995, 0.5, 0.996]
    probabilities = [0.5, 1, 0.995, 0.994, 1, 0.5, 0.9]
    doubtful = [1, 3, 5, 6]
    first, second = (line_of(monkeypatch, posteriors[:n], probabilities[:n]) for n in (7, 2))
    model = Counting()
    before = first.probabilities.copy()
    found, other = with_views(model, [first, second], 3)
    expected = before.copy()
    for n in doubtful:
        expected[n] = (before[n] + (1 + 2 + 3 + 4 + 5) * (n + 2) * np.array([1, 10])) / 6
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(other[1], expected[1])
    np.testing.assert_array_equal(first.probabilities, before)
    assert model.jobs == [3] * 5
    slants = [[[1, 0.15, 0], [0, 1, 0]], [[1, -0.15, 0], [0, 1, 0]]]
    sizes = [[[1.12, 0, 0], [0, 1.12, 0]], [[0.92, 0, 0], [0, 0.92, 0]], [[1.3, 0, 0], [0, 1, 0]]]
    for maps, expected_map in zip(seen, slants + sizes, strict=True):
        np.testing.assert_array_equal(maps, [expected_map] * 5)


def test_without_doubt_there_are_no_views(monkeypatch):
    line = line_of(monkeypatch, [0.0025, 1], [0.5, 0.995])
    model = Counting()
    assert with_views(model, [line, line]) == [line, line]
    assert model.calls == 0
