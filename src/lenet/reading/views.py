"""Classify uncertain segments again, from several views: test-time augmentation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.model import LeNet5
from lenet.reading.graph import graph_of
from lenet.reading.paths import arc_posteriors
from lenet.reading.segments import Segments
from lenet.training.augment.distortions import AffineMaps

# A segment is uncertain if its posterior is above the first value, and the product of its posterior and its highest
# probability is below the second. In cheques, photographs and pages, views of the other segments would raise their
# posteriors to at most 0.02, and lower their probabilities by 0.001 on average.
_MIN_POSTERIOR, _MAX_PROBABILITY = 0.0025, 0.995
# The network sees an uncertain segment as it is, slanted either way, smaller, larger and narrower, since some writers'
# digits are wider than MNIST's. From output to input pixels.
_VIEWS = np.array([
    [[1, 0.15, 0], [0, 1, 0]], [[1, -0.15, 0], [0, 1, 0]],
    [[1.12, 0, 0], [0, 1.12, 0]], [[0.92, 0, 0], [0, 0.92, 0]], [[1.3, 0, 0], [0, 1, 0]],
])  # fmt: skip


def with_views(model: LeNet5, lines: Sequence[Segments], n_jobs: int | None = None) -> list[Segments]:
    """Return the segments of lines; uncertain ones have the mean probabilities of all views."""
    uncertain = [_are_uncertain(each) for each in lines]
    if not any(chosen.any() for chosen in uncertain):
        return list(lines)
    images = np.concatenate([each.images[chosen] for each, chosen in zip(lines, uncertain, strict=True)])
    views = (AffineMaps(np.broadcast_to(view, (len(images), 2, 3))).apply(images) for view in _VIEWS)
    sums = sum(model.predict_proba(view, n_jobs=n_jobs).astype(np.float64) for view in views)
    probabilities = np.split(sums, np.cumsum([chosen.sum() for chosen in uncertain])[:-1])
    return [_averaged(*each) for each in zip(lines, uncertain, probabilities, strict=True)]


def _are_uncertain(segments: Segments) -> NDArray[np.bool_]:
    posteriors = arc_posteriors(graph_of(segments))
    is_clear = posteriors * segments.probabilities.max(axis=1) >= _MAX_PROBABILITY
    return np.asarray((posteriors > _MIN_POSTERIOR) & ~is_clear)


def _averaged(segments: Segments, chosen: NDArray[np.bool_], sums: NDArray[np.float64]) -> Segments:
    """Return the segments with the mean probabilities of all views for the chosen ones."""
    probabilities = segments.probabilities.copy()
    probabilities[chosen] = (probabilities[chosen] + sums) / (1 + len(_VIEWS))
    return segments.with_probabilities(probabilities)
