"""Classify the segments of lines that are in doubt again, from several views."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.model import LeNet5
from lenet.reading.graph import Coefficients, graph_of
from lenet.reading.paths import shares
from lenet.reading.segments import Segments
from lenet.training.augment.distortions import distort

# The share of the weight of all paths that passes a segment, and its product with the highest probability: a segment
# between them is in doubt. In cheques, photographs and pages, views would raise other shares to at most 0.02, and lower
# other probabilities by 0.001 on average.
_LIKELY, _CERTAIN = 0.0025, 0.995
# The network sees a segment in doubt as it is, slanted either way, smaller and larger. Maps for `distort`.
_VIEWS = np.array([[[1, 0.15], [0, 1]], [[1, -0.15], [0, 1]], [[1.12, 0], [0, 1.12]], [[0.92, 0], [0, 0.92]]])


def viewed(
    model: LeNet5, lines: Sequence[Segments], coefficients: Coefficients, n_jobs: int | None = None
) -> list[Segments]:
    """Return the segments of lines; those in doubt have the mean probabilities of all views."""
    doubtful = [_are_doubtful(each, coefficients) for each in lines]
    if not any(chosen.any() for chosen in doubtful):
        return list(lines)
    images = np.concatenate([each.images[chosen] for each, chosen in zip(lines, doubtful, strict=True)])
    views = (distort(images, np.broadcast_to(np.column_stack([view, [0, 0]]), (len(images), 2, 3))) for view in _VIEWS)
    sums = sum(model.predict_proba(view, n_jobs=n_jobs).astype(np.float64) for view in views)
    probabilities = np.split(sums, np.cumsum([chosen.sum() for chosen in doubtful])[:-1])
    return [_averaged(*each) for each in zip(lines, doubtful, probabilities, strict=True)]


def _are_doubtful(segments: Segments, coefficients: Coefficients) -> NDArray[np.bool_]:
    share = shares(graph_of(segments, coefficients))
    return np.asarray((share > _LIKELY) & (share * segments.probabilities.max(axis=1) < _CERTAIN))


def _averaged(segments: Segments, chosen: NDArray[np.bool_], sums: NDArray[np.float64]) -> Segments:
    """Return segments with the sums of the chosen ones' probabilities from other views taken into account."""
    probabilities = segments.probabilities.copy()
    probabilities[chosen] = (probabilities[chosen] + sums) / (1 + len(_VIEWS))
    return segments.with_probabilities(probabilities)
