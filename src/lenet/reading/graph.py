"""Build the graph of a line: arcs are its segments, weighed with learned coefficients.

The gaps between pieces are the nodes, as in the paper's heuristic over-segmentation (section V). An arc has a weight
for each digit that its segment may be, and one for a non-digit. `python -m benchmarks.learn_paths` learns the
coefficients: they maximise the probability of the correct readings of MNIST's validation digits, arranged in rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lenet.reading.segments import Segments
from lenet.reading.strokes import Floats, Ints


@dataclass(frozen=True)
class Coefficients:
    """The coefficients of the logarithm of an arc's weight."""

    label: float  # of the logarithm of the label's probability
    by_label: Floats  # (num_classes,): the bias of each digit; noise resembles a 1 more often than an 8
    as_digit: Mapping[str, float]  # of the features, by name, in the weights of the digits
    as_other: Mapping[str, float]  # the same in the weight of a non-digit


LEARNED = Coefficients(
    label=1.14,
    by_label=np.array([0.16, -0.64, 0.11, 0.22, -0.63, 0.98, -0.88, 0.26, 0.57, 0.47]),
    as_digit={
        "lack_of_size": -7.33, "excess_width": -6.15, "gap": -6.11, "overlap": -7.95, "cut": -2.09,
        "ends_at_seam": -1.67, "margin": 0.16, "log_score": 4.92,
    },
    as_other={
        "bias": -1.67, "area": -3.3, "overlap": -3.82, "cut": -1.42, "ends_at_seam": -3.71, "log_other_score": 1.85,
    },
)  # fmt: skip


@dataclass(frozen=True)
class Graph:
    """The arcs between nodes, and the logarithms of their weights.

    The first node is 0; the last is the largest of `stops`.
    """

    starts: Ints  # (n,): the node that each arc leaves
    stops: Ints  # (n,): a later node
    digits: Floats  # (n, num_classes): the weight of the arc as each digit
    other: Floats  # (n,): the weight as a non-digit

    @property
    def end(self) -> int:
        """The last node."""
        return int(self.stops.max())

    @property
    def total(self) -> Floats:
        """The logarithm of the sum of each arc's weights."""
        return np.asarray(np.logaddexp(np.logaddexp.reduce(self.digits, axis=1), self.other))

    def without_digits_between(self, start: int, stop: int) -> "Graph":
        """Return the graph in which all arcs between two nodes are non-digits, with the sum of their weights."""
        is_between = (self.starts >= start) & (self.stops <= stop)
        digits = np.where(is_between[:, np.newaxis], -np.inf, self.digits)
        return replace(self, digits=digits, other=np.where(is_between, self.total, self.other))


def coefficients_of(classes: Sequence[str]) -> Coefficients:
    """Return the learned coefficients; classes other than the ten digits have the mean bias of the digits."""
    if tuple(classes) == tuple(map(str, range(len(LEARNED.by_label)))):
        return LEARNED
    return replace(LEARNED, by_label=np.full(len(classes), LEARNED.by_label.mean()))


def graph_of(segments: Segments, coefficients: Coefficients = LEARNED) -> Graph:
    """Return the graph whose arcs are the segments of a line."""
    as_digit, as_other = (
        segments.features.columns(by_name) @ np.array(list(by_name.values()))
        for by_name in (coefficients.as_digit, coefficients.as_other)
    )
    digits = coefficients.label * segments.log_probabilities + coefficients.by_label + as_digit[:, np.newaxis]
    return Graph(segments.starts, segments.stops, digits, as_other)


def joined(graphs: Sequence[Graph]) -> Graph:
    """Return the graph whose paths go through several graphs one after another."""
    offsets = np.cumsum([0, *(graph.end for graph in graphs[:-1])])
    return Graph(
        np.concatenate([graph.starts + offset for graph, offset in zip(graphs, offsets, strict=True)]),
        np.concatenate([graph.stops + offset for graph, offset in zip(graphs, offsets, strict=True)]),
        np.concatenate([graph.digits for graph in graphs]),
        np.concatenate([graph.other for graph in graphs]),
    )
