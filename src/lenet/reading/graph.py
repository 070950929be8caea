"""Build the graph of a line: arcs are its segments, weighed with learned coefficients.

The gaps between pieces are the nodes, as in the paper's heuristic over-segmentation (section V). An arc has a weight
for each digit that its segment may be, and one for a non-digit. `python -m benchmarks.learn_paths` learns coefficients:
they maximise the probability of the correct readings of MNIST's validation digits, arranged in rows.
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
    as_digit: Mapping[str, float]  # of the features, by name, in the weights of the digits
    as_other: Mapping[str, float]  # the same in the weight of a non-digit


# Learned, except that three are nearer to what real writing needs, whose sizes, ambiguous shapes and touching strokes
# vary more than in rows of MNIST's digits: `learn_paths` prints -7.4 for `lack_of_size`, -2.1 for the `cut` of a digit
# and 0.13 for `margin`. There is no bias of each digit: it would decide between the labels of one shape.
LEARNED = Coefficients(
    label=1.14,
    as_digit={
        "lack_of_size": -6.0, "excess_width": -6.15, "gap": -6.11, "overlap": -7.95, "cut": -3.0,
        "ends_at_seam": -1.67, "margin": 0.3, "log_score": 4.92,
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


def graph_of(segments: Segments, coefficients: Coefficients = LEARNED) -> Graph:
    """Return the graph whose arcs are the segments of a line."""
    as_digit, as_other = (
        segments.features.columns(by_name) @ np.array(list(by_name.values()))
        for by_name in (coefficients.as_digit, coefficients.as_other)
    )
    digits = coefficients.label * segments.log_probabilities + as_digit[:, np.newaxis]
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
