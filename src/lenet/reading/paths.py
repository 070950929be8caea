"""From segments to the reading of a line: the best path through the graph of its segments, and how sure that is.

The gaps between pieces are the nodes of a graph, segments its arcs, as in the paper's heuristic over-segmentation
(section V). An arc has a weight for each digit that it may be, and one for its being something else; a path weighs
the product of its arcs. A reading's probability is its share in the weight of all paths with all their labels, which
the paper calls forward scoring (section VI.D). What counts how much was learnt so that the right readings of MNIST's
validation digits, set side by side, become as probable as possible: `python -m benchmarks.learn_paths`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.reading.segments import Segments


@dataclass(frozen=True)
class Coefficients:
    """What counts how much in the logarithm of an arc's weight.

    Parameters
    ----------
    label : float
        The logarithm of the label's probability.
    as_digit, as_other : ndarray of float64, shapes (10,) and (5,)
        The columns of `Segments.as_digit` and `Segments.as_other`.
    """

    label: float
    as_digit: NDArray[np.float64]
    as_other: NDArray[np.float64]


LEARNT = Coefficients(
    1.27,
    np.array([2.06, 1.55, -9.0, -0.14, -7.56, -6.05, -8.53, -2.02, -2.11, -2.79]),
    np.array([-1.95, -3.74, -4.62, -2.01, -3.05]),
)


@dataclass
class Graph:
    """Arcs from node to node, and the logarithms of their weights.

    Parameters
    ----------
    starts, stops : ndarray of int64, shape (n,)
        An arc leads from a node to a later one; the first node is 0, and the last one the greatest of `stops`.
    digits : ndarray of float64, shape (n, num_classes)
        As each digit.
    other : ndarray of float64, shape (n,)
        As something else.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    digits: NDArray[np.float64]
    other: NDArray[np.float64]

    @property
    def end(self) -> int:
        """The last node."""
        return int(self.stops.max())


@dataclass
class Path:
    """A reading of a line.

    Parameters
    ----------
    arcs : list of int
        From left to right.
    labels : list of int or None
        What each is: a digit, or something else.
    probabilities : ndarray of float64, shape (len(arcs), num_classes + 1)
        That a segment is there and is each digit or, in the last column, something else.
    confidence : float
        The probability of the digits, however they are cut.
    """

    arcs: list[int]
    labels: list[int | None]
    probabilities: NDArray[np.float64]
    confidence: float


def graph_of(segments: Segments, coefficients: Coefficients = LEARNT) -> Graph:
    """Weigh the segments of a line."""
    as_digit = segments.as_digit @ coefficients.as_digit
    return Graph(
        segments.starts,
        segments.stops,
        coefficients.label * segments.log_probabilities + as_digit[:, np.newaxis],
        segments.as_other @ coefficients.as_other,
    )


def best_path(graph: Graph) -> Path:
    """Return the path of the greatest weight.

    Examples
    --------
    Two pieces are a 0 and a 1, or together a 1 with a third of the weight.

    >>> weights = np.log([[0.9, 0.1], [0.1, 0.9], [0.03, 0.27]])
    >>> graph = Graph(np.array([0, 1, 0]), np.array([1, 2, 2]), weights, np.full(3, -np.inf))
    >>> path = best_path(graph)
    >>> path.labels, round(path.confidence, 3)  # of 1 and 0.3 in all
    ([0, 1], 0.623)
    """
    best = np.maximum(graph.digits.max(axis=1), graph.other)
    weight, back = np.full(graph.end + 1, -np.inf), np.zeros(graph.end + 1, np.int64)
    weight[0] = 0.0
    for node, arcs in enumerate(_by_stop(graph.stops, graph.end)):
        if len(arcs):
            here = weight[graph.starts[arcs]] + best[arcs]
            back[node] = arcs[here.argmax()]
            weight[node] = here.max()
    arcs, node = [], graph.end
    while node:
        arcs.append(int(back[node]))
        node = int(graph.starts[arcs[-1]])
    arcs.reverse()
    labels = [None if graph.other[arc] >= graph.digits[arc].max() else int(graph.digits[arc].argmax()) for arc in arcs]
    total = total_of(graph)
    forward = log_sums(graph.starts, graph.stops, total, graph.end)
    backward = log_sums(graph.end - graph.stops, graph.end - graph.starts, total, graph.end)[::-1]
    around = forward[graph.starts[arcs]] + backward[graph.stops[arcs]] - forward[-1]
    own = np.column_stack([graph.digits[arcs], graph.other[arcs]])
    text = [label for label in labels if label is not None]
    return Path(arcs, labels, np.exp(own + around[:, np.newaxis]), float(np.exp(_log_sum_of(text, graph) - forward[-1])))


def total_of(graph: Graph) -> NDArray[np.float64]:
    """Return each arc's weight in all that it may be."""
    return np.asarray(np.logaddexp(np.logaddexp.reduce(graph.digits, axis=1), graph.other))


def log_sums(
    starts: NDArray[np.int64], stops: NDArray[np.int64], weights: NDArray[np.float64], end: int
) -> NDArray[np.float64]:
    """Return the sums of the weights of all paths from node 0 to each node, all as logarithms."""
    sums = np.full(end + 1, -np.inf)
    sums[0] = 0.0
    for node, arcs in enumerate(_by_stop(stops, end)):
        if len(arcs):
            sums[node] = np.logaddexp.reduce(sums[starts[arcs]] + weights[arcs])
    return sums


def _log_sum_of(text: list[int], graph: Graph) -> float:
    """Return the sum of the weights of all paths that read as a text."""
    sums = np.full((graph.end + 1, len(text) + 1), -np.inf)  # by node, and by digits read before it
    sums[0, 0] = 0.0
    for node, arcs in enumerate(_by_stop(graph.stops, graph.end)):
        if len(arcs):
            before = sums[graph.starts[arcs]]
            sums[node] = np.logaddexp.reduce(before + graph.other[arcs, np.newaxis])
            read = np.logaddexp.reduce(before[:, :-1] + graph.digits[arcs][:, text])
            sums[node, 1:] = np.logaddexp(sums[node, 1:], read)
    return float(sums[-1, -1])


def _by_stop(stops: NDArray[np.int64], end: int) -> list[NDArray[np.int64]]:
    """Return the arcs that lead to each node."""
    order = np.argsort(stops, kind="stable")
    return np.split(order, np.searchsorted(stops[order], np.arange(1, end + 1)))
