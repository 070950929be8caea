"""Uncertain segments are classified from several views, and the others from one."""

import numpy as np
import pytest

import lenet
from lenet.reading.graph import LEARNED, graph_of
from lenet.reading.lines import find_lines, page_of
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
    for place, image in enumerate(lenet.data.load_digits().X_test[183:191]):
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
    for before, after in zip(segments, with_views(model, segments, LEARNED), strict=True):
        posteriors = arc_posteriors(graph_of(before))
        doubtful = (posteriors > 0.0025) & (posteriors * before.probabilities.max(axis=1) < 0.995)
        assert 1 <= doubtful.sum() < len(doubtful) / 2
        np.testing.assert_array_equal(after.probabilities[~doubtful], before.probabilities[~doubtful])
        expected = [mean_over_views(model, image) for image in before.images[doubtful]]
        np.testing.assert_allclose(after.probabilities[doubtful], expected, atol=0.01)
        assert not np.allclose(after.probabilities[doubtful], before.probabilities[doubtful], atol=0.01)


def test_the_features_of_the_network_follow_its_probabilities(model, segments):
    for each in with_views(model, segments, LEARNED):
        best = np.sort(each.probabilities, axis=1)[:, -2:]
        np.testing.assert_allclose(each.features.margin, np.minimum(np.log(best[:, 1] / best[:, 0].clip(1e-6)), 5))


def test_views_of_segments_without_doubt_change_no_reading(model, segments, monkeypatch):
    found = [best_path(graph_of(each)) for each in with_views(model, segments, LEARNED)]
    monkeypatch.setattr("lenet.reading.views._MIN_POSTERIOR", -1.0)
    monkeypatch.setattr("lenet.reading.views._MAX_PROBABILITY", 2.0)
    complete = [best_path(graph_of(each)) for each in with_views(model, segments, LEARNED)]
    for one, other in zip(found, complete, strict=True):
        assert one.labels == other.labels
        assert one.confidence == pytest.approx(other.confidence, abs=0.02)


def test_no_lines_have_no_views(model):
    assert with_views(model, segments_of(model, []), LEARNED) == []
