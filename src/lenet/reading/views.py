"""Classify the likely segments of lines again, from several views."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.model import LeNet5
from lenet.reading.graph import Coefficients, graph_of
from lenet.reading.paths import shares
from lenet.reading.segments import Segments
from lenet.training.augment.distortions import distort

# A segment with a smaller share of the weight of all paths is seen from one view. From all views, the shares of such
# segments in cheques, photographs and pages are at most 0.02.
_LIKELY = 0.0025
# The network sees a likely segment as it is, slanted either way, smaller and larger. Maps for `distort`.
_VIEWS = np.array([[[1, 0.15], [0, 1]], [[1, -0.15], [0, 1]], [[1.12, 0], [0, 1.12]], [[0.92, 0], [0, 0.92]]])


def viewed(
    model: LeNet5, lines: Sequence[Segments], coefficients: Coefficients, n_jobs: int | None = None
) -> list[Segments]:
    """Return the segments of lines with the mean probabilities of all views, if they are likely."""
    if not lines:
        return []
    likely = [shares(graph_of(each, coefficients)) > _LIKELY for each in lines]
    images = np.concatenate([each.images[chosen] for each, chosen in zip(lines, likely, strict=True)])
    views = (distort(images, np.broadcast_to(np.column_stack([view, [0, 0]]), (len(images), 2, 3))) for view in _VIEWS)
    sums = sum(model.predict_proba(view, n_jobs=n_jobs).astype(np.float64) for view in views)
    probabilities = np.split(sums, np.cumsum([chosen.sum() for chosen in likely])[:-1])
    return [_averaged(*each) for each in zip(lines, likely, probabilities, strict=True)]


def _averaged(segments: Segments, chosen: NDArray[np.bool_], sums: NDArray[np.float64]) -> Segments:
    """Return segments with the sums of the chosen ones' probabilities from other views taken into account."""
    probabilities = segments.probabilities.copy()
    probabilities[chosen] = (probabilities[chosen] + sums) / (1 + len(_VIEWS))
    return segments.with_probabilities(probabilities)
